"""What the postings say is what counting by hand says, whatever came and went."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from keymiss.graph import postings as module
from keymiss.graph.postings import Postings
from keymiss.keys import document_keys

MOST = 1000

SENTENCES = st.dictionaries(
    st.integers(0, 30),
    st.dictionaries(st.integers(0, 6), st.integers(1, 4), min_size=1),
    max_size=5,
)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 5), st.one_of(st.none(), st.tuples(st.integers(2000, 2003), SENTENCES))
    )
)


def keys(document):
    return document_keys(f"d{document}")


def applied(changes):
    postings, held = Postings(), {}
    for stamp, (document, content) in enumerate(changes):
        if content is None:
            assert postings.remove(keys(document)) == (held.pop(document, None) is not None)
        else:
            postings.put(keys(document), str(stamp), *content)
            held[document] = content
            assert postings.stamp(keys(document)) == str(stamp)
    return postings, held


@settings(deadline=None)
@given(CHANGES)
def test_neighbours_and_frequencies_are_counted_right(changes):
    postings, held = applied(changes)
    assert set(postings.known()) == {keys(document) for document in held}
    frequencies, edges = Counter(), {}
    for year, sentences in held.values():
        for counts in sentences.values():
            frequencies.update(counts.keys())
            for pair in itertools.permutations(counts, 2):
                edges.setdefault(pair, Counter())[year] += 1
    for concept in range(7):
        assert postings.frequency(concept) == frequencies[concept]
        expected = {b: dict(years) for (a, b), years in edges.items() if a == concept}
        assert postings.neighbours(concept, MOST) == expected
        ranks = [sum(years.values()) for years in postings.neighbours(concept, MOST).values()]
        assert ranks == sorted(ranks, reverse=True)


@settings(deadline=None)
@given(CHANGES)
def test_an_edge_names_its_sentences(changes):
    postings, held = applied(changes)
    for source, target in itertools.combinations(range(7), 2):
        expected = {
            (keys(document).sentence(number), counts[source] + counts[target], year)
            for document, (year, sentences) in held.items()
            for number, counts in sentences.items()
            if source in counts and target in counts
        }
        years, found = postings.of_edge(source, target, MOST)
        assert {(one.name, one.mentions, year) for one, year in found} == expected
        assert years == dict(Counter(year for _, _, year in expected))


@settings(deadline=None)
@given(CHANGES, st.lists(st.integers(0, 6), unique=True), st.integers(1, 10))
def test_the_best_of_all_sentences_are_found(changes, concepts, most):
    postings, held = applied(changes)
    expected = {
        keys(document).sentence(number): tuple(one for one in concepts if one in counts)
        for document, (_, sentences) in held.items()
        for number, counts in sentences.items()
        if set(concepts) & counts.keys()
    }
    everything = postings.naming(concepts, MOST)
    assert {one.name: one.concepts for one in everything} == expected
    assert postings.naming(concepts, most) == everything[:most]


def test_what_was_removed_is_cleared_away(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_DEAD", 10)
    postings = Postings()
    for number in range(100):
        postings.put(keys(0), str(number), 2000, {0: {1: 1, 2: 1}, 1: {1: 2}})
    postings.put(keys(1), "other", 2001, {0: {1: 1, 2: 1}})
    assert len(postings._documents) < 20
    assert postings.neighbours(1, MOST) == {2: {2000: 1, 2001: 1}}
