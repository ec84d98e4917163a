"""Hash tags: short texts whose only meaning is the hash slot that they hash to."""

from __future__ import annotations

import binascii
import functools
import itertools
import string

from keymiss.keys.key_escaping import encode

SLOTS = 16384
"""How many hash slots a cluster has (Valkey cluster specification)."""

BUCKETS = 1024
"""How many buckets the documents are spread over; each bucket lies in one slot."""

_BASE62 = string.digits + string.ascii_letters


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, the cluster's hash (Valkey cluster specification)."""
    return binascii.crc_hqx(data, 0)


@functools.cache
def _tags() -> list[str]:
    """For each slot the shortest base-62 string that hashes to it."""
    tags: dict[int, str] = {}
    for length in itertools.count(1):
        for letters in itertools.product(_BASE62, repeat=length):
            tag = "".join(letters)
            tags.setdefault(crc16(tag.encode()) % SLOTS, tag)
        if len(tags) == SLOTS:
            return [tags[slot] for slot in range(SLOTS)]
    raise AssertionError("unreachable")


def bucket_tag(bucket: int) -> str:
    """The tag of a bucket: it hashes to the lowest slot of the bucket's range."""
    return slot_tag(bucket * SLOTS // BUCKETS)


def slot_tag(slot: int) -> str:
    """The tag that hashes to a slot."""
    return _tags()[slot]


def is_bucket_tag(text: str) -> bool:
    """Whether this is the tag of a bucket."""
    slot = crc16(encode(text)) % SLOTS
    return slot % (SLOTS // BUCKETS) == 0 and slot_tag(slot) == text
