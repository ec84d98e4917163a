"""Makes one ranking of the candidates of all shards."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keymiss.server.topology import joined
from keymiss.values.find_value import Candidates, ShardCandidates

CANDIDATES = 20
"""How many candidates a shard gives: two for each sentence that is read, so that the best ones over
all shards are among them."""

SATURATION = 1.2
LENGTH_WEIGHT = 0.75
"""k1 and b of BM25 (Robertson and Zaragoza 2009), with the defaults of Lucene and tantivy."""


FUSION, CONCEPTS_WEIGHT = 3, 0.5
"""The constant of reciprocal rank fusion (60 in the paper; the smaller, the more the first places
count), and the weight of the ranking by concepts: docs/decisions/0014-concepts.md."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sentence and its BM25 score over all shards."""

    sentence: str
    score: float


def rank(shards: Sequence[Candidates]) -> list[Ranked]:
    """Ranks all candidates by the same BM25, best first.

    The statistics of the shards are added up, so that a sentence's score does not depend on how
    many shards there are. Equal scores are ordered by name.
    """
    whole = added_up(shards)
    sentences, total_length = whole.sentences, whole.total_length
    if not sentences or not total_length:
        return []
    weights = {
        term: math.log(1 + (sentences - count + 0.5) / (count + 0.5))
        for term, count in whole.sentence_counts.items()
    }
    fixed = SATURATION * (1 - LENGTH_WEIGHT)
    of_length = SATURATION * LENGTH_WEIGHT * sentences / total_length
    ranked = []
    for shard in shards:
        of_terms = [(SATURATION + 1) * weights[term] for term in shard.sentence_counts]
        for candidate in shard.candidates:
            dampening = fixed + of_length * candidate.length
            score = 0.0
            for weight, frequency in zip(of_terms, candidate.frequencies, strict=True):
                if frequency:
                    score += weight * frequency / (frequency + dampening)
            ranked.append((-score, candidate.sentence))
    return [Ranked(sentence, -score) for score, sentence in sorted(ranked)]


def added_up(shards: Sequence[Candidates]) -> Candidates:
    """The statistics of all shards together, without candidates."""
    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update(shard.sentence_counts)
    return Candidates(
        documents=sum(shard.documents for shard in shards),
        sentences=sum(shard.sentences for shard in shards),
        total_length=sum(shard.total_length for shard in shards),
        sentence_counts=dict(counts),
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
    of_name = {each.sentence: each for one in found for each in one.candidates}
    best = tuple(of_name[each.sentence] for each in rank(found)[:CANDIDATES])
    return [ShardCandidates(replace(added_up(found), candidates=best), slots, slots, settled=True)]


def fuse(words: Sequence[str], concepts: Sequence[str]) -> list[str]:
    """Joins a ranking of sentences by their words with one by their concepts, by reciprocal rank
    fusion (Cormack, Clarke and Buettcher 2009). Equal scores are ordered by name."""
    scores: dict[str, float] = defaultdict(float)
    for weight, ranking in ((1.0, words), (CONCEPTS_WEIGHT, concepts)):
        for place, sentence in enumerate(ranking, start=1):
            scores[sentence] += weight / (FUSION + place)
    return sorted(scores, key=lambda sentence: (-scores[sentence], sentence))
