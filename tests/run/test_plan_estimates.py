"""The rows and seconds of the steps of a plan, from surveys made by hand."""

from __future__ import annotations

import pytest
from run.planning import ASSETS, BARS, CAL, DAILY, EMAS, V2, append, past, plan, step_of

from refresh.run.estimate import START_SECONDS, UNKNOWN_RATE


def test_rows_of_a_task() -> None:
    """A task has days times series rows, over everything that is due for its asset; daily bars are one series."""
    dues = [append(52, 5, series=3), append(52, 2, series=4), append(825, 6, series=1)]
    planned = plan({DAILY: [append(1, 7)], CAL: dues})
    assert [(task.days, task.rows) for task in step_of(planned, DAILY).tasks] == [(7, 7)]
    rows = {task.id: (task.days, task.rows) for task in step_of(planned, CAL).tasks}
    assert (rows[52], rows[825]) == ((5, 23), (6, 6))
    assert step_of(planned, DAILY).estimated_rows == 7


def test_rows_of_what_follows() -> None:
    """A task that follows has the days of the step upstream, for every series of its builder."""
    planned = plan({DAILY: [append(1, 7), append(52, 2)]}, series={BARS: 3, EMAS: 20})
    bars, emas = step_of(planned, BARS), step_of(planned, EMAS)
    assert [(task.id, task.days, task.rows) for task in bars.tasks] == [(1, 7, 21), (52, 2, 6)]
    assert [(task.id, task.days, task.rows) for task in emas.tasks] == [(1, 7, 140), (52, 2, 40)]
    assert emas.estimated_rows == 180


def test_days_go_all_the_way_down() -> None:
    """A task that follows another that itself follows has the days of the first."""
    series = {BARS: 3, EMAS: 20}
    planned = plan({DAILY: [append(1, 7)]}, among=[DAILY, BARS, EMAS], series=series)
    without_daily = plan({BARS: [append(1, 7, series=3)]}, among=[BARS, EMAS], series=series)
    assert step_of(planned, EMAS).estimated_rows == step_of(without_daily, EMAS).estimated_rows == 140


def test_seconds_without_history() -> None:
    """A builder that never ran is expected to have the usual rate, and one without work to take no time."""
    planned = plan({V2: [append(1, 100, series=500)]})
    assert step_of(planned, V2).estimated_seconds == pytest.approx(START_SECONDS + 100 * 500 / UNKNOWN_RATE)
    assert planned.estimated_seconds == step_of(planned, V2).estimated_seconds
    assert {step.estimated_seconds for step in planned.steps if step.builder != V2} == {0.0}


def test_seconds_from_history() -> None:
    """A builder is expected to be as fast as it was before; the history of others does not matter."""
    dues = {DAILY: [append(1, 300), append(52, 100)]}
    earlier = {DAILY: [past(200, START_SECONDS + 5.0)], BARS: [past(400, START_SECONDS + 100.0)]}
    planned = plan(dues, among=[DAILY, V2], series={V2: 1}, earlier=earlier)
    assert step_of(planned, DAILY).estimated_seconds == pytest.approx(START_SECONDS + 10.0)
    assert step_of(planned, V2).estimated_seconds == pytest.approx(START_SECONDS + 400 / UNKNOWN_RATE)
    assert planned.estimated_seconds == pytest.approx(2 * START_SECONDS + 10.0 + 400 / UNKNOWN_RATE)


def test_only_processed_assets_take_time() -> None:
    """Assets that a step does not process take no time."""
    dues = {V2: [append(asset, 100, series=500) for asset in ASSETS]}
    stale = {1: "bars lag", 52: "bars lag"}
    expected = pytest.approx(START_SECONDS + 100 * 500 / UNKNOWN_RATE)
    assert step_of(plan(dues, only={V2: {52}}), V2).estimated_seconds == expected
    assert step_of(plan(dues, stale={V2: stale}), V2).estimated_seconds == expected
    assert step_of(plan(dues, stale={V2: {**stale, 825: "late"}}), V2).estimated_seconds == 0.0
