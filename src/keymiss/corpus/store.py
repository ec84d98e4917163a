"""Documents as keys: writing one, forgetting one, and what is known of the corpus as a whole."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import valkey
from valkey.exceptions import ClusterDownError, ResponseError, ValkeyError

from keymiss.corpus.document import Document, text_hash
from keymiss.corpus.sentences import SPLITTER as SPLITTER_NAME
from keymiss.corpus.sentences import cut_text, write_starts
from keymiss.errors import BadInput, SetupError, Unavailable
from keymiss.keys import (
    BUCKET_COUNT,
    BUCKETS,
    CORPUS,
    CREATED,
    FACTS_HASH,
    OLD_CORPUS,
    PARAGRAPHS,
    SENTENCE_COUNT,
    SOURCE,
    SOURCE_KEY,
    SPLITTER,
    TEXT_HASH,
    TITLE,
    YEAR,
    DocumentKeys,
    document_keys,
)
from keymiss.server.connecting import Client, Transaction, execute_transactions
from keymiss.server.transactions import Command


def check_corpus(client: Client) -> None:
    """Returns when there is a corpus on this server.

    Raises:
        Unavailable: there is none yet, or one under the key names of an earlier version.
        SetupError: the key `keymiss:corpus` holds something else.
    """
    try:
        buckets = client.hget(CORPUS, BUCKET_COUNT)
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot say what it holds: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    if buckets is None:
        raise Unavailable(
            "the corpus here has the key names of an earlier version, which are not read: "
            "ingest again with `keymiss ingest PATH`"
            if _has_old_corpus(client)
            else "there is no corpus yet; create it with `keymiss ingest PATH`"
        )
    if buckets != b"%d" % BUCKETS:
        raise SetupError(f"the key {CORPUS!r} is damaged: {BUCKET_COUNT} is {buckets!r}")


def _has_old_corpus(client: Client) -> bool:
    """Whether the key `corpus` is what keymiss wrote there before its keys had a prefix."""
    try:
        facts = client.hmget(OLD_CORPUS, BUCKET_COUNT, SPLITTER, CREATED)
    except ResponseError:
        return False
    return all(facts) and facts[0].isdigit() and facts[1].startswith(b"tokenizesentences-")


def create_corpus(client: Client) -> None:
    """Creates the corpus on this server when there is none.

    Raises what `check_corpus` raises.
    """
    try:
        # Followers ask for every batch: what is as it should be is not written again.
        if client.hget(CORPUS, SPLITTER) != SPLITTER_NAME.encode():
            client.hsetnx(CORPUS, BUCKET_COUNT, BUCKETS)
            client.hsetnx(CORPUS, CREATED, int(time.time()))
            client.hset(CORPUS, SPLITTER, SPLITTER_NAME)
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot store anything: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    check_corpus(client)


_DROP_NOTED = """
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return end
local noted = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #noted, 1000 do
  redis.call('KEYMISS.DROP', unpack(noted, first, math.min(first + 999, #noted)))
end
redis.call('DEL', KEYS[1])
"""
"""Drops the computed answers that depend on a document, as part of the document's transaction.

A worker notes a key in `keymiss:answers:DOC` before it reads the text. What was computed from the
old text is noted by the time the text changes, in a worker's hands or not; a note that comes later
belongs to the new text. As a script it runs between MULTI and EXEC: no kill can come between text
and drop.
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document and what is to be written for it."""

    document: Document
    keys: DocumentKeys
    sentences: tuple[str, ...]
    starts: tuple[int, ...]
    """The numbers of the sentences that begin paragraphs."""
    text_hash: str
    facts_hash: str


def prepare(document: Document) -> Prepared:
    """Cuts a document into sentences.

    Raises:
        BadInput: its id cannot be part of a key, or no sentence was found in it.
    """
    keys = document_keys(document.id)
    cut = cut_text(document.paragraphs)
    if not cut.sentences:
        raise BadInput(f"the document {document.id!r} has no sentence")
    named = text_hash(cut.sentences, cut.starts)
    return Prepared(document, keys, cut.sentences, cut.starts, named, document.facts_hash)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a document that may be stored: the hashes of its text and its facts, None
    when it is not there; how many answers are noted with it; and the first of its keys that another
    program has written, empty when none has."""

    text_hash: str | None = None
    facts_hash: str | None = None
    noted: int = 0
    foreign: str = ""


def stored_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[Stored]:
    """What the server has of these documents; nothing of any of them when a node of the cluster has
    gone: what is stored already may be stored again."""
    pipeline = client.pipeline(transaction=False)
    for each in keys:
        pipeline.hmget(each.facts, TEXT_HASH, FACTS_HASH)
        pipeline.hlen(each.sentences)
        pipeline.scard(each.bucket)
        pipeline.zcard(each.answers)
    try:
        replies = iter(pipeline.execute(raise_on_error=False))
    except ValkeyError:
        if isinstance(client, valkey.Valkey):
            raise
        return [Stored()] * len(keys)
    return [_stored(each, [next(replies) for _ in range(4)]) for each in keys]


def _stored(keys: DocumentKeys, replies: Sequence[Any]) -> Stored:
    named = (keys.facts, keys.sentences, keys.bucket, keys.answers)
    for key, reply in zip(named, replies, strict=True):
        if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
            return Stored(foreign=key)
    hashes, _, _, noted = replies
    if not isinstance(hashes, list):
        return Stored()
    of_text, of_facts = (None if one is None else one.decode() for one in hashes)
    return Stored(of_text, of_facts, noted if isinstance(noted, int) else 0)


def write_documents(client: Client, documents: Sequence[Prepared]) -> list[ValkeyError | None]:
    """Writes documents, each in a transaction of its own, and what went wrong with each.

    A document replaces what was there under its id, and the answers that were computed from that
    are dropped.
    """
    return _write(client, [(each.keys.facts, _writing(each)) for each in documents])


def write_facts(client: Client, documents: Sequence[Prepared]) -> list[ValkeyError | None]:
    """Writes title, year and source of documents whose text is stored as it is, and what went
    wrong with each. Tokens and answers stay."""
    return _write(client, [(each.keys.facts, _writing_facts(each)) for each in documents])


def _write(client: Client, transactions: Sequence[Transaction]) -> list[ValkeyError | None]:
    results = execute_transactions(client, transactions)
    return [result if isinstance(result, ValkeyError) else None for result in results]


def _writing(one: Prepared) -> list[Command]:
    text = {
        SENTENCE_COUNT: len(one.sentences),
        PARAGRAPHS: write_starts(one.starts),
        TEXT_HASH: one.text_hash,
    }
    return [
        ("UNLINK", one.keys.sentences, one.keys.facts),
        ("HSET", one.keys.sentences, *itertools.chain(*enumerate(one.sentences))),
        ("SADD", one.keys.bucket, one.keys.document),
        ("EVAL", _DROP_NOTED, 1, one.keys.answers),
        ("HSET", one.keys.facts, *_facts(one), *itertools.chain(*text.items())),
    ]


def _writing_facts(one: Prepared) -> list[Command]:
    return [("HDEL", one.keys.facts, SOURCE_KEY), ("HSET", one.keys.facts, *_facts(one))]


def _facts(one: Prepared) -> Iterator[str]:
    facts = {
        TITLE: one.document.title,
        YEAR: one.document.year,
        SOURCE: one.document.source,
        **({SOURCE_KEY: one.document.key} if one.document.key else {}),
        FACTS_HASH: one.facts_hash,
    }
    return itertools.chain(*facts.items())


_FORGET = """
local types = {'hash', 'hash', 'set'}
for place, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  if type ~= types[place] and type ~= 'none' then types[place] = '' end
end
local there = 0
for place = 1, 2 do
  if types[place] ~= '' then there = there + redis.call('UNLINK', KEYS[place]) end
end
if types[3] ~= '' then redis.call('SREM', KEYS[3], ARGV[1]) end
return there
"""
"""Deletes a document's facts and sentences and takes it out of its bucket, as far as these keys are
of the types that keymiss writes: others are not its own."""


def forget_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[bool]:
    """Deletes documents and the answers that were computed from them; whether each was there."""
    transactions: list[Transaction] = [
        (
            each.facts,
            [
                ("EVAL", _FORGET, 3, each.facts, each.sentences, each.bucket, each.document),
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
