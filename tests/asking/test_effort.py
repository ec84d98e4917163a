"""Effort: a fast reader reads more candidates than a slow one, within bounds."""

import pytest

from keymiss.asking.effort import FEWEST_READ, MOST_READ, Effort, candidates_read


@pytest.mark.parametrize(
    ("effort", "passage_ms", "read_ms", "count"),
    [
        (Effort.LOW, 0.1, 1000.0, FEWEST_READ),
        (Effort.HIGH, 1000.0, 0.0, MOST_READ),
        (Effort.NORMAL, 1.0, 150.0, MOST_READ),
        (Effort.NORMAL, 6.0, 150.0, 20),
        (Effort.NORMAL, 100.0, 150.0, FEWEST_READ),
        (Effort.NORMAL, 1.0, 0.0, FEWEST_READ),
        (Effort.NORMAL, 1000.0, 3_600_000.0, MOST_READ),
        (Effort.NORMAL, 0.0, 150.0, FEWEST_READ),
    ],
)
def test_the_budget_decides_within_bounds(effort, passage_ms, read_ms, count):
    assert candidates_read(effort, passage_ms, read_ms) == count


def test_ten_more_are_read_while_the_order_is_a_little_off():
    assert candidates_read(Effort.LOW, 1.0, settled=False) == FEWEST_READ + 10
    assert candidates_read(Effort.HIGH, 1.0, settled=False) == MOST_READ + 10
