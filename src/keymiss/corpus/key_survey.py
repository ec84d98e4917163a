"""Finds the keys of a corpus in one walk over the server, and groups them by document.

A key counts as keymiss's own when keymiss would write exactly this key: it has a known form and the
right type, and is in the bucket of its document. Every other key belongs to another program,
whatever it begins with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from keymiss.keys import (
    ANSWERS,
    BERTQA,
    BUCKET,
    CONCEPTS,
    DOCUMENTS,
    EDGES,
    OURS,
    PASSAGE,
    QA,
    SENTENCES,
    STATISTICS,
    TOKENS,
    VECTORS,
    VECTORS_NOTE,
    VOCABULARY,
    DocumentKeys,
    bucket_key,
    decode,
    encode,
    has_known_form,
    parse_answer_key,
    parse_bucket_key,
    parse_document_key,
    parse_tokens_key,
    parse_vectors_key,
)
from keymiss.server.client import SCAN_COUNT, Client

PIPELINE = 500

_TYPES = {
    **dict.fromkeys((DOCUMENTS, SENTENCES, TOKENS, CONCEPTS, STATISTICS), b"hash"),
    **dict.fromkeys((ANSWERS, EDGES), b"zset"),
    **dict.fromkeys((QA, BERTQA, PASSAGE, VECTORS, f"{VOCABULARY}:", VECTORS_NOTE), b"string"),
    BUCKET: b"set",
}
"""The type of the keys that keymiss keeps under each prefix."""


@dataclass(slots=True)
class Present:
    """Which keys of a document exist, and whether the bucket's set lists the document."""

    facts: bool = False
    sentences: bool = False
    answers: bool = False
    listed: bool = False
    tokens: list[str] = field(default_factory=list)
    """The fingerprints of the tokenizers that have tokenised the document."""
    vectors: list[str] = field(default_factory=list)
    """The fingerprints of the encoders that have made vectors of its sentences."""
    cached: list[str] = field(default_factory=list)
    """Computed answers: `keymiss:qa` and `bertqa` keys."""


@dataclass(slots=True)
class Survey:
    """All keys of the corpus on one server."""

    documents: dict[DocumentKeys, Present] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    """Keys under `keymiss:` that keymiss would not write."""

    def of(self, keys: DocumentKeys) -> Present:
        """The entry of a document, which is made if it does not exist."""
        return self.documents.setdefault(keys, Present())


def survey(client: Client) -> Survey:
    """Walks all keys of the server that may be keymiss's.

    A key that changes during the walk may be seen as it was before the change, or after it.
    """
    seen = Survey()
    buckets: list[str] = []
    for key, type in _own_keys(client):
        if type == b"none":
            continue  # the key has gone since the scan
        if _has_type_of_ours(key, type):
            _note(seen, buckets, key)
        elif key.startswith(OURS):
            seen.foreign.append(key)
    for tag, members in zip(buckets, _members(client, buckets), strict=True):
        for document in members:
            seen.of(DocumentKeys(document, tag)).listed = True
    return seen


def _own_keys(client: Client) -> Iterator[tuple[str, bytes]]:
    """The keys that begin like keymiss's own, each once, with their types."""
    prefixes = (OURS.encode(), BERTQA.encode())
    scanned = client.scan_iter(match="[kb]e[yr][mt]*", count=SCAN_COUNT)
    # SCAN may name a key twice.
    found = {key for key in scanned if key.startswith(prefixes)}
    for some in _batches(sorted(found)):
        pipeline = client.pipeline(transaction=False)
        for key in some:
            pipeline.type(key)
        yield from zip(map(decode, some), pipeline.execute(), strict=True)


def _has_type_of_ours(key: str, type: bytes) -> bool:
    wanted = next((type for prefix, type in _TYPES.items() if key.startswith(prefix)), b"hash")
    return type == wanted and has_known_form(key)


def _note(seen: Survey, buckets: list[str], key: str) -> None:
    if tag := parse_bucket_key(key):
        buckets.append(tag)
        return
    keys = document_of(key)
    if keys is None:
        return  # it belongs to no document: the corpus, the vocabulary, edges, statistics
    present = seen.of(keys)
    if key.startswith(DOCUMENTS):
        present.facts = True
    elif key.startswith(SENTENCES):
        present.sentences = True
    elif key.startswith(ANSWERS):
        present.answers = True
    elif tokens := parse_tokens_key(key):
        present.tokens.append(tokens[0])
    elif vectors := parse_vectors_key(key):
        present.vectors.append(vectors[0])
    elif key.startswith((QA, BERTQA, PASSAGE)):
        present.cached.append(key)


def document_of(key: str) -> DocumentKeys | None:
    """The document that a key belongs to; None if it belongs to no document."""
    if key.startswith((QA, BERTQA, PASSAGE)):
        return parse_answer_key(key).keys
    of_model = parse_tokens_key(key) or parse_vectors_key(key)
    return of_model[1] if of_model else parse_document_key(key)


def _members(client: Client, tags: list[str]) -> Iterator[list[str]]:
    for some in _batches(tags):
        pipeline = client.pipeline(transaction=False)
        for tag in some:
            pipeline.smembers(encode(bucket_key(tag)))
        for reply in pipeline.execute():
            yield [decode(each) for each in reply]


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, PIPELINE)):
        yield some
