"""Reads documents from text that other programs keep in Valkey, in hashes or strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from valkey.exceptions import ResponseError

from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import Source, plain_document, record_document
from keymiss.errors import BadInput, SetupError, TooLarge
from keymiss.keys import OURS, SOURCE, TITLE, YEAR, decode, is_reserved
from keymiss.server.client import SCAN_COUNT, Client

MAX_VALUE_BYTES = 16 << 20
KEYS_AT_ONCE = 100
"""How many keys share two round trips: one asks for their sizes, the other reads them."""

LABELS = (TITLE, YEAR, SOURCE)
"""The fields of a hash that are read besides its text."""


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """All keys under a prefix: hashes with the text in `field`, or strings when it is empty."""

    prefix: str
    field: str = ""

    def __contains__(self, key: str) -> bool:
        """Whether a key is one of these; keymiss's own keys never are."""
        return key.startswith(self.prefix) and not is_reserved(key)


def parse_keys(pattern: str, field: str = "") -> KeyPattern:
    """The keys that a pattern like `doc:*` means.

    Raises:
        SetupError: the pattern is not a prefix with a star after it, or names keymiss's own keys.
    """
    prefix, star, rest = pattern.partition("*")
    if not star or rest or any(letter in prefix for letter in "?[]\\"):
        raise SetupError(f"{pattern!r} is not a prefix with a star after it, like 'doc:*'")
    if prefix.startswith(OURS):
        raise SetupError(f"{pattern!r}: keys that begin with {OURS!r} are keymiss's own")
    return KeyPattern(prefix, field)


def scan_keys(client: Client, keys: KeyPattern) -> Iterator[Source]:
    """The documents of all keys of this pattern that the server has."""
    # SCAN may name a key twice.
    found = set(client.scan_iter(f"{keys.prefix}*", SCAN_COUNT))
    yield from read_keys(client, keys, found)


def read_keys(client: Client, keys: KeyPattern, named: Iterable[bytes]) -> Iterator[Source]:
    """The documents of those of the named keys that belong to `keys`.

    A key that is gone is a source without a document.
    """
    own = (key for key in named if decode(key) in keys)
    while some := list(islice(own, KEYS_AT_ONCE)):
        sizes = _sizes(client, keys, some)
        fitting = [key for key, size in zip(some, sizes, strict=True) if size <= MAX_VALUE_BYTES]
        values = dict(zip(fitting, _values(client, keys, fitting), strict=True))
        for key, size in zip(some, sizes, strict=True):
            yield _source(keys, key, values.get(key), size)


def _sizes(client: Client, keys: KeyPattern, some: list[bytes]) -> list[int]:
    """The sizes of the texts in bytes; 0 for a key without text."""
    pipeline = client.pipeline(transaction=False)
    for key in some:
        if keys.field:
            pipeline.hstrlen(key, keys.field)
        else:
            pipeline.strlen(key)
    # A key of another type is reported when it is read.
    replies = pipeline.execute(raise_on_error=False)
    return [reply if isinstance(reply, int) else 0 for reply in replies]


def _values(client: Client, keys: KeyPattern, some: list[bytes]) -> list[Any]:
    """For each key, its string or the list of its fields, None when it is gone, or an error."""
    pipeline = client.pipeline(transaction=False)
    for key in some:
        if keys.field:
            # EXISTS comes last, so a key deleted in between counts as gone, not as lacking a field.
            pipeline.hmget(key, keys.field, *LABELS)
            pipeline.exists(key)
        else:
            pipeline.get(key)
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    if not keys.field:
        return replies
    pairs = zip(replies[::2], replies[1::2], strict=True)
    return [
        exists if isinstance(exists, ResponseError) else fields if exists else None
        for fields, exists in pairs
    ]


def _source(keys: KeyPattern, key: bytes, value: Any, size: int) -> Source:
    shown = key.decode(errors="replace")
    try:
        if size > MAX_VALUE_BYTES:
            raise TooLarge(f"the text has {size} bytes; the limit is {MAX_VALUE_BYTES}")
        return shown, [] if value is None else [_document(keys, key, value)]
    except BadInput as error:
        return shown, [type(error)(f"{shown}: {error}")]


def _document(keys: KeyPattern, key: bytes, value: Any) -> Document:
    if isinstance(value, ResponseError):
        wanted = f"a hash with the field {keys.field!r}" if keys.field else "a string"
        raise BadInput(f"cannot be read as {wanted}: {value}")
    try:
        name = key.decode()
        if not keys.field:
            return replace(plain_document(value.decode(), name), key=name)
        names = (keys.field, *LABELS)
        fields = zip(names, value, strict=True)
        record = {field: text.decode() for field, text in fields if text is not None}
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8: {error}") from None
    if keys.field not in record:
        raise BadInput(f"has no field {keys.field!r}")
    return replace(record_document(record, name, keys.field), key=name)
