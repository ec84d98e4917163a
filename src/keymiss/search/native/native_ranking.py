"""Ranks the sentences that the index has found, and counts terms in others, in C."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from ctypes import Structure, c_double, c_int32, c_void_p
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keymiss.search.document_terms import DocumentTerms, Weighing
from keymiss.search.native.search_library import search_library
from keymiss.search.terms import TermHashes

SURROUNDINGS = 5
"""How many sentences are ranked for one that was found, at most, in a document that is too long."""

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TermScores:
    """BM25 of one kind of text: a term that occurs f times in a text of a length gives
    `weight * f / (f + flat + slope * length)`. The weights are float64 of shape (terms,)."""

    weights: npt.NDArray[np.float64]
    flat: float
    slope: float


@dataclass(frozen=True, slots=True)
class RankedRows:
    """The best sentences, in any order, each array of shape (sentences,) or (sentences, terms).

    `documents` are numbers of documents in the list that was given, and `rows` the places of the
    sentences in them. `lengths` and `frequencies` count terms with neighbours and title, in tenths.
    `of_documents` counts each document's terms, shape (documents, terms).
    """

    documents: Numbers
    rows: Numbers
    lengths: Numbers
    frequencies: Numbers
    scores: npt.NDArray[np.float64]
    of_documents: Numbers


@dataclass(frozen=True, slots=True)
class CountedRows:
    """What some sentences have of a question's terms, with neighbours and title, in tenths:
    `lengths` of shape (sentences,) and `frequencies` of shape (sentences, terms). `of_documents`
    counts each document's terms, shape (documents, terms). All are int32."""

    lengths: Numbers
    frequencies: Numbers
    of_documents: Numbers


class _TermScores(Structure):
    _fields_ = (("weights", c_void_p), ("flat", c_double), ("slope", c_double))


class _Question(Structure):
    _fields_ = (
        ("asked", c_void_p),
        *((name, c_int32) for name in ("terms", "own", "near", "in_title", "most_scored", "limit")),
        ("sentences", _TermScores),
        ("documents", _TermScores),
    )


class _Result(Structure):
    _fields_ = tuple(
        (name, c_void_p) for name in ("of_documents", "rows", "lengths", "frequencies", "scores")
    )


def rank_rows(
    documents: Sequence[DocumentTerms],
    found: Numbers,
    asked: TermHashes,
    scores: tuple[TermScores, TermScores],
    weighing: Weighing,
    most_scored: int,
    limit: int,
) -> RankedRows:
    """The best `limit` sentences of these documents, and all that are as good as the last of them.

    Args:
        documents: what is ranked; the best documents first, until `most_scored` sentences are.
        found: the number of a document and a row for each sentence that the index has found, int32
            of shape (sentences, 2). Of documents beyond, only these and those around them are
            ranked.
        asked: the question's terms, uint32 of shape (terms,), at most 64.
        scores: how sentences are scored, and documents.
    """
    room = most_scored + SURROUNDINGS * len(found)
    terms = len(asked)
    sizes = (len(documents) * terms, 2 * room, room, room * terms)
    memory = np.empty(sum(sizes), np.int32)
    starts = [0, *itertools.accumulate(sizes)]
    total = np.empty(room, np.float64)
    by_sentences, by_documents = (
        _TermScores(each.weights.ctypes.data, each.flat, each.slope) for each in scores
    )
    question = _Question(
        asked.ctypes.data, terms, *weighing, most_scored, limit, by_sentences, by_documents
    )
    begin = memory.ctypes.data
    result = _Result(*(begin + 4 * start for start in starts[:-1]), total.ctypes.data)
    pointers = np.array([each.address for each in documents], np.uint64)
    kept = search_library().keymiss_rank_sentences(
        *(pointers.ctypes.data, len(documents), found.ctypes.data, len(found)),
        *(ctypes.byref(question), ctypes.byref(result)),
    )
    if kept < 0:
        raise MemoryError
    of_documents, places, lengths, frequencies = (
        memory[start : start + size] for start, size in zip(starts, sizes, strict=False)
    )
    return RankedRows(
        documents=places[: 2 * kept : 2],
        rows=places[1 : 2 * kept : 2],
        lengths=lengths[:kept],
        frequencies=frequencies[: kept * terms].reshape(-1, terms),
        scores=total[:kept],
        of_documents=of_documents.reshape(-1, terms),
    )


def count_rows(
    documents: Sequence[DocumentTerms], wanted: Numbers, asked: TermHashes, weighing: Weighing
) -> CountedRows:
    """Counts the question's terms in some sentences.

    Args:
        documents: the documents of these sentences.
        wanted: the number of its document in this list, and the row, of each sentence, int32 of
            shape (sentences, 2).
        asked: the question's terms, uint32 of shape (terms,), at most 64.
    """
    of_documents = np.empty((len(documents), len(asked)), np.int32)
    lengths = np.empty(len(wanted), np.int32)
    frequencies = np.empty((len(wanted), len(asked)), np.int32)
    question = _Question(asked.ctypes.data, len(asked), *weighing)
    into = [array.ctypes.data for array in (of_documents, lengths, frequencies)]
    result = _Result(of_documents=into[0], lengths=into[1], frequencies=into[2])
    pointers = np.array([each.address for each in documents], np.uint64)
    search_library().keymiss_count_sentences(
        *(pointers.ctypes.data, len(documents), wanted.ctypes.data, len(wanted)),
        *(ctypes.byref(question), ctypes.byref(result)),
    )
    return CountedRows(lengths, frequencies, of_documents)
