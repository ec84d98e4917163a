"""Choosing: what is likely to be right comes first, from more than one document."""

from dataclasses import replace

from keymiss.asking.choosing import (
    ChoosingModel,
    choose,
    choosing_model,
    found_by,
    ranked_spans,
    sigmoid,
)
from keymiss.asking.passages import CandidatePassage
from keymiss.search.ranking import Ranked
from keymiss.values.passage_value import PassageSpan

MODEL = ChoosingModel(
    share_in_score=0.0,
    cosine_in_score=0.0,
    log_odds=1.0,
    share=0.0,
    cosine=0.0,
    lead=0.0,
    intercept=0.0,
    later=0.0,
    behind=1.0,
    least=0.05,
)
SURE = replace(MODEL, share_in_score=10.0)


def passage(document="a", number=0, share=0.5):
    candidate = Ranked(f"{document}:{{T}}:{number}", 1.0, share)
    return CandidatePassage(f"{document}:{{T}}:", {number: 50}, {number: candidate})


def span(text, log_odds, start=0, sentence=0):
    return PassageSpan(text, start, start + len(text), sentence, 0.0, log_odds)


def texts(read, most=5, model=MODEL):
    return [one.span.text for one in choose(read, most, model)]


def test_the_likeliest_comes_first():
    read = [(passage("a"), [span("one", 1)]), (passage("b"), [span("two", 2), span("no", -9, 9)])]
    assert texts(read) == ["two", "one"]
    assert texts(read, most=1) == ["two"]


def test_punctuation_and_stop_words_are_no_answers():
    read = [
        (passage(), [span(".", 3), span("on the", 2, 5), span("A", 1, 20), span("1854", 0, 30)])
    ]
    assert texts(read) == ["A", "1854"]


def test_a_text_is_given_once_however_it_is_written():
    read = [(passage("a"), [span("The  Virus", 1)]), (passage("b"), [span("the virus", 2)])]
    assert texts(read) == ["the virus"]


def test_a_place_is_given_once():
    read = [(passage("a"), [span("bats", 1, 4)]), (passage("a"), [span("of bats", 2, 1)])]
    assert texts(read) == ["of bats"]


def test_a_third_answer_of_a_document_comes_after_likely_ones_of_others():
    own = [span("one", 3, 0), span("two", 2, 10), span("three", 1, 20)]
    read = [(passage("a"), own), (passage("b"), [span("other", 0)])]
    assert texts(read) == ["one", "two", "other", "three"]


def test_it_stays_where_it_is_while_the_others_are_unlikely():
    own = [span("one", -1, 0), span("two", -1.2, 10), span("three", -1.4, 20)]
    read = [(passage("a"), own), (passage("b"), [span("other", -3)])]
    assert texts(read) == ["one", "two", "three", "other"]


def test_equal_ones_are_ordered_by_place():
    read = [(passage(each), [span(each, 1)]) for each in ("z", "x", "y")]
    assert texts(read) == ["x", "y", "z"]


def test_nothing_read_is_nothing_chosen():
    assert texts([]) == []
    assert texts([(passage(), []), (passage(), [span("", 3)])]) == []


def test_a_sentence_that_the_search_ranks_high_has_an_advantage():
    read = [(passage("a", share=0.2), [span("one", 1.0)]), (passage("b"), [span("two", 0.0)])]
    assert texts(read) == ["one", "two"]
    assert texts(read, model=SURE) == ["two", "one"]


def test_the_model_of_the_package_gives_probabilities():
    (one,) = ranked_spans([(passage(), [span("bats", 1.0)])], choosing_model(found_by([])))
    assert 0 < one.probability < 1


def test_odds_beyond_all_bounds_are_probabilities_still():
    assert sigmoid(-1e6) < 1e-300
    assert sigmoid(1e6) == 1.0


def test_what_follows_is_less_probable_than_the_first():
    read = [(passage("a"), [span("one", 1)]), (passage("b"), [span("two", 3)])]
    first, second = ranked_spans(read, replace(MODEL, later=0.5, behind=2.0))
    assert (first.probability, second.probability) == (sigmoid(3), sigmoid(3 - 0.5 - 2 * 2))
