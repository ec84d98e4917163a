"""The ranking in C gives what this page computes, whatever the documents are."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.search import document_terms as document_terms_module
from keymiss.search.document_terms import WEIGHING, DocumentTerms, document_terms
from keymiss.search.native.native_ranking import TermScores, count_rows, rank_rows
from keymiss.search.terms import hash_terms

WORDS = ["virus", "bat", "camel", "lung", "mask", "hand"]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
documents = st.lists(
    st.tuples(texts, st.lists(texts, min_size=1, max_size=6)), min_size=1, max_size=4
)
questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True)


def terms_of_all(drawn):
    return [document_terms(title, dict(enumerate(sentences)))[0] for title, sentences in drawn]


def scores_of(asked):
    return (
        TermScores(np.arange(1.0, 1 + len(asked)), 3.0, 0.01),
        TermScores(np.full(len(asked), 0.5), 1.0, 0.02),
    )


def rank(drawn, asked, found=(), most_scored=1000, limit=1000):
    """The result by document and row: length, frequencies and score."""
    best = rank_rows(
        terms_of_all(drawn),
        np.array(found, np.int32).reshape(-1, 2),
        hash_terms(asked),
        scores_of(asked),
        WEIGHING,
        most_scored,
        limit,
    )
    places = zip(best.documents.tolist(), best.rows.tolist(), strict=True)
    values = zip(
        best.lengths.tolist(), best.frequencies.tolist(), best.scores.tolist(), strict=True
    )
    ranked = dict(zip(places, values, strict=True))
    assert len(ranked) == len(best.rows)
    return ranked, best.of_documents.tolist()


def weighed(title, sentences, word):
    """How often each sentence has a word with its neighbours and its title, in tenths; how many
    words it has when the word is empty."""
    own = [text.split().count(word) if word else len(text.split()) for text in sentences]
    in_title = title.split().count(word) if word else len(title.split())
    return [
        WEIGHING.own * own[n]
        + WEIGHING.near * (sum(own[max(0, n - 1) : n]) + sum(own[n + 1 : n + 2]))
        + WEIGHING.in_title * in_title
        for n in range(len(own))
    ]


def bm25(by, frequencies, length):
    dampening = by.flat + by.slope * length
    return sum(w * f / (f + dampening) for w, f in zip(by.weights, frequencies, strict=True))


@settings(deadline=None)
@given(documents, questions)
def test_all_sentences_are_ranked_with_neighbours_title_and_document(drawn, asked):
    ranked, of_documents = rank(drawn, asked)
    by_sentences, by_documents = scores_of(asked)
    expected = {}
    for number, (title, sentences) in enumerate(drawn):
        counts = [" ".join(sentences).split().count(word) for word in asked]
        assert of_documents[number] == counts
        size = len(" ".join(sentences).split())
        for row in range(len(sentences)):
            frequencies = [weighed(title, sentences, word)[row] for word in asked]
            length = weighed(title, sentences, "")[row]
            if any(frequencies):
                score = bm25(by_sentences, frequencies, length) + bm25(by_documents, counts, size)
                expected[number, row] = (length, frequencies, pytest.approx(score))
    assert ranked == expected
    assert sum(one.weighed_length for one in terms_of_all(drawn)) == sum(
        length for title, sentences in drawn for length in weighed(title, sentences, "")
    )


@settings(deadline=None)
@given(documents, questions, st.integers(1, 5))
def test_the_best_are_given_and_all_that_are_as_good_as_the_last(drawn, asked, limit):
    whole, _ = rank(drawn, asked)
    best, _ = rank(drawn, asked, limit=limit)
    scores = sorted((score for *_, score in whole.values()), reverse=True)
    least = scores[limit - 1] if len(scores) >= limit else 0.0
    assert best == {place: one for place, one in whole.items() if one[2] >= least}


def test_of_documents_beyond_the_bound_only_surroundings_are_ranked():
    long = ("", ["bat", "mask", "virus", "bat", "bat", "bat", "virus", "bat"])
    ranked, _ = rank([long], ["bat"], found=[(0, 3), (0, 0), (0, 3)], most_scored=3)
    assert sorted(row for _, row in ranked) == [0, 1, 2, 3, 4, 5]
    ranked, _ = rank([long], ["bat"], found=[(0, 7)], most_scored=3)
    assert sorted(row for _, row in ranked) == [5, 6, 7]
    assert rank([long], ["bat"], most_scored=3)[0] == {}


@settings(deadline=None)
@given(documents)
def test_terms_survive_being_stored(drawn):
    for one in terms_of_all(drawn):
        again = DocumentTerms.from_bytes(one.to_bytes())
        for name in ("title", "tokens", "bounds", "numbers", "sizes"):
            assert np.array_equal(getattr(again, name), getattr(one, name))


@settings(max_examples=25, deadline=None)
@given(documents, questions)
def test_terms_of_long_documents_are_counted_alike(drawn, asked):
    with mock.patch.object(document_terms_module, "MOST_COUNTED", 0):
        listed = rank(drawn, asked)
    assert listed == rank(drawn, asked)


@settings(max_examples=25, deadline=None)
@given(documents, questions, st.randoms(use_true_random=False))
def test_any_sentences_are_counted_as_they_are_when_they_are_ranked(drawn, asked, random):
    terms = terms_of_all(drawn)
    wanted = [(n, row) for n, each in enumerate(terms) for row in range(len(each.numbers))]
    wanted = random.sample(wanted, random.randint(1, len(wanted)))
    counted = count_rows(terms, np.array(wanted, np.int32), hash_terms(asked), WEIGHING)
    ranked, of_documents = rank(drawn, asked)
    assert counted.of_documents.tolist() == of_documents
    for place, length, found in zip(
        wanted, counted.lengths.tolist(), counted.frequencies.tolist(), strict=True
    ):
        if place in ranked:  # sentences without a term are not ranked
            assert (length, found) == ranked[place][:2]
        else:
            assert not any(found)
