"""Terms: texts and questions are brought into one form."""

import pytest

from keymiss.search.terms import (
    FRAME_WEIGHT,
    MAX_QUESTION_TERMS,
    hash_terms,
    question_terms,
    term_weights,
    terms_of,
)


@pytest.mark.parametrize(
    "texts",
    [
        ("COVID-19", "covid19", "Covid 19"),
        ("IL-6", "IL 6", "IL6"),
        ("SARS-CoV-2", "SARS CoV2", "sars cov 2"),
        ("running", "runs", "RUN"),
        ("café", "cafe"),
    ],
)
def test_names_that_are_joined_or_cut_are_the_same(texts):
    assert len({tuple(terms_of(text)) for text in texts}) == 1


def test_the_frame_of_a_question_counts_less():
    terms = question_terms("What is the main role of heparin?")
    assert dict(zip(terms, term_weights(terms), strict=True)) == {
        "what": FRAME_WEIGHT,
        "main": FRAME_WEIGHT,
        "role": FRAME_WEIGHT,
        "heparin": 1.0,
    }


def test_a_question_that_is_a_page_has_its_first_terms():
    page = " ".join(f"word{number}x" for number in range(1000))
    assert len(question_terms(page)) == MAX_QUESTION_TERMS


@pytest.mark.parametrize("question", ["", "the of and", "😀", "?!"])
def test_a_question_without_a_word_has_no_term(question):
    assert question_terms(question) == []


def test_a_term_has_the_same_number_in_every_process():
    assert hash_terms(["virus", "camel"]).tolist() == [984566768, 2276163588]
