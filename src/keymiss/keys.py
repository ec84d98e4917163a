"""Every name of a key or of a field that keymiss uses, built and parsed here and nowhere else.

All keys of keymiss begin with `keymiss:`, but for `bertqa{TAG}_DOC:{TAG}:N_QUESTION`, which is the
article's own. What is not exactly of a form that is built here belongs to somebody else, whatever
it begins with: parsers take a key only when they would build the same one.

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

BUCKETS = 1024
"""Documents are spread over so many buckets, each of which lies in one slot."""

OURS = "keymiss:"
"""What all keys but `bertqa` begin with."""

CORPUS = f"{OURS}corpus"
DOCUMENTS = f"{OURS}document:"
SENTENCES = f"{OURS}sentences:"
TOKENS = f"{OURS}tokens:"
ANSWERS = f"{OURS}answers:"
BUCKET = f"{OURS}bucket:"
CONCEPTS = f"{OURS}concepts:"
EDGES = f"{OURS}edges:"
VOCABULARY = f"{OURS}vocabulary"
STATISTICS = f"{OURS}statistics:"
FIND = f"{OURS}find{{"
FIND_HERE = f"{OURS}findhere{{"
QA = f"{OURS}qa{{"
BERTQA = "bertqa{"
LINKS = f"{OURS}links{{"
EDGE = f"{OURS}edge{{"
MODELINFO = f"{OURS}modelinfo{{"
"""Prefixes: what a function is registered for."""

_OF_SENTENCE = "<tag>}_<document>:{<tag>}:<sentence#>_<question*>"
FIND_FORM = f"{FIND}<tag>}}_<question*>"
FIND_HERE_FORM = f"{FIND_HERE}<tag>}}_<question*>"
QA_FORM = QA + _OF_SENTENCE
BERTQA_FORM = BERTQA + _OF_SENTENCE
LINKS_FORM = f"{LINKS}<tag>}}_<question*>"
EDGE_FORM = f"{EDGE}<tag>}}_<source>:<target>"
MODELINFO_FORM = f"{MODELINFO}<model>}}"
"""The exact forms of the keys that functions compute (docs/commands.md, FORM)."""

TITLE, YEAR, SOURCE = "title", "year", "source"
SOURCE_KEY = "key"
SENTENCE_COUNT = "sentences"
PARAGRAPHS = "paragraphs"
TEXT_HASH, FACTS_HASH = "text_hash", "facts_hash"
"""Fields of `keymiss:document:`. TEXT_HASH stands with a document's tokens, too: of which text they
are."""

BUCKET_COUNT, SPLITTER, CREATED = "buckets", "splitter", "created"
"""Fields of `keymiss:corpus`."""

STAMP = "of"
"""The field of `keymiss:concepts:` that names the text and the vocabulary; YEAR stands beside."""

FINGERPRINT, CONCEPT_COUNT, PARTS = "fingerprint", "concepts", "parts"
"""Fields of `keymiss:vocabulary`, with CREATED."""

OLD_CORPUS = "corpus"
"""The key of a corpus whose keys had no prefix: it is recognised, and not read."""

MAX_DOCUMENT_BYTES = 512
MAX_SENTENCE_DIGITS = 9

_BASE62 = string.digits + string.ascii_letters
_RESERVED = re.compile(r"[{}:%\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_PART = r"[^{}:]+"
_ANSWER = re.compile(
    rf"(?:{OURS}qa|bertqa)\{{(?P<tag>{_PART})\}}"
    rf"_(?P<document>{_PART}):\{{(?P=tag)\}}:(?P<sentence>0|[1-9][0-9]{{0,8}})_(?P<question>.*)",
    re.DOTALL,
)
_OF_SHARD = re.compile(
    rf"{OURS}(?:find|findhere|links|edge)\{{(?P<tag>{_PART})\}}_(?P<asked>.*)", re.DOTALL
)
_OF_DOCUMENT = re.compile(
    rf"{OURS}(?:document|sentences|answers|concepts):"
    rf"(?P<document>{_PART}):\{{(?P<tag>{_PART})\}}"
)
_TOKENS = re.compile(
    rf"{TOKENS}(?P<fingerprint>[0-9a-f]+):(?P<document>{_PART}):\{{(?P<tag>{_PART})\}}"
)
_BUCKET = re.compile(rf"{BUCKET}\{{(?P<tag>{_PART})\}}")
_EDGES = re.compile(rf"{EDGES}{_PART}:{_PART}:\{{(?P<tag>{_PART})\}}")
_VOCABULARY_PART = re.compile(rf"{VOCABULARY}:[0-9a-f]+:[0-9]+")
_STATISTICS = re.compile(rf"{STATISTICS}\{{{_PART}\}}")


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


def bucket_tag(bucket: int) -> str:
    """The tag of a bucket: it hashes to the lowest slot of the bucket's range."""
    return slot_tag(bucket * SLOTS // BUCKETS)


def bucket_key(tag: str) -> str:
    """`keymiss:bucket:{TAG}`."""
    return f"{BUCKET}{{{tag}}}"


def slot_tag(slot: int) -> str:
    """The tag that hashes to a slot."""
    return _tags()[slot]


def _is_bucket_tag(text: str) -> bool:
    slot = crc16(encode(text)) % SLOTS
    return slot % (SLOTS // BUCKETS) == 0 and slot_tag(slot) == text


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
    def facts(self) -> str:
        """Hash: title, year, source, how many sentences, where paragraphs begin, hashes."""
        return f"{DOCUMENTS}{self.document}:{{{self.tag}}}"

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
        return bucket_key(self.tag)

    @property
    def concepts(self) -> str:
        """Hash: sentence number -> the concepts named there, and of which text and vocabulary."""
        return f"{CONCEPTS}{self.document}:{{{self.tag}}}"

    @property
    def edges_suffix(self) -> str:
        """What the names of the bucket's edges end with: `keymiss:edges:SRC:DST` stands before."""
        return f":{{{self.tag}}}"

    def edge(self, source: str, target: str) -> str:
        """Sorted set: the bucket's sentences that name both concepts, by how often."""
        return f"{EDGES}{source}:{target}{self.edges_suffix}"

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


def document_keys(document: str) -> DocumentKeys:
    """The keys of the document with this id.

    Raises:
        BadInput: the id is empty or longer than 512 bytes.
    """
    return _keys_of(escape(document))


def _keys_of(escaped: str) -> DocumentKeys:
    return DocumentKeys(escaped, bucket_tag(crc16(encode(escaped)) % BUCKETS))


def _documents_keys(match: re.Match[str] | None) -> DocumentKeys | None:
    """The keys of the document that a key names, when it names it as we would."""
    if not match:
        return None
    document = match["document"]
    if len(encode(document)) > MAX_DOCUMENT_BYTES or _escaped(unescape(document)) != document:
        return None
    keys = _keys_of(document)
    return keys if keys.tag == match["tag"] else None


def parse_document_key(key: str) -> DocumentKeys | None:
    """The document of a `keymiss:document:`, `sentences:`, `answers:` or `concepts:` key, None for
    other keys."""
    return _documents_keys(_OF_DOCUMENT.fullmatch(key))


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
    """The tokenizer's fingerprint and the document of a `keymiss:tokens:` key, None for others."""
    match = _TOKENS.fullmatch(key)
    keys = _documents_keys(match)
    return (match["fingerprint"], keys) if match and keys else None


def parse_bucket_key(key: str) -> str | None:
    """The tag of a `keymiss:bucket:` key, None for other keys."""
    match = _BUCKET.fullmatch(key)
    return match["tag"] if match and _is_bucket_tag(match["tag"]) else None


def is_reserved(key: str) -> bool:
    """Whether a key is keymiss's to write: nothing else is to be kept under such a name."""
    return key.startswith(OURS) or _ANSWER.fullmatch(key) is not None


def has_known_form(key: str) -> bool:
    """Whether a key is of a form that keymiss writes."""
    if key in (CORPUS, VOCABULARY):
        return True
    edges = _EDGES.fullmatch(key)
    return bool(
        parse_document_key(key)
        or parse_tokens_key(key)
        or parse_bucket_key(key)
        or (edges and _is_bucket_tag(edges["tag"]))
        or _VOCABULARY_PART.fullmatch(key)
        or _STATISTICS.fullmatch(key)
        or _documents_keys(_ANSWER.fullmatch(key))
    )


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """A parsed `keymiss:qa` or `bertqa` key."""

    keys: DocumentKeys
    sentence: int
    question: str


def qa_key(sentence: str, question: str) -> str:
    """`keymiss:qa{TAG}_DOC:{TAG}:N_QUESTION`; `sentence` is the name `DOC:{TAG}:N`."""
    return _answer_key(QA, sentence, question)


def bertqa_key(sentence: str, question: str) -> str:
    """`bertqa{TAG}_DOC:{TAG}:N_QUESTION`, the article's own key."""
    return _answer_key(BERTQA, sentence, question)


def _answer_key(prefix: str, sentence: str, question: str) -> str:
    tag = sentence[sentence.index("{") + 1 : sentence.index("}")]
    return f"{prefix}{tag}}}_{sentence}_{question}"


def parse_answer_key(key: str) -> AnswerKey:
    """Parses a `keymiss:qa` or `bertqa` key.

    Raises:
        BadInput: the key does not have the form.
    """
    match = _ANSWER.fullmatch(key)
    if not match:
        raise BadInput(
            "the key is not of the form bertqa{TAG}_DOC:{TAG}:N_QUESTION, both tags alike"
        )
    keys = DocumentKeys(match["document"], match["tag"])
    if len(encode(keys.document)) > MAX_DOCUMENT_BYTES:
        raise BadInput(f"a document's id has at most {MAX_DOCUMENT_BYTES} bytes")
    return AnswerKey(keys, int(match["sentence"]), match["question"])


def vocabulary_part(fingerprint: str, part: int) -> str:
    """`keymiss:vocabulary:FINGERPRINT:N`, a string."""
    return f"{VOCABULARY}:{fingerprint}:{part}"


def statistics_key(model: str) -> str:
    """`keymiss:statistics:{NAME}`, a hash: what readers of this name have done, for each shard."""
    return f"{STATISTICS}{{{_escaped(model)}}}"


def modelinfo_key(model: str) -> str:
    """`keymiss:modelinfo{NAME}`, in the same slot: the same, computed for whoever asks."""
    return f"{MODELINFO}{_escaped(model)}}}"


def parse_modelinfo_key(key: str) -> str:
    """The model's name in a `modelinfo` key.

    Raises:
        BadInput: the key does not have the form.
    """
    name = unescape(key.removeprefix(MODELINFO).removesuffix("}"))
    if modelinfo_key(name) != key:
        raise BadInput("the key is not of the form keymiss:modelinfo{NAME}")
    return name


def _escaped(text: str) -> str:
    return _RESERVED.sub(lambda match: f"%{ord(match[0]):02X}", text)


def find_key(tag: str, question: str) -> str:
    """`keymiss:find{TAG}_QUESTION`: the candidates of the shard that owns the tag's slot."""
    return f"{FIND}{tag}}}_{question}"


def find_here_key(tag: str, question: str) -> str:
    """`keymiss:findhere{TAG}_QUESTION`: the candidates of all shards on the host of the tag's."""
    return f"{FIND_HERE}{tag}}}_{question}"


def links_key(tag: str, question: str) -> str:
    """`keymiss:links{TAG}_QUESTION`: the question's concepts and their edges on the shard."""
    return f"{LINKS}{tag}}}_{question}"


def edge_key(tag: str, source: str, target: str) -> str:
    """`keymiss:edge{TAG}_SRC:DST`: the sentences of an edge on the tag's shard."""
    return f"{EDGE}{tag}}}_{source}:{target}"


def parse_shard_key(key: str) -> str:
    """What a `find`, `links` or `edge` key asks a shard: a question, or SRC:DST.

    Raises:
        BadInput: the key does not have the form.
    """
    match = _OF_SHARD.fullmatch(key)
    if not match:
        name = key.partition("{")[0]
        asked = "SRC:DST" if name == EDGE[:-1] else "QUESTION"
        raise BadInput(f"the key is not of the form {name}{{TAG}}_{asked}")
    return match["asked"]
