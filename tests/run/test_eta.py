"""When a run will be through, compared with schedules drawn up by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.run.eta import Running, seconds_left
from refresh.run.plan import Plan, Step, Task

DAILY, BARS, CAL_US, CAL_ISO = (by_key(f"bars.{name}") for name in ("1d", "multi_tf", "cal_us", "cal_iso"))
EMAS, V2 = by_key("emas.multi_tf"), by_key("emas.v2")


def plan(seconds: dict[BuilderConfig, float]) -> Plan:
    """A plan of steps that are expected to take so many seconds each."""
    task = Task(1, "append 1 day")
    return Plan(tuple(Step(one, (task,), (), (), estimated_seconds=need) for one, need in seconds.items()), 1)


@pytest.mark.parametrize(
    ("seconds", "jobs", "left"),
    [
        ({}, 1, 0),
        ({DAILY: 10}, 2, 10),
        ({DAILY: 10, BARS: 20, CAL_US: 30}, 1, 60),
        ({DAILY: 10, BARS: 20, CAL_US: 30}, 2, 10 + 30),
        ({DAILY: 10, BARS: 20, CAL_US: 30, CAL_ISO: 5}, 2, 10 + 30),
        ({DAILY: 10, BARS: 20, CAL_US: 30, CAL_ISO: 15}, 2, 10 + 20 + 15),
        ({DAILY: 10, BARS: 20, CAL_US: 5, EMAS: 7}, 2, 10 + 20 + 7),
        ({DAILY: 10, BARS: 20, EMAS: 7, V2: 40}, 2, 10 + 40),
        ({BARS: 20, CAL_US: 5}, 2, 20),
        ({EMAS: 7, V2: 40}, 1, 47),
    ],
    ids=[
        "nothing",
        "one step",
        "one after another",
        "side by side once the daily bars are there",
        "the shorter one makes room for a third",
        "the third ends last",
        "EMAs wait for their bars",
        "EMAs of days overtake EMAs of bars",
        "inputs outside the plan are there",
        "EMAs alone",
    ],
)
def test_from_the_start(seconds: dict[BuilderConfig, float], jobs: int, left: float) -> None:
    """Steps start in order as soon as their inputs are through and a process is free."""
    assert seconds_left(plan(seconds), {}, {}, jobs) == pytest.approx(left)


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ({}, 60),
        ({DAILY: 10}, 50),
        ({DAILY: 30}, 150),
        ({DAILY: 5}, 25),
        ({DAILY: 10, BARS: 35}, 30 * 45 / 30),
        ({DAILY: 0}, 50),
        ({DAILY: 10, BARS: 20, CAL_US: 30}, 0),
    ],
    ids=[
        "nothing known",
        "as expected",
        "three times as slow",
        "twice as fast",
        "both count",
        "at once",
        "all through",
    ],
)
def test_pace(ended: dict[BuilderConfig, float], left: float) -> None:
    """What is to come is as much slower or faster than expected as what is through."""
    assert seconds_left(plan({DAILY: 10, BARS: 20, CAL_US: 30}), {}, ended, 1) == pytest.approx(left)


def test_steps_without_an_estimate_tell_no_pace() -> None:
    """A step of which nothing was expected says nothing of the others."""
    assert seconds_left(plan({DAILY: 0, BARS: 20}), {}, {DAILY: 7.0}, 1) == pytest.approx(20)


@pytest.mark.parametrize(
    ("running", "left"),
    [
        (Running(5, 0), 15),
        (Running(25, 0), 0),
        (Running(5, 0.25), 15),
        (Running(6, 0.3), 14),
        (Running(30, 0.5), 30),
        (Running(4, 0.8), 1),
        (Running(90, 1), 0),
    ],
    ids=[
        "no asset through",
        "overdue",
        "too few to tell",
        "just enough to tell",
        "slower than expected",
        "faster than expected",
        "all through",
    ],
)
def test_one_step_at_work(running: Running, left: float) -> None:
    """A step of 20 expected seconds goes by its estimate first, and by its own pace from 30 % on."""
    assert seconds_left(plan({BARS: 20}), {BARS: running}, {}, 1) == pytest.approx(left)


def test_pace_of_a_step_at_work() -> None:
    """An estimate that a finished step corrected holds for a step at work as well."""
    left = seconds_left(plan({DAILY: 10, BARS: 20}), {BARS: Running(5, 0.1)}, {DAILY: 20.0}, 1)
    assert left == pytest.approx(2 * 20 - 5)


@pytest.mark.parametrize(("jobs", "left"), [(1, 15 + 30), (2, 30)])
def test_waiting_beside_a_step_at_work(jobs: int, left: float) -> None:
    """A step waits for a free process, not for the others to end."""
    running = {BARS: Running(5, 0)}
    assert seconds_left(plan({DAILY: 10, BARS: 20, CAL_US: 30}), running, {DAILY: 10.0}, jobs) == pytest.approx(left)


def test_inputs_at_work() -> None:
    """A step whose input is at work waits for it, however many processes are free."""
    running = {DAILY: Running(4, 0)}
    assert seconds_left(plan({DAILY: 10, BARS: 20, EMAS: 7}), running, {}, 8) == pytest.approx(6 + 20 + 7)


@given(
    st.lists(st.floats(0, 10**5), min_size=len(BUILDERS), max_size=len(BUILDERS)),
    st.integers(1, 12),
    st.integers(0, len(BUILDERS)),
)
def test_bounds(needs: list[float], jobs: int, through: int) -> None:
    """A run never takes less than its longest step, and never more than all its steps one after another."""
    whole = plan(dict(zip(BUILDERS, needs, strict=True)))
    ended = {step.builder: step.estimated_seconds for step in whole.steps[:through]}
    rest = needs[through:]
    left = seconds_left(whole, {}, ended, jobs)
    assert left >= max(rest, default=0.0) * (1 - 1e-9)
    assert left <= sum(rest) * (1 + 1e-9)


def test_steps_that_were_not_started_tell_no_pace() -> None:
    """A step whose assets were all left out says nothing of how fast the others are."""
    whole = plan({DAILY: 10, BARS: 10, V2: 10})
    assert seconds_left(whole, {}, {DAILY: 20.0, BARS: 0.0}, 1) == pytest.approx(20)
