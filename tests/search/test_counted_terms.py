"""Terms are counted in C as this page counts them, whatever the documents are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.search.counting.counted_terms import count_in_documents, count_in_sentences
from keymiss.search.document_terms import WEIGHING, DocumentTerms, document_terms
from keymiss.search.terms import hash_terms

WORDS = ["virus", "bat", "camel", "lung", "mask", "hand"]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
documents = st.lists(
    st.tuples(texts, st.lists(texts, min_size=1, max_size=6)), min_size=1, max_size=4
)


def terms_of_all(drawn):
    return [document_terms(title, dict(enumerate(sentences)))[0] for title, sentences in drawn]


def weighed(title, sentences, word):
    """How often each sentence has a word with its neighbours and its title, in tenths."""
    own = [text.split().count(word) if word else len(text.split()) for text in sentences]
    in_title = title.split().count(word) if word else len(title.split())
    return [
        WEIGHING.own * own[n]
        + WEIGHING.near * (sum(own[max(0, n - 1) : n]) + sum(own[n + 1 : n + 2]))
        + WEIGHING.in_title * in_title
        for n in range(len(own))
    ]


@settings(deadline=None)
@given(documents, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True))
def test_sentences_are_counted_with_neighbours_and_title(drawn, asked):
    held = terms_of_all(drawn)
    parts = np.array([(n, 0, len(one.numbers)) for n, one in enumerate(held)], np.int32)
    found, lengths = count_in_sentences(held, parts, hash_terms(asked), WEIGHING)
    for column, word in enumerate(asked):
        expected = [count for one in drawn for count in weighed(*one, word)]
        assert found[:, column].tolist() == expected
    assert lengths.tolist() == [length for one in drawn for length in weighed(*one, "")]
    assert int(lengths.sum()) == sum(one.weighed_length for one in held)


@settings(deadline=None)
@given(documents, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True))
def test_documents_are_counted_as_a_whole(drawn, asked):
    found = count_in_documents(terms_of_all(drawn), hash_terms(asked))
    expected = [
        [" ".join(sentences).split().count(word) for word in asked] for _, sentences in drawn
    ]
    assert found.tolist() == expected


@settings(deadline=None)
@given(documents)
def test_terms_survive_being_stored(drawn):
    for one in terms_of_all(drawn):
        again = DocumentTerms.from_bytes(one.to_bytes())
        for name in ("title", "tokens", "bounds", "numbers", "sizes"):
            assert np.array_equal(getattr(again, name), getattr(one, name))


def test_a_part_of_a_document_knows_nothing_of_the_rest():
    (one,) = terms_of_all([("", ["virus", "bat", "virus virus", "bat"])])
    found, lengths = count_in_sentences(
        [one], np.array([(0, 1, 3)], np.int32), hash_terms(["virus", "bat"]), WEIGHING
    )
    assert found.tolist() == [[6, 10], [20, 3]]
    assert lengths.tolist() == [16, 23]
