"""Chooses a shard's best sentences among the documents that share words with a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keymiss.keys import DocumentKeys
from keymiss.search.counting.counted_terms import (
    Counts,
    count_in_documents,
    count_in_sentences,
)
from keymiss.search.document_terms import WEIGHING, DocumentTerms
from keymiss.search.ranking import DOCUMENT_WEIGHT, score_documents, score_sentences
from keymiss.search.terms import TermHashes
from keymiss.values.find_value import Candidate, Candidates

MOST_SCORED = 1500
"""How many sentences are scored for a question, at most. Of documents beyond that, only those
sentences are that share words with the question, and two neighbours on either side."""


@dataclass(frozen=True, slots=True)
class MatchedDocument:
    """A document, and the rows of those of its sentences that share words with the question."""

    keys: DocumentKeys
    terms: DocumentTerms
    rows: Sequence[int]


def best_sentences(
    whole: Candidates, asked: TermHashes, matched: Sequence[MatchedDocument], limit: int
) -> list[Candidate]:
    """The best sentences of these documents, best first. Equal scores are ordered by name.

    Args:
        whole: the statistics by which they are ranked.
        asked: the question's terms, uint32 of shape (terms,).
    """
    if not matched:
        return []
    documents = [each.terms for each in matched]
    of_documents = count_in_documents(documents, asked)
    sizes = np.array([len(each.tokens) for each in documents], np.int64)
    document_scores = DOCUMENT_WEIGHT * score_documents(whole, of_documents, sizes)
    parts = _parts(matched, np.argsort(-document_scores, kind="stable").tolist())
    rows = parts[:, 2] - parts[:, 1]
    document = np.repeat(parts[:, 0], rows)
    frequencies, lengths = count_in_sentences(documents, parts, asked, WEIGHING)
    scores = score_sentences(whole, frequencies, lengths) + document_scores[document]
    scores[~frequencies.any(axis=1)] = 0.0
    most = min(limit, int(np.count_nonzero(scores)))
    if not most:
        return []
    # Of those with the least score all are named, so that the order in the index does not matter.
    kept = np.flatnonzero(scores >= np.partition(scores, -most)[-most])
    row = np.arange(len(scores)) - np.repeat(np.cumsum(rows) - rows - parts[:, 1], rows)
    prefixes = [each.keys.sentence_prefix for each in matched]
    named = [
        (f"{prefixes[one]}{documents[one].numbers[at]}", documents[one].sizes[at : at + 3].tolist())
        for one, at in zip(document[kept].tolist(), row[kept].tolist(), strict=True)
    ]
    columns = (
        (-scores[kept]).tolist(),
        [name for name, _ in named],
        lengths[kept].tolist(),
        frequencies[kept].tolist(),
        sizes[document[kept]].tolist(),
        of_documents[document[kept]].tolist(),
        [around for _, around in named],
    )
    return [Candidate(*values) for _, *values in sorted(zip(*columns, strict=True))[:most]]


def _parts(matched: Sequence[MatchedDocument], order: Sequence[int]) -> Counts:
    """What is scored: whole documents, the best first, and surroundings in those beyond, int32 of
    shape (parts, 3): the number of the document, its first row, and the one behind the last."""
    parts, room = [], MOST_SCORED
    for number in order:
        one = matched[number]
        size = len(one.terms.numbers)
        if size <= room:
            parts.append((number, 0, size))
            room -= size
            continue
        first = end = 0
        for row in sorted(one.rows):
            if row - 2 > end:
                parts.append((number, first, end))
                first = row - 2
            end = min(row + 3, size)
        parts.append((number, first, end))
    return np.array([part for part in parts if part[1] < part[2]], np.int32)
