"""Choosing: what is likely to be right comes first, from more than one document."""

import pytest

from keymiss.asking.choosing import ChoosingModel, choose, choosing_model, span_features
from keymiss.asking.passages import Passage
from keymiss.search.ranking import Ranked
from keymiss.values.passage_value import PassageSpan

MODEL = ChoosingModel(
    {
        "log_odds": 1.0,
        "log_odds_among_all": 0.0,
        "share": 0.0,
        "share_below_best": 0.0,
        "agreement": 0.0,
    },
    0.0,
    0.05,
)


def passage(document="a", number=0, share=0.5):
    candidate = Ranked(f"{document}:{{T}}:{number}", 1.0, share)
    return Passage(f"{document}:{{T}}:", {number: 50}, {number: candidate})


def span(text, log_odds, start=0, sentence=0):
    return PassageSpan(text, start, start + len(text), sentence, 0.0, log_odds)


def texts(read, most=5, model=MODEL):
    return [one.span.text for one in choose(read, most, model)]


def test_the_likeliest_comes_first_and_the_unlikely_are_left_out():
    read = [(passage("a"), [span("one", 1)]), (passage("b"), [span("two", 2), span("no", -5, 9)])]
    assert texts(read) == ["two", "one"]


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
    own = [span("one", 3, 0), span("two", 2, 10), span("three", 1, 20)]
    read = [(passage("a"), own), (passage("b"), [span("other", -2)])]
    assert texts(read) == ["one", "two", "three", "other"]


def test_equal_ones_are_ordered_by_place():
    read = [(passage(each), [span(each, 1)]) for each in ("c", "a", "b")]
    assert texts(read) == ["a", "b", "c"]


def test_nothing_read_is_nothing_chosen():
    assert texts([]) == []
    assert texts([(passage(), []), (passage(), [span("", 3)])]) == []


def test_the_features_of_a_span():
    first, second = passage("a", share=0.6), passage("b", share=0.2)
    read = [(first, [span("bats", 1.0)]), (second, [span("Bats", 0.0)])]
    (_, _, best), (_, _, other) = span_features(read)
    assert best == pytest.approx(
        {
            "log_odds": 1.0,
            "log_odds_among_all": -0.3133,
            "share": 0.6,
            "share_below_best": 0.0,
            "agreement": 0.6931,
        },
        abs=1e-4,
    )
    assert other["share_below_best"] == pytest.approx(-0.4)


def test_the_model_of_the_package_has_a_weight_for_each_feature():
    ((_, _, features),) = span_features([(passage(), [span("bats", 1.0)])])
    assert list(choosing_model().weights) == list(features)
    assert 0 < choosing_model().probability(features) < 1


def test_odds_beyond_all_bounds_are_probabilities_still():
    features = dict.fromkeys(MODEL.weights, 0.0)
    assert MODEL.probability(features | {"log_odds": -1e6}) < 1e-300
    assert MODEL.probability(features | {"log_odds": 1e6}) == 1.0
