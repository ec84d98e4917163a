"""Counts a question's terms in documents and their sentences, in C."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int32, c_void_p
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keymiss.errors import SetupError
from keymiss.search.document_terms import DocumentTerms, Weighing
from keymiss.search.terms import TermHashes

Counts = npt.NDArray[np.int32]


@cache
def _library() -> ctypes.CDLL:
    """The library. Its functions release Python's lock while they run.

    Raises:
        SetupError: the library is missing.
    """
    path = Path(str(resources.files("keymiss.search.counting") / "keymiss_counting.so"))
    if not path.is_file():
        raise SetupError(f"{path} is missing; install keymiss with pip, which compiles it")
    library = ctypes.CDLL(str(path))
    asked = (c_void_p, c_int32)
    library.keymiss_count_in_documents.argtypes = [c_void_p, c_int32, *asked, c_void_p]
    library.keymiss_count_in_documents.restype = None
    library.keymiss_count_in_sentences.argtypes = [
        *(c_void_p, c_void_p, c_int32, *asked),
        *(c_void_p, c_void_p, c_void_p),
    ]
    library.keymiss_count_in_sentences.restype = None
    return library


def count_in_documents(documents: Sequence[DocumentTerms], asked: TermHashes) -> Counts:
    """How often each document has each term, int32 of shape (documents, terms)."""
    found = np.empty((len(documents), len(asked)), np.int32)
    _library().keymiss_count_in_documents(
        _pointers(documents), len(documents), asked.ctypes.data, len(asked), found.ctypes.data
    )
    return found


def count_in_sentences(
    documents: Sequence[DocumentTerms], parts: Counts, asked: TermHashes, weighing: Weighing
) -> tuple[Counts, Counts]:
    """How often each sentence of some parts has each term, with its neighbours and its title, int32
    of shape (sentences, terms), and how many terms it has, int32 of shape (sentences,), in tenths.

    Args:
        parts: consecutive sentences of the documents: the number of a document, the first row, and
            the one behind the last, int32 of shape (parts, 3).
    """
    rows = int((parts[:, 2] - parts[:, 1]).sum())
    found = np.empty((rows, len(asked)), np.int32)
    lengths = np.empty(rows, np.int32)
    counted = (c_int32 * 3)(*weighing)
    _library().keymiss_count_in_sentences(
        *(_pointers(documents), parts.ctypes.data, len(parts), asked.ctypes.data, len(asked)),
        *(counted, found.ctypes.data, lengths.ctypes.data),
    )
    return found, lengths


def _pointers(documents: Sequence[DocumentTerms]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(documents))(*[each.address for each in documents])
