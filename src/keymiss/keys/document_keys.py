"""The keys of a document, built and parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keymiss.errors import BadInput
from keymiss.keys.hash_tags import BUCKETS, bucket_tag, crc16, is_bucket_tag
from keymiss.keys.key_escaping import MAX_DOCUMENT_BYTES, encode, escape, escape_name, unescape
from keymiss.keys.key_prefixes import (
    ANSWERS,
    BUCKET,
    CONCEPTS,
    DOCUMENTS,
    EDGES,
    OURS,
    SENTENCES,
    TOKENS,
    VECTORS,
)

PART = r"[^{}:]+"
"""The pattern of a name as it stands in a key."""

_OF_DOCUMENT = re.compile(
    rf"{OURS}(?:document|sentences|answers|concepts):"
    rf"(?P<document>{PART}):\{{(?P<tag>{PART})\}}"
)
_OF_MODEL = rf"(?P<fingerprint>[0-9a-f]+):(?P<document>{PART}):\{{(?P<tag>{PART})\}}"
_TOKENS = re.compile(TOKENS + _OF_MODEL)
_VECTORS = re.compile(VECTORS + _OF_MODEL)
_BUCKET = re.compile(rf"{BUCKET}\{{(?P<tag>{PART})\}}")


def bucket_key(tag: str) -> str:
    """`keymiss:bucket:{TAG}`."""
    return f"{BUCKET}{{{tag}}}"


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """The keys of one document. `document` is escaped."""

    document: str
    tag: str

    @property
    def facts(self) -> str:
        """A hash: title, year, source, number of sentences, beginnings of paragraphs, hashes."""
        return f"{DOCUMENTS}{self.document}:{{{self.tag}}}"

    @property
    def sentences(self) -> str:
        """A hash: sentence number -> text."""
        return f"{SENTENCES}{self.document}:{{{self.tag}}}"

    @property
    def answers(self) -> str:
        """A sorted set: computed keys that depend on the document, ordered by expiry."""
        return f"{ANSWERS}{self.document}:{{{self.tag}}}"

    @property
    def bucket(self) -> str:
        """A set: the documents of the bucket."""
        return bucket_key(self.tag)

    @property
    def concepts(self) -> str:
        """A hash: sentence number -> the concepts named there; also their text and vocabulary."""
        return f"{CONCEPTS}{self.document}:{{{self.tag}}}"

    @property
    def edges_suffix(self) -> str:
        """The end of the names of the bucket's edges, after `keymiss:edges:SRC:DST`."""
        return f":{{{self.tag}}}"

    def edge(self, source: str, target: str) -> str:
        """A sorted set: the bucket's sentences that name both concepts, ordered by how often."""
        return f"{EDGES}{source}:{target}{self.edges_suffix}"

    def tokens(self, fingerprint: str) -> str:
        """A hash: sentence number -> token ids; the tokenizer with this fingerprint made them."""
        return f"{TOKENS}{fingerprint}:{self.document}:{{{self.tag}}}"

    def vectors(self, fingerprint: str) -> str:
        """A string: the sentences' vectors; the encoder with this fingerprint made them."""
        return f"{VECTORS}{fingerprint}:{self.document}:{{{self.tag}}}"

    @property
    def sentence_prefix(self) -> str:
        """The beginning of the names of the document's sentences."""
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


def matched_document(match: re.Match[str] | None) -> DocumentKeys | None:
    """The keys of the document that a key names; None if keymiss would write another key."""
    if not match:
        return None
    document = match["document"]
    if len(encode(document)) > MAX_DOCUMENT_BYTES or escape_name(unescape(document)) != document:
        return None
    keys = _keys_of(document)
    return keys if keys.tag == match["tag"] else None


def parse_document_key(key: str) -> DocumentKeys | None:
    """The document of a `keymiss:document:`, `sentences:`, `answers:` or `concepts:` key, None for
    other keys."""
    return matched_document(_OF_DOCUMENT.fullmatch(key))


def document_of_sentence(name: str) -> DocumentKeys:
    """The document of a sentence with the name `DOC:{TAG}:N`.

    Raises:
        BadInput: the name is not of this form.
    """
    keys = parse_document_key(f"{SENTENCES}{name.rpartition(':')[0]}")
    if keys is None:
        raise BadInput(f"{name!r} names no sentence; write DOC:{{TAG}}:N")
    return keys


def parse_tokens_key(key: str) -> tuple[str, DocumentKeys] | None:
    """The tokenizer's fingerprint and the document of a `keymiss:tokens:` key, None for others."""
    return _of_model(_TOKENS.fullmatch(key))


def parse_vectors_key(key: str) -> tuple[str, DocumentKeys] | None:
    """The encoder's fingerprint and the document of a `keymiss:vectors:` key, None for others."""
    return _of_model(_VECTORS.fullmatch(key))


def _of_model(match: re.Match[str] | None) -> tuple[str, DocumentKeys] | None:
    keys = matched_document(match)
    return (match["fingerprint"], keys) if match and keys else None


def parse_bucket_key(key: str) -> str | None:
    """The tag of a `keymiss:bucket:` key, None for other keys."""
    match = _BUCKET.fullmatch(key)
    return match["tag"] if match and is_bucket_tag(match["tag"]) else None
