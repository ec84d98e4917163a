"""Writes documents as keys, forgets them, and looks up what is stored of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import valkey
from valkey.exceptions import ResponseError, ValkeyError

from keymiss.corpus.document import Document, text_hash
from keymiss.corpus.sentences import cut_text, write_starts
from keymiss.errors import BadInput
from keymiss.keys import (
    FACTS_HASH,
    PARAGRAPHS,
    SENTENCE_COUNT,
    SOURCE,
    SOURCE_KEY,
    TEXT_HASH,
    TITLE,
    YEAR,
    DocumentKeys,
    document_keys,
)
from keymiss.server.client import Client, Transaction, execute_transactions
from keymiss.server.lua_script import load_lua
from keymiss.server.transactions import Command

_CLEAR = load_lua(__file__, "clear_document")
_DROP_ANSWERS = load_lua(__file__, "drop_answers")
_FORGET = load_lua(__file__, "forget_document")
_WRITE_FACTS = load_lua(__file__, "write_facts")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document and the values that are written for it."""

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
    """What is known of a document that may be stored.

    The hashes of its text and its facts are None when it is not stored. `sentences` counts its
    sentences, and `noted` counts the answers that are noted with it. `foreign` is the first of its
    keys that another program has written, empty when there is no such key.
    """

    text_hash: str | None = None
    facts_hash: str | None = None
    sentences: int = 0
    noted: int = 0
    foreign: str = ""


def stored_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[Stored]:
    """What the server has stored of these documents.

    When a node of the cluster is gone, no document counts as stored: storing it again is harmless.
    """
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
    if any(isinstance(reply, ValkeyError) for reply in replies):
        return Stored()
    hashes, sentences, _, noted = replies
    of_text, of_facts = (None if one is None else one.decode() for one in hashes)
    return Stored(of_text, of_facts, sentences, noted)


def write_documents(client: Client, documents: Sequence[Prepared]) -> list[ValkeyError | None]:
    """Writes documents, one transaction for each, and returns the error of each, or None.

    A document replaces the one that was stored under its id, and the answers that were computed
    from the old one are dropped.
    """
    results = execute_transactions(
        client, [(each.keys.facts, _writing(each)) for each in documents]
    )
    return [result if isinstance(result, ValkeyError) else None for result in results]


def write_facts(client: Client, documents: Sequence[Prepared]) -> list[ValkeyError | None]:
    """Writes title, year and source of documents whose text is stored, and returns their errors.

    Tokens and answers stay. A document whose stored text has changed or gone since it was compared
    is written as a whole.
    """
    transactions = [(each.keys.facts, [_writing_facts(each)]) for each in documents]
    results = execute_transactions(client, transactions)
    changed = [number for number, result in enumerate(results) if result == [0]]
    errors = [result if isinstance(result, ValkeyError) else None for result in results]
    written = write_documents(client, [documents[number] for number in changed])
    for number, error in zip(changed, written, strict=True):
        errors[number] = error
    return errors


def _writing(one: Prepared) -> list[Command]:
    text = {
        SENTENCE_COUNT: len(one.sentences),
        PARAGRAPHS: write_starts(one.starts),
        TEXT_HASH: one.text_hash,
    }
    return [
        ("EVAL", _CLEAR, 2, one.keys.sentences, one.keys.facts),
        ("HSET", one.keys.sentences, *itertools.chain(*enumerate(one.sentences))),
        ("SADD", one.keys.bucket, one.keys.document),
        ("EVAL", _DROP_ANSWERS, 1, one.keys.answers),
        ("HSET", one.keys.facts, *_facts(one), *itertools.chain(*text.items())),
    ]


def _writing_facts(one: Prepared) -> Command:
    named = (TEXT_HASH, one.text_hash, SOURCE_KEY)
    return ("EVAL", _WRITE_FACTS, 1, one.keys.facts, *named, *_facts(one))


def _facts(one: Prepared) -> Iterator[str]:
    facts = {
        TITLE: one.document.title,
        YEAR: one.document.year,
        SOURCE: one.document.source,
        **({SOURCE_KEY: one.document.key} if one.document.key else {}),
        FACTS_HASH: one.facts_hash,
    }
    return itertools.chain(*facts.items())


def forget_documents(client: Client, keys: Sequence[DocumentKeys]) -> list[bool]:
    """Deletes documents and the answers computed from them, and returns whether each was there."""
    transactions: list[Transaction] = [
        (
            each.facts,
            [
                ("EVAL", _FORGET, 3, each.facts, each.sentences, each.bucket, each.document),
                ("EVAL", _DROP_ANSWERS, 1, each.answers),
            ],
        )
        for each in keys
    ]
    # One by one: a transaction blocks the server while it drops all answers noted with a document.
    forgotten = []
    for result in [execute_transactions(client, [each])[0] for each in transactions]:
        if isinstance(result, ValkeyError):
            raise result
        forgotten.append(bool(result[0]))
    return forgotten
