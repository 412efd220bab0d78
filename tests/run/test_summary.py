"""The result of a run, from reports made by hand."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from run.planning import BARS, CAL, DAILY, EMAS
from run.reports import (
    DONE,
    FAILED,
    RESTATED,
    RESUME,
    STARTED,
    done,
    failed,
    not_launched,
    ran,
    report,
    skipped,
    step,
    summed,
    unreached,
)

from refresh.due.decision import RETRIED
from refresh.records import Status
from refresh.run.summary import Facts, Severity, Unfinished

EARLIER = datetime(2026, 2, 27, 4, tzinfo=UTC)


def test_counts() -> None:
    """The summary counts rows by kind and by builder, assets by how they ended, and the tables of the builders."""
    summary = summed(
        report(
            ran(DAILY, done(DAILY, 1, 100), done(DAILY, 52, 20), failed(DAILY, 825), seconds=3.25),
            not_launched(BARS, because="no timeframe selected"),
            ran(CAL, done(CAL, 1, 7), skipped(CAL, 825)),
        )
    )
    assert [astuple(step) for step in summary.steps] == [
        ("bars.1d", "1d bars", 120, 3.25, {"done": 2, "failed": 1}, ""),
        ("bars.multi_tf", "multi_tf bars", 0, 0.0, {}, "no timeframe selected"),
        ("emas.cal", "cal EMAs", 7, 2.0, {"done": 1, "skipped": 1}, ""),
    ]
    assert [builder.assets for builder in summary.steps] == [3, 0, 2]
    assert (summary.bars, summary.emas, summary.rows) == (120, 7, 127)
    assert (summary.assets, summary.tables, summary.seconds) == (3, 4, 4.5)
    assert (summary.run_id, summary.command, summary.started_at) == ("r1", "run_daily_refresh.py --all", STARTED)
    assert not summary.idle


def test_idle() -> None:
    """A run in which no step had an asset was idle, and needs no next command."""
    summary = summed(report(not_launched(DAILY)))
    assert summary.idle
    assert (summary.exit_code, summary.next_command, summary.severity) == (0, None, Severity.INFO)


def test_run_that_only_skips_is_not_idle() -> None:
    """Skipped assets are worth a report."""
    assert not summed(report(not_launched(EMAS, skipped(EMAS, 1)))).idle


def test_unfinished() -> None:
    """Unfinished assets are in the order of builders and ids, with the error or else the reason."""
    summary = summed(
        report(
            ran(DAILY, failed(DAILY, 825), done(DAILY, 1), unreached(DAILY, 52)),
            ran(EMAS, skipped(EMAS, 825), failed(EMAS, 1, None)),
        )
    )
    assert summary.unfinished == (
        Unfinished(builder="bars.1d", id=52, status=Status.NOT_REACHED, why="the builder was killed"),
        Unfinished(builder="bars.1d", id=825, status=Status.FAILED, why="out of range"),
        Unfinished(builder="emas.multi_tf", id=1, status=Status.FAILED, why="append 1 day"),
        Unfinished(builder="emas.multi_tf", id=825, status=Status.SKIPPED, why="bars failed"),
    )
    assert summary.unfinished_ids == [1, 52, 825]
    assert [asset.id for asset in summary.of(Status.FAILED)] == [825, 1]
    assert summary.of(Status.DONE) == []


def test_failing_since() -> None:
    """The day since which an asset has failed belongs to that asset in that builder alone."""
    facts = Facts(failing_since={("bars.1d", 825): EARLIER, ("emas.multi_tf", 1): EARLIER})
    result = report(ran(DAILY, failed(DAILY, 1), failed(DAILY, 825)), ran(EMAS, skipped(EMAS, 825)))
    since = {(asset.builder, asset.id): asset.since for asset in summed(result, facts=facts).unfinished}
    assert since == {("bars.1d", 1): None, ("bars.1d", 825): EARLIER, ("emas.multi_tf", 825): None}


def test_recovered() -> None:
    """An asset that failed last time and is done now has recovered; one that failed again has not."""
    retried = f"{RETRIED}: append 1 day"
    result = report(
        ran(DAILY, done(DAILY, 1), failed(DAILY, 52, reason=retried), done(DAILY, 825, reason=retried)),
        ran(EMAS, done(EMAS, 825, reason=RETRIED)),
    )
    assert summed(result).recovered == (("bars.1d", 825), ("emas.multi_tf", 825))


def test_remaining_seconds() -> None:
    """The estimate of each step counts in proportion to its assets that are not done."""
    result = report(
        ran(DAILY, done(DAILY, 1), done(DAILY, 2), done(DAILY, 3), failed(DAILY, 4)),
        ran(EMAS, unreached(EMAS, 1), unreached(EMAS, 2), done(EMAS, 3), skipped(EMAS, 4)),
        ran(BARS, done(BARS, 1)),
    )
    steps = (step(DAILY, 1, 2, 3, 4, seconds=80), step(EMAS, 1, 2, 3, 4, seconds=8), step(BARS, 1), step(CAL))
    assert summed(result, *steps).remaining_seconds == pytest.approx(80 / 4 + 8 * 3 / 4)


def test_nothing_remains_of_what_is_done() -> None:
    """A run in which every asset is done leaves no work."""
    assert summed(DONE, step(DAILY, 1)).remaining_seconds == 0


def test_notes_are_kept_apart() -> None:
    """Repairs, refused rows, missing days and violated laws are added up over all assets, each among its own kind."""
    summary = summed(
        report(
            ran(
                DAILY,
                done(DAILY, 1, repaired_high=2, null_ohlc=1, missing_days=4),
                done(DAILY, 52, repaired_timelow=1, null_ohlc=2, future=5, missing_days=1),
            ),
            ran(EMAS, done(EMAS, 1, ema_violations=1), done(EMAS, 52, ema_violations=1)),
        )
    )
    assert summary.repairs == {"repaired_high": 2, "repaired_timelow": 1}
    assert summary.rejects == {"future": 5, "null_ohlc": 3}
    assert (summary.missing_days, summary.violations) == (5, 2)


def test_without_notes() -> None:
    """A run without notes has no repairs, rejects, missing days or violations."""
    summary = summed(DONE)
    assert (summary.repairs, summary.rejects, summary.missing_days, summary.violations) == ({}, {}, 0, 0)


def test_next_command() -> None:
    """If something is left, the next command resumes the run."""
    assert summed(FAILED).next_command == RESUME
    assert summed(DONE).next_command is None


def test_facts_are_passed_on() -> None:
    """Notices and restatements reach every face as they are, those of the run before as well."""
    facts = Facts(restated=(RESTATED,), known_notices=("a",))
    summary = summed(report(ran(DAILY, done(DAILY, 1)), notices=("a", "b")), facts=facts)
    assert (summary.notices, summary.restated, summary.known_notices) == (("a", "b"), (RESTATED,), ("a",))
