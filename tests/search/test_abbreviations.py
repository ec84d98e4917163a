"""Abbreviations: each form finds the sentences that have the other."""

import pytest

from keymiss.keys import document_keys
from keymiss.search.abbreviations import find_abbreviations, with_other_forms
from keymiss.search.sentence_index import SentenceIndex


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The equine arteritis virus (EAV) spreads.", {"EAV": "equine arteritis virus"}),
        ("An intensive care unit (ICU; ward 3).", {"ICU": "intensive care unit"}),
        (
            "The World Health Organization (WHO), founded in 1948.",
            {"WHO": "World Health Organization"},
        ),
        ("Two of them (both sick).", {}),
        ("As shown before (Figure 2).", {}),
        ("In one group (34 cases) and in another (A).", {}),
        ("(DNA) has no words before it.", {}),
        ("Nothing here has its letters (XQZ).", {}),
        ("((((", {}),
    ],
)
def test_a_long_form_stands_before_its_abbreviation(text, found):
    assert find_abbreviations([text]) == found


def test_the_first_definition_counts():
    texts = ["A polymerase chain reaction (PCR).", "A plain cat race (PCR)."]
    assert find_abbreviations(texts) == {"PCR": "polymerase chain reaction"}


def test_a_sentence_gets_the_form_that_it_lacks():
    texts = {0: "Equine arteritis virus (EAV) is old.", 4: "EAV spreads.", 5: "EAVs differ."}
    assert with_other_forms(texts) == {
        0: "Equine arteritis virus (EAV) is old.",
        4: "EAV spreads. Equine arteritis virus",
        5: "EAVs differ.",
    }


def test_long_brackets_cost_no_time():
    text = "(" * 50_000 + "A" * 50_000 + " (AB" * 10_000
    assert find_abbreviations([text]) == {}


def test_a_question_in_the_long_form_finds_the_short_one():
    index = SentenceIndex()
    keys = document_keys("eav")
    texts = ["Equine arteritis virus (EAV) is old.", "It is.", "So.", "Yes.", "EAV kills foals."]
    index.put(keys, "1", dict(enumerate(texts)))
    index.commit()
    found = [one.sentence for one in index.find("arteritis foals", 10).candidates]
    assert found[0] == keys.sentence(4)
