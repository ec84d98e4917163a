"""The vocabulary in the server, where all workers find it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

from valkey.exceptions import ResponseError

from keymiss.errors import SetupError
from keymiss.graph.vocabulary import Vocabulary, concept_of_line
from keymiss.keys import (
    CONCEPT_COUNT,
    CREATED,
    FINGERPRINT,
    PARTS,
    VOCABULARY,
    vocabulary_part,
)
from keymiss.server.client import Client

PART_BYTES = 4 << 20
"""How many bytes of lines one key holds, before they are compressed."""

MOST_PART_BYTES = 64 << 20
"""How many bytes a part may have when it is decompressed."""


def store_vocabulary(client: Client, vocabulary: Vocabulary) -> None:
    """Stores the vocabulary in the place of an earlier one. Workers use it within seconds.

    Raises:
        SetupError: the key belongs to another program.
    """
    try:
        before, had = client.hmget(VOCABULARY, FINGERPRINT, PARTS)
    except ResponseError as error:
        raise SetupError(f"the key {VOCABULARY!r} belongs to another program: {error}") from None
    parts = 0
    for parts, lines in enumerate(_parts(vocabulary), start=1):
        client.set(vocabulary_part(vocabulary.fingerprint, parts - 1), zlib.compress(lines))
    facts = {
        FINGERPRINT: vocabulary.fingerprint,
        CONCEPT_COUNT: len(vocabulary.concepts),
        PARTS: parts,
        CREATED: int(time.time()),
    }
    client.hset(VOCABULARY, mapping=facts)
    if before and before.decode() != vocabulary.fingerprint:
        for part in range(int(had or 0)):
            client.unlink(vocabulary_part(before.decode(), part))


def stored_vocabulary(client: Client) -> Vocabulary | None:
    """The vocabulary on this server; None when there is no vocabulary.

    Raises:
        SetupError: the vocabulary is damaged, or the key belongs to another program.
    """
    try:
        fingerprint, parts = client.hmget(VOCABULARY, FINGERPRINT, PARTS)
        if fingerprint is None or not (parts or b"").isdigit():
            return None
        keys = [vocabulary_part(fingerprint.decode(), part) for part in range(int(parts))]
        packed = [client.get(key) for key in keys]
        concepts = [concept_of_line(line) for part in packed for line in _lines(part)]
    except (ResponseError, ValueError, TypeError, zlib.error) as error:
        raise SetupError(
            f"the vocabulary cannot be read: {error}; load it with `keymiss vocabulary load FILE`"
        ) from None
    return Vocabulary(concepts)


def _parts(vocabulary: Vocabulary) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for line in vocabulary.lines():
        lines.append(line.encode())
        size += len(lines[-1]) + 1
        if size >= PART_BYTES:
            yield b"\n".join(lines)
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines)


def _lines(part: bytes | None) -> list[str]:
    if part is None:
        raise ValueError("a part of it is missing")
    unpacking = zlib.decompressobj()
    lines = unpacking.decompress(part, MOST_PART_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError("a part of it is too large")
    return lines.decode().split("\n")
