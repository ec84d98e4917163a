"""Chooses a shard's best sentences among the documents that share words with a question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keymiss.search.document_terms import WEIGHING, DocumentTerms
from keymiss.search.native.native_ranking import Numbers, rank_rows
from keymiss.search.ranking import term_scores
from keymiss.search.terms import TermHashes
from keymiss.values.find_value import Candidate, Candidates

MOST_SCORED = 1500
"""How many sentences are scored for a question, at most. Of documents beyond that, only those
sentences are that share words with the question, and two neighbours on either side."""


def best_sentences(
    whole: Candidates,
    asked: TermHashes,
    documents: Sequence[tuple[str, DocumentTerms]],
    found: Numbers,
    limit: int,
) -> list[Candidate]:
    """The best sentences of these documents, best first. Equal scores are ordered by name.

    Args:
        whole: the statistics by which they are ranked.
        asked: the question's terms, uint32 of shape (terms,).
        documents: the beginning of the names of each document's sentences, and its terms.
        found: the number of the document in this list, and the row, of each sentence that shares
            words with the question, int32 of shape (sentences, 2).
    """
    if not documents:
        return []
    terms = [each for _, each in documents]
    best = rank_rows(terms, found, asked, term_scores(whole), WEIGHING, MOST_SCORED, limit)
    places = zip(best.documents.tolist(), best.rows.tolist(), strict=True)
    names = [f"{documents[one][0]}{terms[one].numbers[row]}" for one, row in places]
    order = sorted(zip((-best.scores).tolist(), names, range(len(names)), strict=True))[:limit]
    kept = np.array([place for *_, place in order], np.intp)
    columns = (
        best.documents[kept].tolist(),
        best.rows[kept].tolist(),
        best.lengths[kept].tolist(),
        best.frequencies[kept].tolist(),
        best.of_documents[best.documents[kept]].tolist(),
    )
    return [
        Candidate(
            name,
            length,
            frequencies,
            len(terms[one].tokens),
            in_document,
            terms[one].sizes[row : row + 5].tolist(),
        )
        for (_, name, _), one, row, length, frequencies, in_document in zip(
            order, *columns, strict=True
        )
    ]
