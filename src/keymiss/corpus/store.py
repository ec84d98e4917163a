"""Documents as keys: writing one, forgetting one, and what is known of the corpus as a whole."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import valkey
from valkey.exceptions import ClusterDownError, ResponseError, ValkeyError

from keymiss.corpus.document import Document
from keymiss.corpus.sentences import SPLITTER, split_sentences
from keymiss.errors import BadInput, SetupError, Unavailable
from keymiss.keys import CORPUS, SLOTS, DocumentKeys, document_keys
from keymiss.server.connecting import Client, Transaction, execute_transactions
from keymiss.server.transactions import Command

DEFAULT_BUCKETS = 1024


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is fixed when a corpus is created: in how many buckets its documents are spread."""

    buckets: int

    def keys(self, document: str) -> DocumentKeys:
        """The keys of the document with this id."""
        return document_keys(document, self.buckets)


def open_corpus(client: Client) -> Corpus:
    """The corpus on this server.

    Raises:
        Unavailable: there is none yet.
        SetupError: the key `corpus` holds something else.
    """
    try:
        buckets = client.hget(CORPUS, "buckets")
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot say what it holds: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    if buckets is None:
        raise Unavailable("there is no corpus yet; create it with `keymiss ingest PATH`")
    return parse_corpus(buckets)


def parse_corpus(buckets: bytes) -> Corpus:
    """The corpus whose `buckets` field holds this.

    Raises:
        SetupError: it is no number between 1 and 16384.
    """
    if not buckets.isdigit() or not 1 <= int(buckets) <= SLOTS:
        raise SetupError(f"the key {CORPUS!r} is damaged: buckets is {buckets!r}")
    return Corpus(int(buckets))


def create_corpus(client: Client, buckets: int = DEFAULT_BUCKETS) -> Corpus:
    """Creates the corpus on this server, or opens the one that exists."""
    try:
        stored, splitter = client.hmget(CORPUS, "buckets", "splitter")
        # Followers ask for every batch: what is as it should be is not written again.
        if stored is not None and splitter == SPLITTER.encode():
            return parse_corpus(stored)
        # The first writer fixes the number for good: HSETNX, also between two ingests at once.
        client.hsetnx(CORPUS, "buckets", buckets)
        client.hsetnx(CORPUS, "created", int(time.time()))
        client.hset(CORPUS, "splitter", SPLITTER)
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot store anything: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    return open_corpus(client)


_DROP_NOTED = """
local noted = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #noted, 1000 do
  redis.call('KEYMISS.DROP', unpack(noted, first, math.min(first + 999, #noted)))
end
redis.call('DEL', KEYS[1])
"""
"""Drops the computed answers that depend on a document, as part of the document's transaction.

A worker notes a key in `answers:DOC` before it reads the text. What was computed from the old text
is noted by the time the text changes, in a worker's hands or not; a note that comes later belongs
to the new text. As a script it runs between MULTI and EXEC: no kill can come between text and drop.
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document and what is to be written for it."""

    document: Document
    keys: DocumentKeys
    content_hash: str
    sentences: tuple[str, ...]


def prepare(corpus: Corpus, document: Document) -> Prepared:
    """Cuts a document into sentences.

    Raises:
        BadInput: its id cannot be part of a key, or no sentence was found in it.
    """
    keys = corpus.keys(document.id)
    sentences = tuple(split_sentences(document.paragraphs))
    if not sentences:
        raise BadInput(f"the document {document.id!r} has no sentence")
    return Prepared(document, keys, document.content_hash(SPLITTER), sentences)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a document that may be stored: its content hash, None when it is not there,
    and how many answers are noted with it."""

    content_hash: str | None = None
    noted: int = 0


def stored_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[Stored]:
    """What the server has of these documents; nothing of any of them when a node of the cluster has
    gone: what is stored already may be stored again."""
    pipeline = client.pipeline(transaction=False)
    for each in keys:
        pipeline.hget(each.article, "hash")
        pipeline.zcard(each.answers)
    try:
        replies = pipeline.execute(raise_on_error=False)
    except ValkeyError:
        if isinstance(client, valkey.Valkey):
            raise
        return [Stored()] * len(keys)
    # Another program's key of another type is no document of ours; writing it will say so.
    return [
        Stored(
            content_hash.decode() if isinstance(content_hash, bytes) else None,
            noted if isinstance(noted, int) else 0,
        )
        for content_hash, noted in zip(replies[::2], replies[1::2], strict=True)
    ]


def write_documents(client: Client, documents: Sequence[Prepared]) -> list[ValkeyError | None]:
    """Writes documents, each in a transaction of its own, and what went wrong with each.

    A document replaces what was there under its id, and the answers that were computed from that
    are dropped. Its content hash is written last.
    """
    transactions = [(each.keys.article, _writing(each)) for each in documents]
    results = execute_transactions(client, transactions)
    return [result if isinstance(result, ValkeyError) else None for result in results]


def _writing(one: Prepared) -> list[Command]:
    facts = {
        "title": one.document.title,
        "year": one.document.year,
        "source": one.document.source,
        **({"key": one.document.key} if one.document.key else {}),
        "sentences": len(one.sentences),
        "hash": one.content_hash,
    }
    return [
        ("UNLINK", one.keys.sentences, one.keys.article),
        ("HSET", one.keys.sentences, *itertools.chain(*enumerate(one.sentences))),
        ("SADD", one.keys.bucket, one.keys.document),
        ("EVAL", _DROP_NOTED, 1, one.keys.answers),
        ("HSET", one.keys.article, *itertools.chain(*facts.items())),
    ]


def forget_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[bool]:
    """Deletes documents and the answers that were computed from them; whether each was there."""
    transactions: list[Transaction] = [
        (
            each.article,
            [
                ("UNLINK", each.article, each.sentences),
                ("SREM", each.bucket, each.document),
                ("EVAL", _DROP_NOTED, 1, each.answers),
            ],
        )
        for each in keys
    ]
    # One by one: each drops what is noted with its document, in one turn of the server's.
    forgotten = []
    for result in [execute_transactions(client, [each])[0] for each in transactions]:
        if isinstance(result, ValkeyError):
            raise result
        forgotten.append(bool(result[0]))
    return forgotten
