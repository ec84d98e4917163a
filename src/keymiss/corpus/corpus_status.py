"""Counts what a corpus holds."""

from __future__ import annotations

from dataclasses import dataclass

from keymiss.corpus.corpus_key import check_corpus
from keymiss.corpus.key_survey import Survey, survey
from keymiss.keys import CORPUS, SENTENCE_COUNT, SPLITTER, decode
from keymiss.server.client import Client, primaries_of


@dataclass(frozen=True, slots=True)
class Status:
    """The counts of one server or cluster. Bytes are Valkey's `used_memory_dataset`."""

    documents: int
    sentences: int
    with_tokens: int
    """How many documents a worker has tokenised."""
    with_vectors: int
    """How many documents have vectors of their sentences."""
    cached_answers: int
    splitter: str
    dataset_bytes: int


def read_status(client: Client, seen: Survey | None = None) -> Status:
    """Counts what a walk over all keys has seen; without `seen`, walks itself.

    Raises:
        Unavailable: there is no corpus.
    """
    check_corpus(client)
    documents = (seen or survey(client)).documents
    pipeline = client.pipeline(transaction=False)
    for document, keys in documents.items():
        if keys.facts:
            pipeline.hget(document.facts, SENTENCE_COUNT)
    counts = [int(reply) for reply in pipeline.execute(raise_on_error=False) if _is_count(reply)]
    return Status(
        documents=sum(keys.facts for keys in documents.values()),
        sentences=sum(counts),
        with_tokens=sum(bool(keys.tokens) for keys in documents.values()),
        with_vectors=sum(bool(keys.vectors) for keys in documents.values()),
        cached_answers=sum(len(keys.cached) for keys in documents.values()),
        splitter=decode(client.hget(CORPUS, SPLITTER) or b""),
        dataset_bytes=sum(
            int(each.info("memory")["used_memory_dataset"]) for each in primaries_of(client)
        ),
    )


def _is_count(reply: object) -> bool:
    return isinstance(reply, bytes) and reply.isdigit()
