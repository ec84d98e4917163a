"""One ranking over shards: where a document lies does not change its score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.keys import document_keys
from keymiss.search.ranking import BY_VECTORS, BY_WORDS, Ranked, join, rank
from keymiss.search.sentence_index import SentenceIndex
from keymiss.search.vector_index import VectorIndexes
from keymiss.values.vectors_value import rounded_vectors, vectors_stamp

words = st.sampled_from(["virus", "bat", "camel", "spread", "cough", "air", "hand", "mask"])
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join)
documents = st.lists(st.lists(sentences, min_size=1, max_size=3), min_size=1, max_size=6)


def index_of(numbered):
    index = SentenceIndex()
    for number, texts in numbered:
        index.put(document_keys(f"d{number}"), "1", dict(enumerate(texts)))
    index.commit()
    return index


@settings(max_examples=15, deadline=None)
@given(documents, st.lists(words, min_size=1, max_size=3).map(" ".join))
def test_two_shards_rank_as_one_does(texts, question):
    numbered = list(enumerate(texts))
    whole = rank([index_of(numbered).find(question, 30)])
    halves = [index_of(half) for half in (numbered[::2], numbered[1::2])]
    split = rank([half.find(question, 30) for half in halves])
    assert [one.sentence for one in split] == [one.sentence for one in whole]
    assert [one.score for one in split] == pytest.approx([one.score for one in whole])


WIDTH = 16


def encode(texts):
    """A vector for each text: equal texts have equal vectors."""
    seeds = [sum(text.encode()) for text in texts]
    vectors = np.array([np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def found_with_vectors(numbered, question):
    vectors = VectorIndexes(encode, WIDTH)
    for number, texts in numbered:
        made = rounded_vectors(encode(texts))
        vectors.of_shard("a").put(document_keys(f"d{number}"), vectors_stamp(b"1", ""), made)
    near = vectors.search([(question, "a")], BY_VECTORS)
    return index_of(numbered).find(question, BY_WORDS, near.get((question, "a")))


@settings(max_examples=15, deadline=None)
@given(documents, st.lists(words, min_size=1, max_size=3).map(" ".join))
def test_two_shards_rank_words_and_vectors_as_one_does(texts, question):
    numbered = list(enumerate(texts))
    whole = rank([found_with_vectors(numbered, question)])
    split = rank([found_with_vectors(half, question) for half in (numbered[::2], numbered[1::2])])
    assert len(whole) == sum(map(len, texts))
    assert [one.sentence for one in split] == [one.sentence for one in whole]
    assert [one.score for one in split] == pytest.approx([one.score for one in whole])


def test_nothing_ranks_to_nothing():
    assert rank([]) == []
    assert rank([SentenceIndex().find("virus", 10)]) == []


def test_joined_rankings_give_what_stands_high_in_both_and_the_scores_of_the_first():
    words = [Ranked("a", 3.0), Ranked("b", 2.0), Ranked("c", 1.0)]
    concepts = [Ranked("c", 9.0), Ranked("d", 9.0)]
    joined = join([(1.0, words), (0.5, concepts)])
    assert [one.sentence for one in joined] == ["c", "a", "b", "d"]
    assert [one.score for one in joined] == [1.0, 3.0, 2.0, 0.0]
    assert join([(1.0, words)]) == words


def test_equal_scores_of_a_ranking_are_ordered_as_in_the_first():
    words = [Ranked("b", 2.0), Ranked("a", 1.0)]
    same = [Ranked("a", 5.0), Ranked("b", 5.0)]
    assert [one.sentence for one in join([(1.0, words), (1.0, same)])] == ["b", "a"]
