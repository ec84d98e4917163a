"""Every key name that keymiss uses, built and parsed here and nowhere else.

`TAG` is a short base-62 string whose only meaning is the hash slot that it hashes to: it keeps a
document's keys together in a cluster. See docs/keys.md for what each key holds.
"""

from __future__ import annotations

import binascii
import functools
import itertools
import re
import string
from dataclasses import dataclass

from keymiss.errors import BadInput

SLOTS = 16384
"""Hash slots of a cluster (Valkey cluster specification)."""

CORPUS = "corpus"
SENTENCES = "sentence:"
ARTICLES = "article_id:"
TOKENS = "tokenized:"
ANSWERS = "answers:"
BUCKETS = "documents:"
CONCEPTS = "concepts:"
EDGES = "edges_scored:"
VOCABULARY = "vocabulary"
STATISTICS = "statistics:"
FIND = "find{"
FIND_HERE = "findhere{"
QA = "qa{"
BERTQA = "bertqa{"
LINKS = "links{"
EDGE = "edge{"
MODELINFO = "modelinfo{"
"""Prefixes: what a function is registered for."""

_OWN = (
    *(SENTENCES, ARTICLES, TOKENS, ANSWERS, BUCKETS, CONCEPTS, EDGES, f"{VOCABULARY}:"),
    *(STATISTICS, FIND, FIND_HERE, QA, BERTQA, LINKS, EDGE, MODELINFO),
)

MAX_DOCUMENT_BYTES = 512
MAX_SENTENCE_DIGITS = 9

_BASE62 = string.digits + string.ascii_letters
_RESERVED = re.compile(r"[{}:%\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_ANSWER = re.compile(
    r"(?P<function>bertqa|qa)\{(?P<tag>[^{}:]+)\}"
    r"_(?P<document>[^{}:]+):\{(?P=tag)\}:(?P<sentence>[0-9]{1,9})_(?P<question>.*)",
    re.DOTALL,
)
_OF_SHARD = re.compile(r"(?:find|findhere|links|edge)\{(?P<tag>[^{}:]+)\}_(?P<asked>.*)", re.DOTALL)
_OF_DOCUMENT = re.compile(r"[a-z_]+:(?P<document>[^{}:]+):\{(?P<tag>[^{}:]+)\}")
_TOKENS = re.compile(
    r"tokenized:(?P<fingerprint>[^{}:]+):(?P<document>[^{}:]+):\{(?P<tag>[^{}:]+)\}"
)
_BUCKET = re.compile(r"documents:\{(?P<tag>[^{}:]+)\}")


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, the cluster's hash (Valkey cluster specification)."""
    return binascii.crc_hqx(data, 0)


@functools.cache
def _tags() -> list[str]:
    """For each slot the shortest base-62 string that hashes to it."""
    tags: dict[int, str] = {}
    for length in itertools.count(1):
        for letters in itertools.product(_BASE62, repeat=length):
            tag = "".join(letters)
            tags.setdefault(crc16(tag.encode()) % SLOTS, tag)
        if len(tags) == SLOTS:
            return [tags[slot] for slot in range(SLOTS)]
    raise AssertionError("unreachable")


def bucket_tag(bucket: int, buckets: int) -> str:
    """The tag of a bucket: it hashes to the lowest slot of the bucket's range."""
    return slot_tag(-(-bucket * SLOTS // buckets))


def bucket_key(bucket: int, buckets: int) -> str:
    """`documents:{TAG}` of a bucket."""
    return f"{BUCKETS}{{{bucket_tag(bucket, buckets)}}}"


def slot_tag(slot: int) -> str:
    """The tag that hashes to a slot."""
    return _tags()[slot]


def escape(document: str) -> str:
    """A document's id as it stands in keys: `{ } : %` and control characters become `%XX`.

    Raises:
        BadInput: the id is empty or longer than 512 bytes.
    """
    escaped = _escaped(document)
    size = len(encode(escaped))
    if not 0 < size <= MAX_DOCUMENT_BYTES:
        raise BadInput(f"a document's id has 1 to {MAX_DOCUMENT_BYTES} bytes; this has {size}")
    return escaped


def unescape(escaped: str) -> str:
    """The document's id from its form in keys."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), escaped)


def encode(text: str) -> bytes:
    """A key or a question as bytes; with `decode` every byte string survives the round trip."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """The text of a key, bytes that are no UTF-8 included."""
    return data.decode("utf-8", "surrogateescape")


def decode_text(data: bytes) -> str:
    """The text that a value holds; what is no UTF-8 in it stands as U+FFFD."""
    return data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """The keys of one document. `document` is escaped."""

    document: str
    tag: str

    @property
    def article(self) -> str:
        """Hash: title, year, source, sentence count, content hash (written last)."""
        return f"{ARTICLES}{self.document}:{{{self.tag}}}"

    @property
    def sentences(self) -> str:
        """Hash: sentence number -> text."""
        return f"{SENTENCES}{self.document}:{{{self.tag}}}"

    @property
    def answers(self) -> str:
        """Sorted set: computed keys that depend on the document, by expiry."""
        return f"{ANSWERS}{self.document}:{{{self.tag}}}"

    @property
    def bucket(self) -> str:
        """Set: the documents of the bucket."""
        return f"{BUCKETS}{{{self.tag}}}"

    @property
    def concepts(self) -> str:
        """Hash: sentence number -> the concepts named there, and of which text and vocabulary."""
        return f"{CONCEPTS}{self.document}:{{{self.tag}}}"

    def edge(self, source: str, target: str) -> str:
        """Sorted set: the bucket's sentences that name both concepts, by how often."""
        return f"{EDGES}{source}:{target}:{{{self.tag}}}"

    def tokens(self, fingerprint: str) -> str:
        """Hash: sentence number -> token ids; the tokenizer with this fingerprint made them."""
        return f"{TOKENS}{fingerprint}:{self.document}:{{{self.tag}}}"

    @property
    def sentence_prefix(self) -> str:
        """What the names of the document's sentences begin with."""
        return f"{self.document}:{{{self.tag}}}:"

    def sentence(self, number: int) -> str:
        """The name of a sentence, as in the article: `DOC:{TAG}:N`."""
        return f"{self.sentence_prefix}{number}"


def document_keys(document: str, buckets: int) -> DocumentKeys:
    """The keys of a document with this id in a corpus of so many buckets."""
    escaped = escape(document)
    bucket = crc16(encode(escaped)) % buckets
    return DocumentKeys(escaped, bucket_tag(bucket, buckets))


def is_own_key(key: str) -> bool:
    """Whether a key is one that keymiss itself writes."""
    return key in (CORPUS, VOCABULARY) or key.startswith(_OWN)


def parse_document_key(key: str) -> DocumentKeys | None:
    """The document of an `article_id:`, `sentence:` or `answers:` key, None for other keys."""
    match = _OF_DOCUMENT.fullmatch(key)
    return DocumentKeys(match["document"], match["tag"]) if match else None


def document_of_sentence(name: str) -> DocumentKeys:
    """The document of a sentence with the name `DOC:{TAG}:N`.

    Raises:
        BadInput: it is no such name.
    """
    keys = parse_document_key(f"{SENTENCES}{name.rpartition(':')[0]}")
    if keys is None:
        raise BadInput(f"{name!r} names no sentence; write DOC:{{TAG}}:N")
    return keys


def parse_tokens_key(key: str) -> tuple[str, DocumentKeys] | None:
    """The tokenizer's fingerprint and the document of a `tokenized:` key, None for other keys."""
    match = _TOKENS.fullmatch(key)
    return (match["fingerprint"], DocumentKeys(match["document"], match["tag"])) if match else None


def parse_bucket_key(key: str) -> str | None:
    """The tag of a `documents:` key, None for other keys."""
    match = _BUCKET.fullmatch(key)
    return match["tag"] if match else None


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """A parsed `qa` or `bertqa` key."""

    keys: DocumentKeys
    sentence: int
    question: str


def qa_key(sentence: str, question: str) -> str:
    """`qa{TAG}_DOC:{TAG}:N_QUESTION`; `sentence` is the name `DOC:{TAG}:N`."""
    return _answer_key(QA, sentence, question)


def bertqa_key(sentence: str, question: str) -> str:
    """`bertqa{TAG}_DOC:{TAG}:N_QUESTION`, the article's own key."""
    return _answer_key(BERTQA, sentence, question)


def _answer_key(prefix: str, sentence: str, question: str) -> str:
    tag = sentence[sentence.index("{") + 1 : sentence.index("}")]
    return f"{prefix}{tag}}}_{sentence}_{question}"


def parse_answer_key(key: str) -> AnswerKey:
    """Parses a `qa` or `bertqa` key.

    Raises:
        BadInput: the key does not have the form.
    """
    match = _ANSWER.fullmatch(key)
    if not match:
        raise BadInput("the key is not of the form qa{TAG}_DOC:{TAG}:N_QUESTION, both tags alike")
    keys = DocumentKeys(match["document"], match["tag"])
    if len(encode(keys.document)) > MAX_DOCUMENT_BYTES:
        raise BadInput(f"a document's id has at most {MAX_DOCUMENT_BYTES} bytes")
    return AnswerKey(keys, int(match["sentence"]), match["question"])


def vocabulary_part(fingerprint: str, part: int) -> str:
    """`vocabulary:FINGERPRINT:N`, a string."""
    return f"{VOCABULARY}:{fingerprint}:{part}"


def statistics_key(model: str) -> str:
    """`statistics:{NAME}`, a hash: what readers of this name have done, for each shard."""
    return f"{STATISTICS}{{{_escaped(model)}}}"


def modelinfo_key(model: str) -> str:
    """`modelinfo{NAME}`, in the same slot: the same, computed for whoever asks."""
    return f"{MODELINFO}{_escaped(model)}}}"


def parse_modelinfo_key(key: str) -> str:
    """The model's name in a `modelinfo` key.

    Raises:
        BadInput: the key does not have the form.
    """
    name = unescape(key.removeprefix(MODELINFO).removesuffix("}"))
    if modelinfo_key(name) != key:
        raise BadInput("the key is not of the form modelinfo{NAME}")
    return name


def _escaped(text: str) -> str:
    return _RESERVED.sub(lambda match: f"%{ord(match[0]):02X}", text)


def find_key(tag: str, question: str) -> str:
    """`find{TAG}_QUESTION`: the candidates of the shard that owns the tag's slot."""
    return f"{FIND}{tag}}}_{question}"


def find_here_key(tag: str, question: str) -> str:
    """`findhere{TAG}_QUESTION`: the candidates of all shards on the host of the tag's shard."""
    return f"{FIND_HERE}{tag}}}_{question}"


def links_key(tag: str, question: str) -> str:
    """`links{TAG}_QUESTION`: the question's concepts and their edges on the tag's shard."""
    return f"{LINKS}{tag}}}_{question}"


def edge_key(tag: str, source: str, target: str) -> str:
    """`edge{TAG}_SRC:DST`: the sentences of an edge on the tag's shard."""
    return f"{EDGE}{tag}}}_{source}:{target}"


def parse_shard_key(key: str) -> str:
    """What a `find`, `links` or `edge` key asks a shard: a question, or SRC:DST.

    Raises:
        BadInput: the key does not have the form.
    """
    match = _OF_SHARD.fullmatch(key)
    if not match:
        name = key.partition("{")[0]
        asked = "SRC:DST" if name == "edge" else "QUESTION"
        raise BadInput(f"the key is not of the form {name}{{TAG}}_{asked}")
    return match["asked"]
