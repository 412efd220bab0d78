"""How long a step will take, compared with answers computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run.planning import past

from refresh.records import PastStep
from refresh.run.estimate import seconds_needed

NUMBERS = st.integers(0, 10**9)
PAST_STEPS = st.builds(PastStep, estimated_rows=NUMBERS, rows=NUMBERS, seconds=st.floats(0, 10**5))


@pytest.mark.parametrize(("rows", "seconds"), [(0, 0.6), (50_000, 1.6), (5_000_000, 100.6)])
def test_without_history(rows: int, seconds: float) -> None:
    """A process starts in 0.6 seconds and then writes 50,000 rows per second."""
    assert seconds_needed(rows, []) == pytest.approx(seconds)


@pytest.mark.parametrize(("rows", "seconds"), [(1_000, 10.6), (2_000, 20.6), (500, 5.6), (0, 0.6)])
def test_one_earlier_step(rows: int, seconds: float) -> None:
    """An earlier step of 1,000 rows took 10.6 seconds: 0.6 to start, and 10 that grow with the rows."""
    assert seconds_needed(rows, [past(1_000, 10.6)]) == pytest.approx(seconds)


@pytest.mark.parametrize(("rows", "seconds"), [(200, 4.6), (900, 18.6), (1_100, 3.9), (30_000, 90.6)])
def test_step_of_most_similar_size(rows: int, seconds: float) -> None:
    """The estimate scales the step with the smallest ratio of rows, larger or smaller.

    100 rows took 2 seconds of work and 10,000 took 30; their sizes are equally far from 1,000 rows.
    """
    assert seconds_needed(rows, [past(100, 2.6), past(10_000, 30.6)]) == pytest.approx(seconds)


@pytest.mark.parametrize(("newest", "seconds"), [(100, 20.6), (10_000, 3.6)])
def test_newest_on_a_tie(newest: int, seconds: float) -> None:
    """Of two equally similar steps the first in the list decides: it is the newest."""
    steps = sorted([past(100, 2.6), past(10_000, 30.6)], key=lambda step: step.estimated_rows != newest)
    assert seconds_needed(1_000, steps) == pytest.approx(seconds)
    assert seconds_needed(100, [past(100, 7.6), past(100, 3.6)]) == pytest.approx(7.6)


def test_estimates_are_compared_with_estimates() -> None:
    """The rows that an earlier step wrote do not matter: this estimate will be wrong by the same factor."""
    assert seconds_needed(1_000, [past(1_000, 10.6, written=10)]) == pytest.approx(10.6)
    steps = [past(1_000, 10.6, written=10), past(10, 99.6, written=1_000)]
    assert seconds_needed(1_000, steps) == pytest.approx(10.6)


def test_step_that_was_quicker_than_a_start() -> None:
    """A step that took less than a start counts as a start alone, whatever its number of rows."""
    assert seconds_needed(10**6, [past(1_000, 0.4)]) == pytest.approx(0.4)


def test_steps_without_estimated_rows_do_not_count() -> None:
    """A step with an estimate of no rows is ignored, whether it is the only one or one of several."""
    assert seconds_needed(50_000, [past(0, 500.0, written=700)]) == pytest.approx(1.6)
    assert seconds_needed(1, [past(0, 500.0), past(1_000, 1_000.6)]) == pytest.approx(1.6)


@given(rows=NUMBERS, steps=st.lists(PAST_STEPS, max_size=5))
def test_any_history_makes_an_estimate(rows: int, steps: list[PastStep]) -> None:
    """Whatever earlier steps were like, the estimate is a finite time that is not negative."""
    assert 0 <= seconds_needed(rows, steps) < float("inf")
