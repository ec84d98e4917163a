"""Spans from logits: the best ones, never crossed, never too long, never on top of each other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keymiss.reader.spans import best_spans

logits = st.lists(st.floats(-50, 50, width=32, allow_nan=False), min_size=0, max_size=40).map(
    lambda values: np.array(values, np.float32)
)


@st.composite
def start_and_end(draw):
    start = draw(logits)
    end = draw(st.lists(st.floats(-50, 50, width=32), min_size=len(start), max_size=len(start)))
    return start, np.array(end, np.float32)


@given(start_and_end(), st.integers(1, 5), st.integers(1, 12))
def test_spans_obey_the_rules(pair, count, longest):
    start, end = pair
    spans = best_spans(start, end, count, longest)
    assert len(spans) <= count
    assert bool(spans) == bool(len(start))
    for span in spans:
        assert 0 <= span.first <= span.last < len(start)
        assert span.last - span.first < longest
        assert span.score == np.float32(start[span.first] + end[span.last])
    assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)
    taken = [token for span in spans for token in range(span.first, span.last + 1)]
    assert len(taken) == len(set(taken))


@given(start_and_end(), st.integers(1, 12))
def test_the_first_span_is_the_best_of_all(pair, longest):
    start, end = pair
    every = [
        np.float32(start[i] + end[j])
        for i in range(len(start))
        for j in range(i, min(len(start), i + longest))
    ]
    spans = best_spans(start, end, 1, longest)
    assert (spans[0].score if spans else None) == (max(every) if every else None)
