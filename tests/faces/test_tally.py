"""How far a run has come: counted steps, and the time that is left."""

from __future__ import annotations

import pytest
from faces.events import BARS, CAL_US, DAILY, V2, Clock, done, ended, failed, plan, skipped, step

from refresh.faces.tally import Tally
from refresh.run.launch import unlaunched

FIRST, SECOND, IDLE, THIRD = (
    step(DAILY, 4, seconds=10),
    step(BARS, 10, seconds=20),
    step(CAL_US, 0),
    step(V2, 2, seconds=30),
)


@pytest.fixture
def clock() -> Clock:
    """The clock of the tally."""
    return Clock()


@pytest.fixture
def tally(clock: Clock) -> Tally:
    """Three steps with something to do, one of them at a time."""
    return Tally(plan(FIRST, SECOND, IDLE, THIRD), 1, clock=clock)


@pytest.fixture
def slow(tally: Tally, clock: Clock) -> Tally:
    """A tally whose first step took twice the estimate."""
    tally.begin(FIRST)
    clock.advance(20)
    tally.end(ended(DAILY, seconds=20.0))
    return tally


def test_before_the_first_step(tally: Tally) -> None:
    """The estimates of all steps are left; a step with nothing to do does not count."""
    assert (tally.complete, tally.steps) == (0, 3)
    assert tally.seconds_left == pytest.approx(60)
    assert tally.line() == "0/3 builders complete, ~60 s remaining"


def test_step_at_work(tally: Tally, clock: Clock) -> None:
    """The rest of a step follows from the estimate, and from its own pace when enough assets have ended."""
    tally.begin(FIRST)
    clock.advance(4)
    assert tally.seconds_left == pytest.approx(56)
    tally.outcome(done(1))
    tally.outcome(failed(2))
    assert tally.seconds_left == pytest.approx(4 + 20 + 30)


def test_pace_of_ended_steps(slow: Tally) -> None:
    """The pace of ended steps applies to the others."""
    assert slow.line() == "1/3 builders complete, ~2 minutes remaining"
    assert slow.seconds_left == pytest.approx(2 * 20 + 2 * 30)


def test_idle_step(slow: Tally) -> None:
    """A step with nothing to do changes nothing."""
    slow.begin(IDLE)
    slow.end(unlaunched(IDLE, ""))
    assert (slow.complete, slow.steps) == (1, 3)
    assert slow.seconds_left == pytest.approx(100)


def test_last_step(slow: Tally, clock: Clock) -> None:
    """Nothing is left after the last step."""
    slow.begin(SECOND)
    for id in range(1, 6):
        clock.advance(1)
        slow.outcome(done(id, BARS))
    assert slow.seconds_left == pytest.approx(5 + 2 * 30)
    slow.end(ended(BARS, seconds=20.0))
    slow.end(ended(V2, seconds=30.0))
    assert slow.line() == "3/3 builders complete"
    assert slow.seconds_left == 0


def test_assets_of_a_step() -> None:
    """A step at work counts its ended assets and rows and keeps the three latest assets; skipped ones do not count."""
    tally = Tally(plan(step(DAILY, 5)), 1, clock=Clock())
    assert tally.outcome(done(1)) is None
    tally.begin(step(DAILY, 5))
    for id in range(1, 5):
        running = tally.outcome(done(id, rows=10))
    assert running is not None
    assert (running.ended, running.rows, running.latest) == (4, 40, [2, 3, 4])
    assert tally.outcome(skipped(5, DAILY)) is None
    assert tally.outcome(done(5, BARS)) is None
    assert running.ended == 4
