"""Turns the bytes of keys into text and back, and escapes the names that stand in keys."""

from __future__ import annotations

import re

from keymiss.errors import BadInput

MAX_DOCUMENT_BYTES = 512

_RESERVED = re.compile(r"[{}:%\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def escape(document: str) -> str:
    """A document's id as it stands in keys: `{ } : %` and control characters become `%XX`.

    Raises:
        BadInput: the id is empty or longer than 512 bytes.
    """
    escaped = escape_name(document)
    size = len(encode(escaped))
    if not 0 < size <= MAX_DOCUMENT_BYTES:
        raise BadInput(f"a document's id has 1 to {MAX_DOCUMENT_BYTES} bytes; this has {size}")
    return escaped


def unescape(escaped: str) -> str:
    """The document's id from its form in keys."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), escaped)


def encode(text: str) -> bytes:
    """A key or a question as bytes; with `decode` every byte string survives the round trip."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """The text of a key; bytes that are not UTF-8 become surrogates (PEP 383)."""
    return data.decode("utf-8", "surrogateescape")


def decode_text(data: bytes) -> str:
    """The text that a value holds; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8", "replace")


def escape_name(text: str) -> str:
    """A name as it stands in keys, whatever its length."""
    return _RESERVED.sub(lambda match: f"%{ord(match[0]):02X}", text)
