"""Concepts are found as whole words, the longest first, where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.vocabulary import Concept, Vocabulary


def matcher(*concepts):
    return Matcher(
        Vocabulary(
            Concept(f"K{number}", name, tuple(synonyms))
            for number, (name, *synonyms) in enumerate(concepts)
        )
    )


def found(matching, text):
    return [(f"K{match.concept}", text[match.start : match.end]) for match in matching.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The common cold.", ["common cold"]),
        ("A cold sore, or a COLD?", ["cold sore", "COLD"]),
        ("cold sores are no cold", ["cold", "cold"]),
        ("Scolding uncold coldness", []),
        ("cold-sore", ["cold-sore"]),
        ("common\n cold", ["common\n cold"]),
        ("", []),
        ("...", []),
        ("common cold sore", ["common cold"]),
        ("ünder cold Straße", ["cold"]),
    ],
)
def test_words_are_matched_whole_and_the_longest_first(text, expected):
    matching = matcher(("common cold",), ("cold",), ("cold sore",))
    assert [word for _, word in found(matching, text)] == expected


def test_case_and_forms_of_letters_do_not_matter():
    matching = matcher(("Straße",), ("naïve cell",), ("\N{LATIN SMALL LIGATURE FI}ne",))
    text = "STRASSE, Naïve  Cell; FINE"
    assert found(matching, text) == [("K0", "STRASSE"), ("K1", "Naïve  Cell"), ("K2", "FINE")]


def test_synonyms_stand_for_their_concept():
    matching = matcher(("influenza", "flu", "grippe"), ("fever",))
    assert found(matching, "Flu with fever") == [("K0", "Flu"), ("K1", "fever")]


def test_a_preferred_name_wins_over_a_synonym_then_the_first_concept():
    assert found(matcher(("influenza", "flu"), ("flu",)), "flu") == [("K1", "flu")]
    assert found(matcher(("influenza", "flu"), ("grippe", "flu")), "flu") == [("K0", "flu")]


def test_terms_that_are_words_of_everyday_are_left_out():
    matching = matcher(("as",), ("19",), ("...",), ("1918 flu",), ("p53",))
    assert matching.terms == 2
    assert found(matching, "as 19 1918 flu p53") == [("K3", "1918 flu"), ("K4", "p53")]


WORDS = st.sampled_from(["ab", "abc", "bca", "cab", "Ab", "ßab", "x1y"])
TERMS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from([",", "é", "a"]))).map(" ".join)


@given(st.lists(TERMS, min_size=1, max_size=6), TEXTS)
def test_matches_are_those_of_a_plain_search(terms, text):
    matching = matcher(*((term,) for term in terms))
    folded = [tuple(term.casefold().split()) for term in terms]
    words = [(at, word) for at, word in places(text) if word != ","]
    expected = []
    place = 0
    while place < len(words):
        fits = [
            term
            for term in folded
            if len("".join(term)) >= 3
            and tuple(word.casefold() for _, word in words[place : place + len(term)]) == term
        ]
        longest = max(fits, key=len, default=None)
        if longest is None:
            place += 1
            continue
        last, word = words[place + len(longest) - 1]
        expected.append((folded.index(longest), words[place][0], last + len(word)))
        place += len(longest)
    assert [tuple(match) for match in matching.find(text)] == expected


def places(text):
    at = 0
    for word in text.split(" "):
        if word:
            yield at, word
        at += len(word) + 1
