"""The slots of the cluster, and keys that lie in them."""

from valkey.crc import key_slot

SLOTS = 16384
HALF = SLOTS // 2


def key_of(first: int, last: int, prefix: str = "echo:", number: int = 0) -> str:
    """The number-th key under the prefix whose slot lies in the range."""
    found = (
        f"{prefix}{n}" for n in range(10**6) if first <= key_slot(f"{prefix}{n}".encode()) <= last
    )
    for _ in range(number):
        next(found)
    return next(found)
