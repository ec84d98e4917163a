"""Reads documents for functions on written keys: what is stored, and what is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from valkey.exceptions import ValkeyError

from keymiss.functions import Shard
from keymiss.keys import TEXT_HASH, TITLE, YEAR, DocumentKeys, decode_text
from keymiss.server.topology import is_elsewhere, raise_unless_elsewhere
from keymiss.server.transactions import Command, Executed


@dataclass(frozen=True, slots=True)
class StoredText:
    """A document's title, its sentences by their numbers, in order, and the hash of this text.

    A document that does not exist has no sentences and no hash. One that is not whole lacks one of
    the two.
    """

    text_hash: bytes | None
    title: str
    sentences: dict[int, str]


async def read_stored(shard: Shard, documents: Sequence[DocumentKeys]) -> list[StoredText | None]:
    """The text of each document; None for one that is on another node, at least in part.

    Raises:
        ValkeyError: a document cannot be read.
        ShardLost: the server cannot be reached.
    """
    # One transaction for each document, so that the hash belongs to exactly these sentences.
    read = await shard.transactions(
        [
            [("HMGET", each.facts, TEXT_HASH, TITLE), ("HGETALL", each.sentences)]
            for each in documents
        ]
    )
    return [_stored(result) for result in read]


def _stored(read: Executed) -> StoredText | None:
    raise_unless_elsewhere(read)
    if isinstance(read, ValkeyError):
        return None
    (of_text, title), flat = read
    fields = zip(flat[::2], map(decode_text, flat[1::2]), strict=True)
    pairs = ((int(field), text) for field, text in fields if field.isdigit())
    return StoredText(of_text, decode_text(title or b""), dict(sorted(pairs)))


@dataclass(frozen=True, slots=True)
class Derived:
    """A document and the server's reply about what is derived from it.

    The hash of its text and its year are None when the document is gone.
    """

    document: DocumentKeys
    text_hash: bytes | None
    year: bytes | None
    reply: Any


async def read_derived(
    shard: Shard, documents: Sequence[DocumentKeys], asking: Callable[[DocumentKeys], Command]
) -> list[Derived]:
    """Reads what is derived from each document that the server holds.

    A document that is moving to another node is left out: it is read when it has arrived.

    Args:
        asking: gives the command that reads what is derived from a document.

    Raises what `read_stored` raises.
    """
    own = [document for document in documents if shard.coverage.holds(document.facts)]
    commands: list[Command] = []
    for document in own:
        commands += [("HMGET", document.facts, TEXT_HASH, YEAR), asking(document)]
    replies = await shard.read(commands)
    held = []
    for document, *pair in zip(own, replies[::2], replies[1::2], strict=True):
        for reply in pair:
            raise_unless_elsewhere(reply)
        facts, reply = pair
        if isinstance(facts, list) and not is_elsewhere(reply):
            of_text, year = facts
            held.append(Derived(document, of_text, year, reply))
    return held
