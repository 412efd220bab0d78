"""Steps in order, side by side, and with stale inputs: real builders on a real database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from run.planning import ASSETS, BARS, CAL_US, EMAS, V2
from run.processes import (
    EVERYTHING,
    LONG,
    Recording,
    builder_pids,
    context,
    daily_bars,
    everywhere,
    locked,
    plan,
    statuses_by_step,
)
from sqlalchemy import Engine
from statements import ask

from refresh.catalog import BuilderConfig, by_key
from refresh.records import Status
from refresh.run.report import StepReport
from refresh.run.steps import Limits, run


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of three assets, and their daily bars."""
    with daily_bars(prepared_url) as engine:
        yield engine


def test_one_after_another(engine: Engine) -> None:
    """With one job each step ends before the next in order begins."""
    watcher = Recording()
    report = run(plan(engine, BARS, CAL_US, EMAS), EVERYTHING, context(engine), watcher, limits=Limits(jobs=1))
    keys = [BARS.key, CAL_US.key, EMAS.key]
    assert watcher.events == [(event, key) for key in keys for event in ("begin", "end")]
    assert statuses_by_step(report) == dict.fromkeys(keys, everywhere(Status.DONE))
    assert report.exit_code == 0


def test_side_by_side(engine: Engine) -> None:
    """A step overlaps with steps that it does not read from, and begins after those that it reads from."""
    with locked(engine, CAL_US) as lock:

        def release(report: StepReport) -> None:
            if report.builder == EMAS:
                lock.rollback()

        watcher = Recording(end=release)
        limits = Limits(jobs=2, timeout=LONG)
        report = run(plan(engine, BARS, CAL_US, EMAS), EVERYTHING, context(engine), watcher, limits=limits)
    assert watcher.events == [
        ("begin", BARS.key),
        ("begin", CAL_US.key),
        ("end", BARS.key),
        ("begin", EMAS.key),
        ("end", EMAS.key),
        ("end", CAL_US.key),
    ]
    keys = [BARS.key, CAL_US.key, EMAS.key]
    assert statuses_by_step(report) == dict.fromkeys(keys, everywhere(Status.DONE))
    assert [step.builder for step in report.steps] == [BARS, CAL_US, EMAS]


def test_free_process_without_a_ready_step(engine: Engine) -> None:
    """A step waits for its input, however many processes are free."""
    running: list[tuple[BuilderConfig, int]] = []
    watcher = Recording(begin=lambda step: running.append((step.builder, len(builder_pids()))))
    report = run(plan(engine, BARS, EMAS), EVERYTHING, context(engine), watcher, limits=Limits(jobs=9))
    assert watcher.events == [("begin", BARS.key), ("end", BARS.key), ("begin", EMAS.key), ("end", EMAS.key)]
    assert running == [(BARS, 0), (EMAS, 0)]
    assert report.exit_code == 0


def test_never_more_than_jobs(engine: Engine) -> None:
    """Steps that could all begin at once begin only when a process is free."""
    builders = [by_key(f"bars.{name}") for name in ("multi_tf", "cal_us", "cal_iso", "cal_anchor_us")]
    running: list[int] = []
    watcher = Recording(begin=lambda _: running.append(len(builder_pids())))
    report = run(plan(engine, *builders), EVERYTHING, context(engine), watcher, limits=Limits(jobs=2))
    assert running[0] == 0
    assert max(running) <= 1
    begun = [key for event, key in watcher.events if event == "begin"]
    assert begun == [builder.key for builder in builders]
    assert watcher.events[:2] == [("begin", builders[0].key), ("begin", builders[1].key)]
    assert report.exit_code == 0


def test_stale_inputs(engine: Engine) -> None:
    """Assets whose bars lag are skipped with the reason. The lag is read when a step begins, and for EMAs only."""
    calls: list[tuple[BuilderConfig, int]] = []
    watcher = Recording()

    def stale(builder: BuilderConfig) -> Mapping[int, str]:
        calls.append((builder, len(watcher.events)))
        if builder == EMAS:
            return {52: "bars end 9 days before the source"}
        return dict.fromkeys(ASSETS, "bars lag")

    planned = plan(engine, BARS, EMAS, V2)
    report = run(planned, EVERYTHING, context(engine), watcher, limits=Limits(jobs=1), stale=stale)
    assert calls == [(EMAS, 2), (V2, 4)]
    assert statuses_by_step(report) == {
        BARS.key: everywhere(Status.DONE),
        EMAS.key: {1: Status.DONE, 52: Status.SKIPPED, 825: Status.DONE},
        V2.key: everywhere(Status.SKIPPED),
    }
    assert [step.launched for step in report.steps] == [True, True, False]
    skipped = [outcome for outcome in watcher.outcomes if outcome.status is Status.SKIPPED]
    assert [(outcome.builder, outcome.id, outcome.reason) for outcome in skipped] == [
        (EMAS.key, 52, "bars end 9 days before the source"),
        *((V2.key, asset, "bars lag") for asset in ASSETS),
    ]
    assert report.exit_code == 1
    assert ask(engine, "SELECT DISTINCT id FROM cmc_ema_multi_tf ORDER BY 1") == [(1,), (825,)]
