"""Documents as functions on written keys read them: what is stored, and what is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from valkey.exceptions import ValkeyError

from keymiss.functions import Shard
from keymiss.keys import DocumentKeys, decode_text
from keymiss.server.topology import is_elsewhere, raise_unless_elsewhere
from keymiss.server.transactions import Command, Executed


@dataclass(frozen=True, slots=True)
class StoredText:
    """A document's sentences by their numbers, in order, with the content hash of that text: none
    and None when there is no such document, one of them when it is not whole."""

    content_hash: bytes | None
    year: bytes
    sentences: dict[int, str]


async def read_stored(shard: Shard, documents: Sequence[DocumentKeys]) -> list[StoredText | None]:
    """The text of each document, None of one that is elsewhere, at least in part.

    Raises:
        ValkeyError: one of them cannot be read.
        ShardLost: the server cannot be reached.
    """
    # Each in one transaction: the hash belongs to these sentences and no others.
    read = await shard.transactions(
        [
            [("HMGET", each.article, "hash", "year"), ("HGETALL", each.sentences)]
            for each in documents
        ]
    )
    return [_stored(result) for result in read]


def _stored(read: Executed) -> StoredText | None:
    raise_unless_elsewhere(read)
    if isinstance(read, ValkeyError):
        return None
    (content_hash, year), flat = read
    fields = zip(flat[::2], map(decode_text, flat[1::2]), strict=True)
    pairs = ((int(field), text) for field, text in fields if field.isdigit())
    return StoredText(content_hash, year or b"", dict(sorted(pairs)))


async def read_derived(
    shard: Shard, documents: Sequence[DocumentKeys], asking: Callable[[DocumentKeys], Command]
) -> list[tuple[DocumentKeys, bytes | None, Any]]:
    """Of each document that the server holds its content hash, None when it is gone, and the reply
    to a command about what is derived from it. What is on its way is asked for when it has arrived.

    Raises what `read_stored` raises.
    """
    own = [document for document in documents if shard.owns(document.article)]
    commands: list[Command] = []
    for document in own:
        commands += [("HGET", document.article, "hash"), asking(document)]
    replies = await shard.read(commands)
    held = []
    for document, *pair in zip(own, replies[::2], replies[1::2], strict=True):
        for reply in pair:
            raise_unless_elsewhere(reply)
        if not any(map(is_elsewhere, pair)):
            held.append((document, *pair))
    return held
