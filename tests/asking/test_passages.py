"""Passages: candidates are read with their neighbours, and short ones that overlap together."""

from hypothesis import given
from hypothesis import strategies as st

from keymiss.asking.passages import LONGEST_ALONE, LONGEST_JOINED, cut_passages
from keymiss.search.ranking import Ranked


def ranked(number, sizes=(300, 100, 100, 100, 300), document="a", share=0.5):
    return Ranked(f"{document}:{{T}}:{number}", 1.0, share, sizes=tuple(sizes))


def cut(*candidates):
    return [(one.document, one.first, one.last) for one in cut_passages(candidates)]


def test_a_candidate_is_read_with_its_neighbours():
    assert cut(ranked(5)) == [("a:{T}:", 4, 6)]


def test_where_sentences_are_short_the_next_ones_are_read_too():
    assert cut(ranked(5, (60, 60, 60, 60, 60))) == [("a:{T}:", 3, 7)]
    assert cut(ranked(5, (60, 130, 130, 130, 60))) == [("a:{T}:", 4, 7)]
    assert cut(ranked(1, (0, 60, 60, 60, 60))) == [("a:{T}:", 0, 3)]


def test_at_the_ends_of_a_document_there_is_one_neighbour():
    assert cut(ranked(0, (0, 0, 100, 100, 300))) == [("a:{T}:", 0, 1)]
    assert cut(ranked(7, (300, 100, 100, 0, 0))) == [("a:{T}:", 6, 7)]


def test_a_neighbour_that_makes_it_too_long_is_left_out():
    assert cut(ranked(5, (9, LONGEST_ALONE, 300, 200, 9))) == [("a:{T}:", 5, 6)]
    assert cut(ranked(5, (9, 9, 2 * LONGEST_ALONE, 9, 9))) == [("a:{T}:", 5, 5)]


def test_candidates_that_overlap_are_one_passage():
    assert cut(ranked(5), ranked(7)) == [("a:{T}:", 4, 8)]
    assert cut(ranked(5), ranked(6)) == [("a:{T}:", 4, 7)]


def test_those_that_do_not_or_that_are_long_stay_apart():
    assert cut(ranked(5), ranked(8)) == [("a:{T}:", 4, 6), ("a:{T}:", 7, 9)]
    assert cut(ranked(5), ranked(6, document="b")) == [("a:{T}:", 4, 6), ("b:{T}:", 5, 7)]
    long = (200,) * 5
    assert cut(ranked(5, long), ranked(6, long)) == [("a:{T}:", 4, 6), ("a:{T}:", 5, 7)]


def test_a_sentence_has_the_share_of_the_candidates_beside_it():
    (passage,) = cut_passages([ranked(5, share=0.9), ranked(7, share=0.3)])
    assert [passage.share(number) for number in (4, 5, 6, 7, 8)] == [0.9, 0.9, 0.9, 0.3, 0.3]


def test_a_candidate_of_unknown_size_is_read_with_its_neighbours():
    assert cut(Ranked("a:{T}:5", 0.0)) == [("a:{T}:", 4, 6)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 600)), max_size=20))
def test_every_candidate_is_in_one_passage_and_no_joined_one_is_long(drawn):
    sizes = [0, 0] + [size for _, size in drawn] + [50] * 40
    numbers = list(dict.fromkeys(number for number, _ in drawn))
    passages = cut_passages([ranked(n, sizes[n : n + 5]) for n in numbers])
    held = sorted(n for one in passages for n in one.candidates)
    assert held == sorted(numbers)
    for one in passages:
        assert sorted(one.sizes) == list(range(one.first, one.last + 1))
        if len(one.candidates) > 1:
            assert sum(one.sizes.values()) <= LONGEST_JOINED
