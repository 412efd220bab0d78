"""When a run will end, compared with schedules drawn up by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run.planning import BARS, CAL_ISO, CAL_US, DAILY, EMAS, V2

from refresh.catalog import BUILDERS, BuilderConfig
from refresh.run.eta import Running, seconds_left
from refresh.run.plan import Plan, Step, Task

Seconds = dict[BuilderConfig, float]


def plan(seconds: Seconds) -> Plan:
    """A plan of steps with these estimates."""
    task = Task(id=1, reason="append 1 day")
    steps = [Step(builder=builder, tasks=(task,), estimated_seconds=needed) for builder, needed in seconds.items()]
    return Plan(steps=tuple(steps), assets=1)


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
        "side by side after the daily bars",
        "a third starts when the shorter one ends",
        "the third ends last",
        "EMAs wait for their bars",
        "EMAs of days overtake EMAs of bars",
        "inputs outside the plan are ready",
        "EMAs alone",
    ],
)
def test_from_the_start(seconds: Seconds, jobs: int, left: float) -> None:
    """Steps start in order as soon as their inputs are finished and a process is free."""
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
        "nothing finished",
        "as expected",
        "three times as slow",
        "twice as fast",
        "both count",
        "no time at all",
        "all finished",
    ],
)
def test_pace(ended: Seconds, left: float) -> None:
    """The remaining steps are expected to exceed their estimates by the same factor as the finished ones."""
    assert seconds_left(plan({DAILY: 10, BARS: 20, CAL_US: 30}), {}, ended, 1) == pytest.approx(left)


def test_steps_without_an_estimate_do_not_change_the_pace() -> None:
    """A step with an estimate of no time says nothing about the others."""
    assert seconds_left(plan({DAILY: 0, BARS: 20}), {}, {DAILY: 7.0}, 1) == pytest.approx(20)


def test_steps_that_were_not_launched_do_not_change_the_pace() -> None:
    """A step whose assets were all skipped says nothing about how fast the others are."""
    steps = plan({DAILY: 10, BARS: 10, V2: 10})
    assert seconds_left(steps, {}, {DAILY: 20.0, BARS: 0.0}, 1) == pytest.approx(20)


def at_work(seconds: float, share: float = 0.0) -> Running:
    """A step at work."""
    return Running(seconds=seconds, share=share)


@pytest.mark.parametrize(
    ("running", "left"),
    [
        (at_work(5), 15),
        (at_work(25), 0),
        (at_work(5, 0.25), 15),
        (at_work(6, 0.3), 14),
        (at_work(30, 0.5), 30),
        (at_work(4, 0.8), 1),
        (at_work(90, 1), 0),
    ],
    ids=[
        "no asset finished",
        "overdue",
        "too few assets for a pace",
        "just enough assets for a pace",
        "slower than expected",
        "faster than expected",
        "all finished",
    ],
)
def test_one_step_at_work(running: Running, left: float) -> None:
    """A step of 20 expected seconds follows its estimate at first, and its own pace from 30 % on."""
    assert seconds_left(plan({BARS: 20}), {BARS: running}, {}, 1) == pytest.approx(left)


def test_pace_of_a_step_at_work() -> None:
    """The pace of finished steps corrects the estimate of a step at work as well."""
    left = seconds_left(plan({DAILY: 10, BARS: 20}), {BARS: at_work(5, 0.1)}, {DAILY: 20.0}, 1)
    assert left == pytest.approx(2 * 20 - 5)


@pytest.mark.parametrize(("jobs", "left"), [(1, 15 + 30), (2, 30)])
def test_waiting_beside_a_step_at_work(jobs: int, left: float) -> None:
    """A step waits for a free process, not for the others to end."""
    steps = plan({DAILY: 10, BARS: 20, CAL_US: 30})
    assert seconds_left(steps, {BARS: at_work(5)}, {DAILY: 10.0}, jobs) == pytest.approx(left)


def test_inputs_at_work() -> None:
    """A step whose input is at work waits for it, however many processes are free."""
    steps = plan({DAILY: 10, BARS: 20, EMAS: 7})
    assert seconds_left(steps, {DAILY: at_work(4)}, {}, 8) == pytest.approx(6 + 20 + 7)


@given(
    st.lists(st.floats(0, 10**5), min_size=len(BUILDERS), max_size=len(BUILDERS)),
    st.integers(1, 12),
    st.integers(0, len(BUILDERS)),
)
def test_bounds(estimates: list[float], jobs: int, finished: int) -> None:
    """A run never takes less than its longest step, and never more than all its steps one after another."""
    steps = plan(dict(zip(BUILDERS, estimates, strict=True)))
    ended = dict(zip(BUILDERS[:finished], estimates[:finished], strict=True))
    remaining = estimates[finished:]
    left = seconds_left(steps, {}, ended, jobs)
    assert left >= max(remaining, default=0.0) * (1 - 1e-9)
    assert left <= sum(remaining) * (1 + 1e-9)
