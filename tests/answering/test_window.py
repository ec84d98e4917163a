"""What is read for a sentence, and where in it a span lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss.answering.sentence_window import SentenceWindow, make_window, window_numbers

sentences = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4).map(tuple)


@given(sentences, st.integers(0, 100), st.data())
def test_a_span_is_found_in_the_sentence_in_which_it_begins(texts, first, data):
    window = SentenceWindow(first, texts)
    index = data.draw(st.integers(0, len(texts) - 1))
    start = data.draw(st.integers(0, len(texts[index]) - 1))
    end = data.draw(st.integers(start + 1, len(texts[index])))
    before = sum(len(text) + 1 for text in texts[:index])
    assert window.locate(before + start, before + end) == (first + index, start, end)


def test_a_span_over_two_sentences_ends_with_the_first():
    assert SentenceWindow(3, ("One two.", "Three.")).locate(4, 12) == (3, 4, 8)


def test_a_span_outside_is_an_error():
    with pytest.raises(ValueError, match="outside"):
        SentenceWindow(0, ("One.",)).locate(9, 12)


@pytest.mark.parametrize(
    ("sentence", "texts", "expected"),
    [
        (5, ["four", "five", "six"], SentenceWindow(4, ("four", "five", "six"))),
        (5, [None, "five", "six"], SentenceWindow(5, ("five", "six"))),
        (0, ["zero", "one"], SentenceWindow(0, ("zero", "one"))),
        (5, ["four", None, "six"], None),
        (5, ["x" * 1400, "y" * 200, "six"], SentenceWindow(5, ("y" * 200, "six"))),
        (5, ["four", "y" * 1500, "six"], SentenceWindow(5, ("y" * 1500,))),
    ],
)
def test_neighbours_are_read_where_they_exist(sentence, texts, expected):
    assert make_window(sentence, window_numbers(sentence), texts) == expected
