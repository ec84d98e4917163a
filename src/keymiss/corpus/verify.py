"""Checks a corpus key by key, and mends what is damaged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from keymiss.corpus.corpus_key import check_corpus
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.key_survey import PIPELINE, Present, survey
from keymiss.corpus.sentences import read_starts
from keymiss.keys import (
    PARAGRAPHS,
    SENTENCE_COUNT,
    TEXT_HASH,
    TITLE,
    DocumentKeys,
    decode_text,
    encode,
)
from keymiss.server.client import Client
from keymiss.values.vectors_value import HEADER_BYTES, belongs_to

LOOK_AGAIN_SECONDS = 1.0
"""How many seconds a key must stay damaged to count as damaged: a write may be under way."""

Mend = Literal["delete", "drop", "list", "unlist", "forget"]


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a key, and how it is mended.

    `delete` and `drop` remove a key that belongs to no document, or an answer that may be stale.
    `list` and `unlist` correct the bucket's set. `forget` removes a document that is not whole; it
    has to be ingested again.
    """

    key: str
    wrong: str
    mend: Mend
    document: DocumentKeys | None = None


def verify(client: Client) -> list[Damage]:
    """Finds the damage in a corpus.

    It consists of documents that are not whole, keys of documents that are gone, and tokens,
    vectors and cached answers that do not belong to the document's present text. A key that keymiss
    would not have written is not damage, and is left alone.

    Raises:
        Unavailable: there is no corpus.
    """
    damages = _look(client)
    if damages:
        time.sleep(LOOK_AGAIN_SECONDS)
        still = set(_look(client))
        damages = [damage for damage in damages if damage in still]
    return damages


def repair(client: Client, damages: Iterable[Damage]) -> None:
    """Mends what `verify` found."""
    for damage in damages:
        key = encode(damage.key)
        if damage.mend == "delete":
            client.unlink(key)
        elif damage.mend == "drop":
            client.execute_command("KEYMISS.DROP", key)
        elif damage.document is not None:
            if damage.mend == "list":
                client.sadd(damage.document.bucket, damage.document.document)
            elif damage.mend == "unlist":
                client.srem(damage.document.bucket, damage.document.document)
            else:
                forget_documents(client, [damage.document])


def _look(client: Client) -> list[Damage]:
    check_corpus(client)
    seen = survey(client)
    damages: list[Damage] = []
    whole = []
    for document, keys in sorted(seen.documents.items(), key=lambda item: item[0].facts):
        if keys.facts and keys.sentences:
            whole.append((document, keys))
        else:
            damages.extend(_remains(document, keys))
    rest = iter(whole)
    while some := list(islice(rest, PIPELINE)):
        damages.extend(_compare(client, some))
    return damages


def _remains(document: DocumentKeys, keys: Present) -> Iterator[Damage]:
    """The damage of every key of a document that is not whole, or is gone."""
    wrong = "belongs to no document"
    if keys.facts:
        yield Damage(document.facts, "is not a whole document; ingest it again", "forget", document)
    elif keys.sentences:
        yield Damage(document.sentences, wrong, "forget", document)
    if keys.listed and not keys.facts:
        yield Damage(document.bucket, f"names {document.document!r}", "unlist", document)
    if keys.answers:
        yield Damage(document.answers, wrong, "delete")
    for fingerprint in keys.tokens:
        yield Damage(document.tokens(fingerprint), wrong, "delete")
    for fingerprint in keys.vectors:
        yield Damage(document.vectors(fingerprint), wrong, "delete")
    for key in keys.cached:
        yield Damage(key, wrong, "drop")


def _compare(client: Client, documents: Sequence[tuple[DocumentKeys, Present]]) -> Iterator[Damage]:
    pipeline = client.pipeline(transaction=False)
    for document, keys in documents:
        pipeline.hmget(document.facts, TEXT_HASH, SENTENCE_COUNT, PARAGRAPHS, TITLE)
        pipeline.hkeys(document.sentences)
        pipeline.zrange(document.answers, 0, -1)
        for fingerprint in keys.tokens:
            pipeline.hget(encode(document.tokens(fingerprint)), TEXT_HASH)
            pipeline.hlen(encode(document.tokens(fingerprint)))
        for fingerprint in keys.vectors:
            pipeline.getrange(encode(document.vectors(fingerprint)), 0, HEADER_BYTES - 1)
            pipeline.strlen(encode(document.vectors(fingerprint)))
    replies = iter(pipeline.execute(raise_on_error=False))
    for document, keys in documents:
        yield from _compare_document(document, keys, replies)


def _compare_document(
    document: DocumentKeys, keys: Present, replies: Iterator[Any]
) -> Iterator[Damage]:
    facts, numbers, noted = next(replies), next(replies), next(replies)
    tokens = [(fingerprint, next(replies), next(replies)) for fingerprint in keys.tokens]
    vectors = [(fingerprint, next(replies), next(replies)) for fingerprint in keys.vectors]
    if not _is_whole(facts, numbers):
        yield from _remains(document, keys)
        return
    if not keys.listed:
        yield Damage(document.bucket, f"lacks {document.document!r}", "list", document)
    for fingerprint, of_text, count in tokens:
        # The key holds the tokens of each sentence, and the hash of the text.
        if of_text != facts[0] or count != len(numbers) + 1:
            yield Damage(document.tokens(fingerprint), "belongs to another text", "delete")
    title = decode_text(facts[3] or b"")
    for fingerprint, beginning, size in vectors:
        if not belongs_to(beginning, size, facts[0], title, len(numbers)):
            yield Damage(document.vectors(fingerprint), "belongs to another text", "delete")
    known = set(noted) if isinstance(noted, list) else set()
    for key in keys.cached:
        if encode(key) not in known:
            yield Damage(key, "is not noted with its document", "drop")


def _is_whole(facts: Any, numbers: Any) -> bool:
    if not isinstance(facts, list) or not isinstance(numbers, list) or None in facts[:3]:
        return False
    try:
        read_starts(facts[2], len(numbers))
    except ValueError:
        return False
    return facts[1] == b"%d" % len(numbers) and set(numbers) == {
        b"%d" % number for number in range(len(numbers))
    }
