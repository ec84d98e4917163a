"""Ranks sentences by their words and vectors, in one shard and over all shards alike."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from keymiss.search.native.native_ranking import TermScores
from keymiss.search.terms import term_weights
from keymiss.server.topology import joined
from keymiss.values.find_value import Candidate, Candidates, ShardCandidates

CANDIDATES = 48
"""How many candidates a shard gives by their words: more than are read at most, so that the best
ones over all shards are among them."""

BY_WORDS, BY_VECTORS = 24, 40
"""How many it gives by their words and by their vectors, where it has vectors. With more, the same
windows are found among thirty (docs/decisions/0022-vectors.md)."""

COSINE_WEIGHT = 1.0
"""How much a cosine counts beside the share. A share says how many of a question's terms a sentence
holds: where people ask in their own words, all shares are low, and the cosines decide."""

SATURATION = 1.2
SENTENCE_LENGTH_WEIGHT, DOCUMENT_LENGTH_WEIGHT = 0.5, 0.75
"""k1 and b of BM25 (Robertson and Zaragoza 2009). b is smaller for sentences, whose lengths with
their neighbours differ less."""

FUSION = 3
"""The constant of reciprocal rank fusion: 60 in the paper; the smaller, the more the first places
count (docs/decisions/0014-concepts.md)."""

DOCUMENT_WEIGHT = 0.5
"""How much the score of a sentence's document counts beside its own."""

TENTHS = 10
"""Sentences are counted in tenths: `document_terms.Weighing`."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sentence, named `DOC:{TAG}:N`, and its score over all shards.

    `share` is its score by words as a part of what a sentence could have that holds all of the
    question's terms over and over. `cosine` says how near its vector is to the question's; for a
    sentence without a vector it is the mean of the others, and 0 when none has one. `sizes` are
    those of `Candidate`; empty when they are not known.
    """

    sentence: str
    score: float
    share: float = 0.0
    cosine: float = 0.0
    sizes: tuple[int, ...] = ()


def rank(shards: Sequence[Candidates]) -> list[Ranked]:
    """Ranks the best candidates by words and the nearest ones by one score, best first.

    The statistics of the shards are added up, so that a sentence's score does not depend on how
    many shards there are. Equal scores are ordered by name.
    """
    candidates = [each for shard in shards for each in shard.candidates]
    shares = _shares(added_up(shards), candidates)
    best = _best_of_all(candidates, shares)
    known = [cosine for one in best if (cosine := candidates[one].cosine) is not None]
    usual = math.fsum(known) / len(known) if known else 0.0
    ranked = []
    for one in best:
        each, share = candidates[one], shares[one]
        cosine = usual if each.cosine is None else each.cosine
        score = share + COSINE_WEIGHT * cosine
        ranked.append(Ranked(each.sentence, score, share, cosine, tuple(each.sizes)))
    return sorted(ranked, key=lambda one: (-one.score, one.sentence))


def _best_of_all(candidates: Sequence[Candidate], shares: Sequence[float]) -> list[int]:
    """Which candidates are among the best of all shards, by words or by vectors. Others are there
    or not as the sentences are divided among the shards."""
    names = [each.sentence for each in candidates]
    by_words = [
        (-share, name, one)
        for one, (share, name) in enumerate(zip(shares, names, strict=True))
        if share > 0
    ]
    nearest = [
        (-each.cosine, each.sentence, one)
        for one, each in enumerate(candidates)
        if each.cosine is not None
    ]
    most = BY_WORDS if nearest else CANDIDATES
    lists = (sorted(by_words)[:most], sorted(nearest)[:BY_VECTORS])
    return list(dict.fromkeys(one for some in lists for *_, one in some))


def _shares(whole: Candidates, candidates: Sequence[Candidate]) -> list[float]:
    """The share of each candidate, by the statistics of all shards."""
    of_sentences, of_documents = term_scores(whole)
    highest = float(of_sentences.weights.sum() + of_documents.weights.sum())
    if not candidates or not highest:
        return [0.0] * len(candidates)
    by_sentence = _bm25(
        of_sentences,
        np.array([each.frequencies for each in candidates], float),
        np.array([each.length for each in candidates], float),
    )
    by_document = _bm25(
        of_documents,
        np.array([each.document_frequencies for each in candidates], float),
        np.array([each.document_length for each in candidates], float),
    )
    # A document's words count where the sentence or its neighbours have one, too.
    scores = np.where(by_sentence > 0, by_sentence + by_document, 0)
    return [float(one) for one in scores / highest]


def term_scores(whole: Candidates) -> tuple[TermScores, TermScores]:
    """How sentences are scored by these statistics, counted in tenths with their neighbours and
    titles, and how much their documents add."""
    weights = term_weights(whole.sentence_counts)
    of_sentences = _rarities(weights, whole.sentence_counts.values(), whole.sentences)
    of_documents = _rarities(weights, whole.document_counts, whole.documents)
    mean_tenths = max(1, whole.total_length) / max(1, whole.sentences)
    mean_length = max(1, whole.documents_length) / max(1, whole.documents)
    return (
        _scores(of_sentences, SENTENCE_LENGTH_WEIGHT, TENTHS, mean_tenths),
        _scores(of_documents, DOCUMENT_LENGTH_WEIGHT, 1, mean_length, DOCUMENT_WEIGHT),
    )


def _rarities(weights: Sequence[float], counts: Iterable[int], total: int) -> list[float]:
    """The weight of each term, times how rare it is."""
    return [
        weight * math.log(1 + (total - held + 0.5) / (held + 0.5))
        for weight, held in zip(weights, counts, strict=True)
    ]


def _scores(
    weights: Sequence[float], length_weight: float, unit: int, mean: float, factor: float = 1.0
) -> TermScores:
    return TermScores(
        np.array([factor * (SATURATION + 1) * weight for weight in weights]),
        unit * SATURATION * (1 - length_weight),
        unit * SATURATION * length_weight / mean,
    )


def _bm25(by: TermScores, frequencies: Floats, lengths: Floats) -> Floats:
    dampening = by.flat + by.slope * lengths
    parts = by.weights * frequencies / (frequencies + dampening[:, None])
    return np.asarray(parts.sum(axis=1))


def added_up(shards: Sequence[Candidates]) -> Candidates:
    """The statistics of all shards together, without candidates."""
    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update(shard.sentence_counts)
    of_documents = np.array([shard.document_counts for shard in shards], np.int64)
    return Candidates(
        documents=sum(shard.documents for shard in shards),
        documents_length=sum(shard.documents_length for shard in shards),
        sentences=sum(shard.sentences for shard in shards),
        total_length=sum(shard.total_length for shard in shards),
        sentence_counts=dict(counts),
        document_counts=of_documents.sum(axis=0).tolist() if len(shards) else [],
        candidates=(),
    )


def together(parts: Sequence[ShardCandidates]) -> Sequence[ShardCandidates]:
    """What a single shard with the slots of all parts would have found.

    While a slot is on its way between them, the parts are returned as they are, since it then
    matters which shard has found what.
    """
    slots = joined(part.slots for part in parts)
    once = slots.bit_count() == sum(part.slots.bit_count() for part in parts)
    if not once or not all(part.settled for part in parts):
        return parts
    found = [part.candidates for part in parts]
    all_found = [each for one in found for each in one.candidates]
    counts = added_up(found)
    kept = _best_of_all(all_found, _shares(counts, all_found))
    whole = replace(counts, candidates=tuple(all_found[one] for one in kept))
    passage_ms = max(part.passage_ms for part in parts)
    return [ShardCandidates(whole, slots, slots, settled=True, passage_ms=passage_ms)]


def join(lists: Sequence[tuple[float, Sequence[Ranked]]]) -> list[Ranked]:
    """Joins rankings of sentences, each with its weight, by reciprocal rank fusion (Cormack, Clarke
    and Buettcher 2009).

    Equal scores of a list are ordered as in the first one, and those of the result by name. The
    result has the scores of the first list; a sentence that is not in it has none.
    """
    if len(lists) == 1:
        return list(lists[0][1])
    places = {one.sentence: place for place, one in enumerate(lists[0][1])}
    scores: dict[str, float] = defaultdict(float)
    for weight, ranking in lists:
        ordered = sorted(
            ranking, key=lambda one: (-one.score, places.get(one.sentence, len(places)))
        )
        for place, one in enumerate(ordered, start=1):
            scores[one.sentence] += weight / (FUSION + place)
    first = {one.sentence: one for one in lists[0][1]}
    order = sorted(scores, key=lambda sentence: (-scores[sentence], sentence))
    return [first.get(sentence) or Ranked(sentence, 0.0) for sentence in order]
