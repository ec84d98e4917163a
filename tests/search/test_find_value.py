"""What several shards have found together is what one that holds all would find."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.search.ranking import CANDIDATES, rank, together
from keymiss.server.topology import slot_range
from keymiss.values.find_value import (
    ShardCandidates,
    host_candidates_from_json,
    host_candidates_to_json,
    shard_candidates_from_json,
    shard_candidates_to_json,
)
from tests.search.test_ranking import documents, index_of, words

PARTS = [slot_range(0, 99), slot_range(100, 16_383)]


def searched(texts, question, slots=PARTS):
    """On two shards, each with every second document."""
    numbered = list(enumerate(texts))
    return [
        ShardCandidates(index_of(half).find(question, CANDIDATES), part, part, True)
        for half, part in zip((numbered[::2], numbered[1::2]), slots, strict=True)
    ]


@settings(max_examples=15, deadline=None)
@given(documents, st.lists(words, min_size=1, max_size=3).map(" ".join))
def test_together_shards_rank_as_they_do_apart(texts, question):
    parts = searched(texts, question)
    (whole,) = together(parts)
    apart = rank([part.candidates for part in parts])[:CANDIDATES]
    ranked = rank([whole.candidates])
    assert [one.sentence for one in ranked] == [one.sentence for one in apart]
    assert [one.score for one in ranked] == pytest.approx([one.score for one in apart])
    assert whole.slots == whole.owned == PARTS[0] | PARTS[1]


def test_of_many_candidates_the_best_stay():
    parts = searched([["virus bat"] * 50, ["virus"] * 50], "virus bat")
    (whole,) = together(parts)
    names = [each.sentence for each in whole.candidates.candidates]
    assert names == [each.sentence for each in rank([p.candidates for p in parts])][:CANDIDATES]
    assert len(names) == CANDIDATES


def test_while_a_slot_is_on_its_way_the_parts_stay_apart():
    parts = searched([["virus"], ["virus"]], "virus")
    unsettled = [parts[0], replace(parts[1], settled=False)]
    assert together(unsettled) == unsettled
    both = [parts[0], replace(parts[1], slots=PARTS[1] | 1, owned=PARTS[1] | 1)]
    assert together(both) == both


@settings(max_examples=15, deadline=None)
@given(documents, words)
def test_what_is_read_is_what_was_written(texts, question):
    parts = searched(texts, question)
    assert shard_candidates_from_json(shard_candidates_to_json(parts[0]).encode()) == parts[0]
    assert host_candidates_from_json(host_candidates_to_json(parts).encode()) == parts


@pytest.mark.parametrize("value", [b"[]", b"{}", b'{"v": 3}', b"null"])
def test_another_format_is_refused(value):
    with pytest.raises(ValueError, match="format"):
        shard_candidates_from_json(value)
