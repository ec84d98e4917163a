"""The store in C finds what numpy finds, on every instruction set, while documents come and go."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.search.native.native_vectors import VectorStore
from keymiss.search.native.search_library import search_library
from keymiss.values.vectors_value import rounded_vectors

SETS = (b"portable", b"avx2", b"avx512", b"popcount")


def random_vectors(count, width, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def put(store, vectors):
    rounded = rounded_vectors(vectors)
    return store.put(rounded.codes, rounded.scales)


def nearest(store, vector, limit=10):
    places, cosines = store.nearest(vector, limit)
    return [tuple(place) for place in places.tolist()], cosines


def runs(isa):
    store = VectorStore(64, isa)
    put(store, random_vectors(1, 64))
    try:
        return bool(len(nearest(store, random_vectors(1, 64)[0])[0]))
    except MemoryError:  # the library's word for "it cannot be done"
        return False


@pytest.fixture(
    params=[
        pytest.param(isa, marks=pytest.mark.skipif(not runs(isa), reason=f"no {isa.decode()} here"))
        for isa in SETS
    ],
    ids=[isa.decode() for isa in SETS],
)
def isa(request):
    return request.param


@pytest.mark.parametrize("width", [1, 63, 64, 65, 384, 1000, 1984])
def test_the_nearest_vectors_are_found_and_their_cosines_are_right(isa, width):
    store = VectorStore(width, isa)
    vectors = random_vectors(500, width)
    numbers = [put(store, some) for some in np.split(vectors, 10)]
    for question in random_vectors(5, width, seed=1):
        places, cosines = nearest(store, question)
        exact = vectors @ question
        rows = [50 * numbers.index(number) + row for number, row in places]
        # Fewer vectors than are looked at: nothing can be missed but what rounding moves.
        np.testing.assert_allclose(cosines, np.sort(exact)[::-1][:10], atol=0.02)
        np.testing.assert_allclose(cosines, exact[rows], atol=0.02)
        np.testing.assert_array_equal(store.cosines(question, np.array(places, np.int32)), cosines)


def test_all_sets_find_the_same(isa):
    vectors, question = random_vectors(5000, 384), random_vectors(1, 384, seed=2)[0]
    found = []
    for each in (b"portable", isa):
        store = VectorStore(384, each)
        put(store, vectors)
        found.append(nearest(store, question, 48))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_nearest_are_among_those_whose_signs_agree():
    questions = random_vectors(20, 384, seed=3)
    vectors = random_vectors(20_000, 384)
    vectors[:600] += 0.4 * np.repeat(questions, 30, axis=0)  # cosines of 0.3 to 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = VectorStore(384)
    put(store, vectors)
    for number, question in enumerate(questions):
        found = {row for _, row in nearest(store, question, 30)[0]}
        assert len(found & set(range(30 * number, 30 * number + 30))) >= 29


changes = st.lists(st.one_of(st.integers(0, 40), st.just(None)), max_size=30)


@settings(max_examples=50, deadline=None)
@given(changes, st.integers(1, 130), st.randoms(use_true_random=False))
def test_what_is_dropped_is_not_found_and_what_stays_keeps_its_place(drawn, width, random):
    store, held = VectorStore(width), {}
    for seed, count in enumerate(drawn):
        if count is None and held:
            number = random.choice(sorted(held))
            store.drop(number)
            del held[number]
        elif count is not None:
            vectors = random_vectors(count, width, seed)
            number = put(store, vectors)
            assert number not in held
            held[number] = vectors
    question = random_vectors(1, width, seed=99)[0]
    places, cosines = nearest(store, question, 2000)
    assert sorted(places) == sorted(
        (number, row) for number, vectors in held.items() for row in range(len(vectors))
    )
    for (number, row), cosine in zip(places, cosines, strict=True):
        assert cosine == pytest.approx(held[number][row] @ question, abs=0.02)


def test_gaps_are_closed():
    store = VectorStore(64)
    numbers = [put(store, random_vectors(100, 64, seed)) for seed in range(200)]
    for number in numbers[::2] + numbers[1:150:2]:
        store.drop(number)
    left = numbers[151::2]
    question = random_vectors(1, 64, seed=170)[0]
    places, _ = nearest(store, question, 5000)
    assert {number for number, _ in places} <= set(left)
    vectors = random_vectors(100, 64, seed=199)
    wanted = np.array([(left[-1], row) for row in range(100)], np.int32)
    np.testing.assert_allclose(store.cosines(question, wanted), vectors @ question, atol=0.02)


def test_a_place_without_a_vector_has_no_cosine():
    store = VectorStore(8)
    number = put(store, random_vectors(2, 8))
    wanted = np.array([(number, 2), (number, -1), (number + 1, 0), (-1, 0)], np.int32)
    assert np.isnan(store.cosines(random_vectors(1, 8)[0], wanted)).all()


def test_equal_vectors_and_a_question_of_zeros_do_no_harm():
    store = VectorStore(384)
    put(store, np.repeat(random_vectors(1, 384), 10_000, axis=0))
    for question in (random_vectors(1, 384)[0], np.zeros(384, np.float32)):
        assert len(nearest(store, question, 48)[0]) == 48


def test_an_unknown_set_is_not_replaced_by_another():
    assert not runs(b"abacus")
    assert search_library()
