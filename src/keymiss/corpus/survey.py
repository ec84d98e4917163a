"""What keys a corpus has: one walk over the server, each document's keys together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from valkey.exceptions import ResponseError

from keymiss.errors import KeymissError
from keymiss.keys import (
    ANSWERS,
    ARTICLES,
    BERTQA,
    BUCKETS,
    QA,
    SENTENCES,
    TOKENS,
    DocumentKeys,
    decode,
    encode,
    parse_answer_key,
    parse_bucket_key,
    parse_document_key,
    parse_tokens_key,
)
from keymiss.server.connecting import Client

SCAN_COUNT = 1000
PIPELINE = 500


@dataclass(slots=True)
class Present:
    """The keys of one document that exist, and where the bucket's set names it."""

    article: bool = False
    sentences: bool = False
    answers: bool = False
    listed: bool = False
    tokens: list[str] = field(default_factory=list)
    """The fingerprints of the tokenizers that have made tokens of it."""
    cached: list[str] = field(default_factory=list)
    """Computed answers: `qa` and `bertqa` keys."""


@dataclass(slots=True)
class Survey:
    """All keys of the corpus on one server."""

    documents: dict[DocumentKeys, Present] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    """Keys under a prefix of the corpus that no document can have."""

    def of(self, keys: DocumentKeys) -> Present:
        """The entry of a document, made when it is not there."""
        return self.documents.setdefault(keys, Present())


def survey(client: Client) -> Survey:
    """Walks all keys of the server.

    What changes during the walk may be seen as it was before, or after.
    """
    seen = Survey()
    buckets: list[str] = []
    # SCAN may name a key twice.
    for key in set(map(decode, client.scan_iter(count=SCAN_COUNT))):
        _note(seen, buckets, key)
    for tag, members in zip(buckets, _members(client, buckets), strict=True):
        for document in members:
            seen.of(DocumentKeys(document, tag)).listed = True
    return seen


def _note(seen: Survey, buckets: list[str], key: str) -> None:
    if key.startswith((ARTICLES, SENTENCES, ANSWERS)):
        document = parse_document_key(key)
        if document is None:
            seen.strange.append(key)
        elif key.startswith(ARTICLES):
            seen.of(document).article = True
        elif key.startswith(SENTENCES):
            seen.of(document).sentences = True
        else:
            seen.of(document).answers = True
    elif key.startswith(TOKENS):
        tokens = parse_tokens_key(key)
        if tokens is None:
            seen.strange.append(key)
        else:
            seen.of(tokens[1]).tokens.append(tokens[0])
    elif key.startswith((QA, BERTQA)):
        try:
            seen.of(parse_answer_key(key).keys).cached.append(key)
        except KeymissError:
            seen.strange.append(key)
    elif key.startswith(BUCKETS):
        tag = parse_bucket_key(key)
        if tag is None:
            seen.strange.append(key)
        else:
            buckets.append(tag)


def _members(client: Client, tags: list[str]) -> Iterator[list[str]]:
    rest = iter(tags)
    while some := list(islice(rest, PIPELINE)):
        pipeline = client.pipeline(transaction=False)
        for tag in some:
            pipeline.smembers(encode(f"{BUCKETS}{{{tag}}}"))
        for reply in pipeline.execute(raise_on_error=False):
            # Of another type: nothing is listed there, and its documents will say so.
            yield [] if isinstance(reply, ResponseError) else [decode(each) for each in reply]
