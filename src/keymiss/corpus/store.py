"""Documents as keys: writing one, forgetting one, and what is known of the corpus as a whole."""

from __future__ import annotations

import time
from dataclasses import dataclass

import valkey
from valkey.exceptions import ResponseError

from keymiss.corpus.document import Document
from keymiss.corpus.sentences import SPLITTER, split_sentences
from keymiss.errors import BadInput, SetupError, Unavailable
from keymiss.server.keys import CORPUS, SLOTS, DocumentKeys, document_keys

DEFAULT_BUCKETS = 1024
DROP_BATCH = 500


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is fixed when a corpus is created: in how many buckets its documents are spread."""

    buckets: int

    def keys(self, document: str) -> DocumentKeys:
        """The keys of the document with this id."""
        return document_keys(document, self.buckets)


def open_corpus(client: valkey.Valkey) -> Corpus:
    """The corpus on this server.

    Raises:
        Unavailable: there is none yet.
        SetupError: the key `corpus` holds something else.
    """
    try:
        buckets = client.hget(CORPUS, "buckets")
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


def create_corpus(client: valkey.Valkey, buckets: int = DEFAULT_BUCKETS) -> Corpus:
    """Creates the corpus on this server, or opens the one that exists."""
    try:
        # The first writer fixes the number for good: HSETNX, also between two ingests at once.
        client.hsetnx(CORPUS, "buckets", buckets)
        client.hsetnx(CORPUS, "created", int(time.time()))
        client.hset(CORPUS, "splitter", SPLITTER)
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    return open_corpus(client)


def stored_hash(client: valkey.Valkey, keys: DocumentKeys) -> str | None:
    """The content hash of the stored document, None when there is none."""
    value: bytes | None = client.hget(keys.article, "hash")
    return value.decode() if value is not None else None


def write_document(client: valkey.Valkey, keys: DocumentKeys, document: Document) -> int:
    """Writes a document in one transaction, replacing what was there, and returns its sentences.

    Raises:
        BadInput: no sentence was found in it.
    """
    sentences = split_sentences(document.paragraphs)
    if not sentences:
        raise BadInput(f"the document {document.id!r} has no sentence")
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(keys.sentences, keys.article)
    pipeline.hset(keys.sentences, mapping=dict(enumerate(sentences)))
    pipeline.sadd(keys.bucket, keys.document)
    pipeline.hset(
        keys.article,
        mapping={
            "title": document.title,
            "year": document.year,
            "source": document.source,
            "sentences": len(sentences),
            "hash": document.content_hash(SPLITTER),
        },
    )
    pipeline.execute()
    drop_answers(client, keys)
    return len(sentences)


def drop_answers(client: valkey.Valkey, keys: DocumentKeys) -> None:
    """Drops the computed answers that depend on the document.

    A worker notes a key here before it reads the text. This runs after the text was written, so
    whatever was computed from the old text is noted, in a worker's hands or not. Dropping a key
    and its note is one step: a note that a worker adds afterwards belongs to the new text.
    """
    noted: list[bytes] = client.zrange(keys.answers, 0, -1)
    for start in range(0, len(noted), DROP_BATCH):
        batch = noted[start : start + DROP_BATCH]
        pipeline = client.pipeline(transaction=True)
        pipeline.execute_command("KEYMISS.DROP", *batch)
        pipeline.zrem(keys.answers, *batch)
        pipeline.execute()
