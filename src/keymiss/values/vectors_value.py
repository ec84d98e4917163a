"""The value of a `keymiss:vectors:` key: the vectors of a document's sentences."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HEADER = struct.Struct("<4sHHI16sI")
_FORMAT = b"KMV1"

HEADER_BYTES = _HEADER.size

LARGEST_CODE = 127


@dataclass(frozen=True, slots=True)
class SentenceVectors:
    """The vectors of a document's sentences, in their order: the numbers of a vector are its codes
    times its scale. `codes` is int8 of shape (sentences, width), `scales` is float32 of shape
    (sentences,)."""

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]


def vectors_stamp(text_hash: bytes, title: str) -> bytes:
    """Names what the vectors are made from, in 16 bytes: a text by its hash, and its title."""
    return hashlib.sha256(text_hash + b" " + title.encode("utf-8", "surrogatepass")).digest()[:16]


def rounded_vectors(vectors: npt.NDArray[np.float32]) -> SentenceVectors:
    """Vectors, float32 of shape (sentences, width), as whole numbers with a scale each."""
    largest = np.abs(vectors).max(axis=1, initial=0)
    scales = (np.where(largest > 0, largest, 1) / LARGEST_CODE).astype(np.float32)
    return SentenceVectors(np.rint(vectors / scales[:, None]).astype(np.int8), scales)


def vectors_to_bytes(vectors: SentenceVectors, stamp: bytes) -> bytes:
    """The value of a key: a header with the width, the number of sentences, the stamp and a
    checksum; all scales, little endian; all codes."""
    body = vectors.scales.astype("<f4").tobytes() + vectors.codes.tobytes()
    count, width = vectors.codes.shape
    return _HEADER.pack(_FORMAT, width, 0, count, stamp, zlib.crc32(body)) + body


def belongs_to(beginning: object, size: object, of_text: bytes, title: str, sentences: int) -> bool:
    """Whether a value of this size and beginning holds the vectors of this text and title."""
    if not isinstance(beginning, bytes) or not isinstance(size, int):
        return False
    try:
        _, count, stamp, _ = _checked(beginning, size)
    except ValueError:
        return False
    return count == sentences and stamp == vectors_stamp(of_text, title)


def vectors_from_bytes(value: bytes, width: int) -> tuple[bytes, SentenceVectors]:
    """The stamp and the vectors of a value.

    Raises:
        ValueError: the value is damaged, or its vectors have another width.
    """
    wide, count, stamp, checksum = _checked(value, len(value))
    if wide != width:
        raise ValueError(f"its vectors do not have {width} numbers")
    body = value[HEADER_BYTES:]
    if zlib.crc32(body) != checksum:
        raise ValueError("it is damaged")
    scales = np.frombuffer(body, "<f4", count).astype(np.float32)
    codes = np.frombuffer(body, np.int8, offset=4 * count).reshape(count, width)
    return stamp, SentenceVectors(codes, scales)


def _checked(beginning: bytes, size: int) -> tuple[int, int, bytes, int]:
    """The width, the number of sentences, the stamp, and the checksum."""
    if len(beginning) < HEADER_BYTES:
        raise ValueError("it is too short")
    form, width, _, count, stamp, checksum = _HEADER.unpack_from(beginning)
    if form != _FORMAT:
        raise ValueError("it has another format")
    if size != HEADER_BYTES + count * (width + 4):
        raise ValueError("its length does not fit its header")
    return width, count, stamp, checksum
