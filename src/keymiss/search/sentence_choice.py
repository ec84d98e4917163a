"""Chooses a shard's best sentences: by their words, and by their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keymiss.keys import DocumentKeys
from keymiss.search.document_terms import WEIGHING, DocumentTerms
from keymiss.search.native.native_ranking import Numbers, count_rows, rank_rows
from keymiss.search.ranking import term_scores
from keymiss.search.terms import TermHashes
from keymiss.search.vector_index import NearSentences
from keymiss.values.find_value import Candidate, Candidates

MOST_SCORED = 1500
"""How many sentences are scored for a question, at most. Of documents beyond that, only those
sentences are that share words with the question, and two neighbours on either side."""

COSINE_DIGITS = 4
"""To how many digits cosines are rounded."""


class SearchedDocument(Protocol):
    """A document of the index."""

    @property
    def keys(self) -> DocumentKeys:
        """Its keys."""

    @property
    def terms(self) -> DocumentTerms:
        """The terms of its sentences."""

    @property
    def prefix(self) -> str:
        """The beginning of its sentences' names."""

    @property
    def stamp(self) -> bytes:
        """What its vectors are made from, if it has some."""


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Sentences with what a ranking needs to know of them, each array of shape (sentences,) or
    (sentences, terms); `documents` are numbers of documents in a list, and `of_documents` has the
    shape (documents, terms)."""

    documents: Numbers
    rows: Numbers
    lengths: Numbers
    frequencies: Numbers
    of_documents: Numbers


def best_sentences(
    whole: Candidates,
    asked: TermHashes,
    documents: Sequence[SearchedDocument],
    found: Numbers,
    limit: int,
) -> ChosenRows:
    """The best sentences of these documents by their words, best first. Equal scores are ordered by
    name.

    Args:
        whole: the statistics by which they are ranked.
        asked: the question's terms, uint32 of shape (terms,).
        documents: the documents that share words with the question, at least one.
        found: the number of the document in this list, and the row, of each sentence that shares
            words with the question, int32 of shape (sentences, 2).
    """
    terms = [each.terms for each in documents]
    best = rank_rows(terms, found, asked, term_scores(whole), WEIGHING, MOST_SCORED, limit)
    places = zip(best.documents.tolist(), best.rows.tolist(), strict=True)
    names = [f"{documents[one].prefix}{terms[one].numbers[row]}" for one, row in places]
    order = sorted(zip((-best.scores).tolist(), names, range(len(names)), strict=True))[:limit]
    kept = np.array([place for *_, place in order], np.intp)
    return ChosenRows(
        best.documents[kept],
        best.rows[kept],
        best.lengths[kept],
        best.frequencies[kept],
        best.of_documents,
    )


def counted_sentences(
    asked: TermHashes, documents: Sequence[SearchedDocument], wanted: Numbers
) -> ChosenRows:
    """What some sentences have of the question's words; the arguments are those of
    `best_sentences`."""
    counted = count_rows([each.terms for each in documents], wanted, asked, WEIGHING)
    return ChosenRows(
        wanted[:, 0], wanted[:, 1], counted.lengths, counted.frequencies, counted.of_documents
    )


def candidates_of(
    documents: Sequence[SearchedDocument], chosen: ChosenRows, near: NearSentences | None
) -> list[Candidate]:
    """The candidates that a shard gives for these sentences."""
    columns = (
        chosen.documents.tolist(),
        chosen.rows.tolist(),
        chosen.lengths.tolist(),
        chosen.frequencies.tolist(),
        chosen.of_documents[chosen.documents].tolist(),
        _cosines(documents, chosen, near),
    )
    return [
        Candidate(
            f"{documents[one].prefix}{documents[one].terms.numbers[row]}",
            length,
            frequencies,
            len(documents[one].terms.tokens),
            in_document,
            documents[one].terms.sizes[row : row + 5].tolist(),
            cosine,
        )
        for one, row, length, frequencies, in_document, cosine in zip(*columns, strict=True)
    ]


def _cosines(
    documents: Sequence[SearchedDocument], chosen: ChosenRows, near: NearSentences | None
) -> list[float | None]:
    if near is None:
        return [None] * len(chosen.rows)
    numbers = near.index.numbers((each.keys, each.stamp) for each in documents)
    places = np.column_stack([np.array(numbers, np.int32)[chosen.documents], chosen.rows])
    cosines = near.index.cosines(near.vector, np.ascontiguousarray(places, np.int32)).tolist()
    return [None if one != one else round(one, COSINE_DIGITS) for one in cosines]
