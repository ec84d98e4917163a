"""Chooses a shard's best sentences among the documents that share words with a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keymiss.keys import DocumentKeys
from keymiss.search.document_terms import DocumentTerms, weigh
from keymiss.search.ranking import DOCUMENT_WEIGHT, Integers, score_documents, score_sentences
from keymiss.search.terms import TermHashes
from keymiss.values.find_value import Candidate, Candidates

MOST_SCORED = 1500
"""How many sentences are scored for a question, at most. Of documents beyond that, only those
sentences are that share words with the question, and two neighbours on either side."""

SIEVE = 1 << 12


@dataclass(frozen=True, slots=True)
class MatchedDocument:
    """A document, and the rows of those of its sentences that share words with the question."""

    keys: DocumentKeys
    terms: DocumentTerms
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of a document, given by its place in a list, from `first` to `end`."""

    document: int
    first: int
    end: int


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
    of_documents = _in_documents(matched, asked)
    sizes = np.array([len(each.terms.tokens) for each in matched], np.int64)
    document_scores = DOCUMENT_WEIGHT * score_documents(whole, of_documents, sizes)
    parts = _parts(matched, np.argsort(-document_scores, kind="stable").tolist())
    rows = np.array([part.end - part.first for part in parts])
    document = np.repeat([part.document for part in parts], rows)
    frequencies, lengths = _in_sentences(matched, parts, document, asked)
    scores = score_sentences(whole, frequencies, lengths) + document_scores[document]
    scores[~frequencies.any(axis=1)] = 0.0
    most = min(limit, int(np.count_nonzero(scores)))
    if not most:
        return []
    # Of those with the least score all are named, so that the order in the index does not matter.
    kept = np.flatnonzero(scores >= np.partition(scores, -most)[-most])
    row = np.concatenate([np.arange(part.first, part.end) for part in parts])
    kept_rows = zip([matched[one] for one in document[kept]], row[kept].tolist(), strict=True)
    named = [
        (one.keys.sentence(int(one.terms.numbers[at])), _sizes_around(one.terms.sizes, at))
        for one, at in kept_rows
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


def _sizes_around(sizes: npt.NDArray[np.int32], row: int) -> list[int]:
    """The size of the sentence before a row, of its own, and of the one after it."""
    return [
        int(sizes[row - 1]) if row else 0,
        int(sizes[row]),
        int(sizes[row + 1]) if row + 1 < len(sizes) else 0,
    ]


def _parts(matched: Sequence[MatchedDocument], order: Sequence[int]) -> list[_Part]:
    """What is scored: whole documents, the best first, and surroundings in those beyond."""
    parts, room = [], MOST_SCORED
    for number in order:
        one = matched[number]
        size = len(one.terms.numbers)
        if size <= room:
            parts.append(_Part(number, 0, size))
            room -= size
            continue
        first = end = 0
        for row in sorted(one.rows):
            if row - 2 > end:
                parts.append(_Part(number, first, end))
                first = row - 2
            end = min(row + 3, size)
        parts.append(_Part(number, first, end))
    return [part for part in parts if part.first < part.end]


def _in_documents(matched: Sequence[MatchedDocument], asked: TermHashes) -> Integers:
    """How often each document has each term, shape (documents, terms)."""
    vocabularies = [each.terms.vocabulary for each in matched]
    ends = np.cumsum([len(terms) for terms, _ in vocabularies])
    terms = np.concatenate([terms for terms, _ in vocabularies])
    counts = np.concatenate([counts for _, counts in vocabularies])
    return _occurrences(terms, ends, asked, counts)


def _in_sentences(
    matched: Sequence[MatchedDocument],
    parts: Sequence[_Part],
    document: Integers,
    asked: TermHashes,
) -> tuple[Integers, Integers]:
    """How often each sentence has each term, shape (sentences, terms), and its length, shape
    (sentences,), in tenths."""
    tokens, begins, ends = [], [], []
    for part in parts:
        terms = matched[part.document].terms
        bounds = terms.bounds[part.first : part.end + 1]
        tokens.append(terms.tokens[bounds[0] : bounds[-1]])
        begins.append(bounds[:-1])
        ends.append(bounds[1:])
    own_lengths = (np.concatenate(ends) - np.concatenate(begins)).astype(np.int64)
    own = _occurrences(np.concatenate(tokens), np.cumsum(own_lengths), asked)
    titles = [each.terms.title for each in matched]
    title_lengths = np.array([len(each) for each in titles], np.int64)
    in_titles = _occurrences(np.concatenate(titles), np.cumsum(title_lengths), asked)
    first = np.zeros(len(own_lengths), np.bool_)
    first[np.cumsum([0, *(len(each) for each in begins[:-1])])] = True
    frequencies = weigh(own, in_titles[document], first)
    weighed = weigh(own_lengths[:, None], title_lengths[document][:, None], first)
    return frequencies, weighed[:, 0]


def _occurrences(
    tokens: TermHashes,
    ends: Integers,
    asked: TermHashes,
    counts: npt.NDArray[np.int32] | None = None,
) -> Integers:
    """How often each of some texts has each asked term, shape (texts, terms).

    Args:
        tokens: the terms of all texts, one after the other.
        ends: where each of the texts ends in them.
        counts: how often each token counts; once when left out.
    """
    # Few tokens are asked for: a small table finds those that may be.
    may_be = np.zeros(SIEVE, np.bool_)
    may_be[asked % SIEVE] = True
    at = np.flatnonzero(may_be[tokens % SIEVE])
    hit, term = np.nonzero(tokens[at, None] == asked)
    at = at[hit]
    place = np.searchsorted(ends, at, side="right") * len(asked) + term
    weights = None if counts is None else counts[at]
    found = np.bincount(place, weights, len(ends) * len(asked))
    return found.astype(np.int64).reshape(len(ends), len(asked))
