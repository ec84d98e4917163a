"""Keeps the vectors of sentences, and finds those nearest to a question's, in C."""

from __future__ import annotations

import weakref
from ctypes import c_void_p

import numpy as np
import numpy.typing as npt

from keymiss.search.native.search_library import search_library

LEAST_LOOKED_AT, SHARE_LOOKED_AT = 300, 1000
"""How many vectors are multiplied with a question's, those whose signs agree best: so many, or one
of so many that there are (docs/decisions/0022-vectors.md)."""

Floats32 = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]


class VectorStore:
    """The vectors of documents, which are named by numbers. One thread at a time may use it.

    Args:
        width: how many numbers a vector has.
        isa: the instruction set that compares signs (sign_scan.h); None for the best.
    """

    def __init__(self, width: int, isa: bytes | None = None) -> None:
        self._library = search_library()
        self._isa = isa
        self._store = c_void_p(self._library.keymiss_new_vectors(width))
        if not self._store:
            raise MemoryError
        self._counts: dict[int, int] = {}
        self.count = 0
        """How many vectors there are."""
        weakref.finalize(self, self._library.keymiss_free_vectors, self._store)

    def put(self, codes: npt.NDArray[np.int8], scales: Floats32) -> int:
        """Adds a document's vectors, int8 of shape (sentences, width) and float32 of shape
        (sentences,); returns the document's number.

        Raises:
            MemoryError: there is no room; nothing has changed.
        """
        number: int = self._library.keymiss_put_vectors(
            self._store, codes.ctypes.data, scales.ctypes.data, len(scales)
        )
        if number < 0:
            raise MemoryError
        self._counts[number] = len(scales)
        self.count += len(scales)
        return number

    def drop(self, number: int) -> None:
        """Removes a document's vectors; its number may be used again."""
        self.count -= self._counts.pop(number)
        self._library.keymiss_drop_vectors(self._store, number)

    def nearest(self, vector: Floats32, limit: int) -> tuple[Places, Floats32]:
        """The `limit` nearest vectors, the nearest first: each document's number and row, int32 of
        shape (vectors, 2), and the cosines, float32 of shape (vectors,)."""
        places, cosines = np.empty((limit, 2), np.int32), np.empty(limit, np.float32)
        out = (places.ctypes.data, cosines.ctypes.data)
        looked_at = max(LEAST_LOOKED_AT, limit, self.count // SHARE_LOOKED_AT)
        count = self._library.keymiss_nearest(
            self._store, self._isa, vector.ctypes.data, looked_at, limit, *out
        )
        if count < 0:
            raise MemoryError
        return places[:count], cosines[:count]

    def cosines(self, vector: Floats32, places: Places) -> Floats32:
        """The cosine of a vector with each of these, float32 of shape (places,); NaN where there is
        none."""
        cosines = np.empty(len(places), np.float32)
        self._library.keymiss_products(
            self._store, vector.ctypes.data, places.ctypes.data, len(places), cosines.ctypes.data
        )
        return cosines
