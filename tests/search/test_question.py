"""The one form of a question: typed in two ways, it is one key."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss.errors import BadInput, TooLarge
from keymiss.search.question import MAX_QUESTION_BYTES, normalise_question


@pytest.mark.parametrize("text", ["Who  is\u00a0it? ", "\nWho is\tit?", "Who is it?"])
def test_white_space_is_folded(text):
    assert normalise_question(text) == "Who is it?"


def test_composed_and_decomposed_letters_are_one():
    assert normalise_question("e\u0301") == normalise_question("\u00e9") == "\u00e9"


@given(st.text(min_size=1, max_size=200))
def test_normalising_twice_changes_nothing(text):
    try:
        question = normalise_question(text)
    except BadInput:
        assert not text.strip() or max(text) >= "\ud800"
        return
    assert normalise_question(question) == question
    assert unicodedata.is_normalized("NFC", question)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u2003"])
def test_an_empty_question_is_bad_input(text):
    with pytest.raises(BadInput, match="the question is empty"):
        normalise_question(text)


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 1500, "x" * (MAX_QUESTION_BYTES + 1)])
def test_a_question_that_is_too_long_is_refused(text):
    with pytest.raises(TooLarge, match="the limit is 2048 bytes"):
        normalise_question(text)


def test_half_a_surrogate_pair_is_bad_input():
    with pytest.raises(BadInput, match="not UTF-8"):
        normalise_question("Who \ud800?")
