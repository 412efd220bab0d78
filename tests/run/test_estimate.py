"""How long a step will take, compared with answers computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.run.estimate import Past, seconds_needed

PASTS = st.builds(Past, st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 10**5))


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        (0, 0.6),
        (50_000, 1.6),
        (5_000_000, 100.6),
    ],
)
def test_without_history(rows: int, seconds: float) -> None:
    """A process starts in 0.6 seconds and then does 50,000 rows a second."""
    assert seconds_needed(rows, []) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        (1_000, 10.6),
        (2_000, 20.6),
        (500, 5.6),
        (0, 0.6),
    ],
)
def test_one_earlier_step(rows: int, seconds: float) -> None:
    """An earlier step of 1,000 rows took 10.6 seconds: 0.6 to start, and 10 that grow with the rows."""
    assert seconds_needed(rows, [Past(1_000, 1_000, 10.6)]) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        (200, 4.6),
        (900, 18.6),
        (1_100, 3.9),
        (30_000, 90.6),
    ],
)
def test_step_of_most_like_size(rows: int, seconds: float) -> None:
    """Told by the step with the smallest ratio of rows, larger or smaller.

    100 rows took 2 seconds of work and 10,000 took 30; their sizes are equally far from 1,000 rows.
    """
    assert seconds_needed(rows, [Past(100, 100, 2.6), Past(10_000, 10_000, 30.6)]) == pytest.approx(seconds)


@pytest.mark.parametrize(("newest", "seconds"), [(100, 20.6), (10_000, 3.6)])
def test_newest_of_equals(newest: int, seconds: float) -> None:
    """Between two equally like steps, the first in the list decides: it is the newest."""
    past = sorted([Past(100, 100, 2.6), Past(10_000, 10_000, 30.6)], key=lambda step: step.estimated_rows != newest)
    assert seconds_needed(1_000, past) == pytest.approx(seconds)
    assert seconds_needed(100, [Past(100, 100, 7.6), Past(100, 100, 3.6)]) == pytest.approx(7.6)


def test_estimates_are_compared_with_estimates() -> None:
    """The rows that an earlier step wrote do not matter: as much as then, this estimate will miss."""
    assert seconds_needed(1_000, [Past(1_000, 10, 10.6)]) == pytest.approx(10.6)
    assert seconds_needed(1_000, [Past(1_000, 10, 10.6), Past(10, 1_000, 99.6)]) == pytest.approx(10.6)


def test_step_that_was_quicker_than_a_start() -> None:
    """What took less than a start is taken for a start alone, however many rows there are."""
    assert seconds_needed(10**6, [Past(1_000, 1_000, 0.4)]) == pytest.approx(0.4)


def test_steps_of_no_rows_say_nothing() -> None:
    """A step of which nothing was expected tells nothing, be it the only one or one of several."""
    assert seconds_needed(50_000, [Past(0, 700, 500.0)]) == pytest.approx(1.6)
    assert seconds_needed(1, [Past(0, 0, 500.0), Past(1_000, 1_000, 1_000.6)]) == pytest.approx(1.6)


@given(rows=st.integers(0, 10**9), past=st.lists(PASTS, max_size=5))
def test_any_history_makes_an_estimate(rows: int, past: list[Past]) -> None:
    """Whatever earlier steps were like, the estimate is a finite time that is not negative."""
    assert 0 <= seconds_needed(rows, past) < float("inf")
