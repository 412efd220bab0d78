"""What a run came to, from reports made by hand."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime

import pytest

from refresh.catalog import BuilderConfig, by_key
from refresh.due.decision import RETRIED
from refresh.records_story import Facts, Restated
from refresh.validate.finding import Finding, Validity
from refresh.records import Outcome, Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import RunReport, StepReport
from refresh.run.summary import Severity, StepSummary, Summary, Unfinished, summarise

DAILY, BARS, EMAS, CAL_EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.cal"))
STARTED = datetime(2026, 3, 2, 4, tzinfo=UTC)
EARLIER = datetime(2026, 2, 27, 4, tzinfo=UTC)
RESUME = "python run_daily_refresh.py --all --resume"
RESTATED = Restated(52, date(2026, 2, 1), date(2026, 2, 3), 3, 10.0, 11.0, "3 rows changed")


def done(builder: BuilderConfig, id: int, rows: int = 10, reason: str = "append 1 day", **notes: int) -> Outcome:
    """An asset that ended well."""
    return Outcome(builder.key, id, Status.DONE, rows, 1.0, reason, notes=notes)


def failed(builder: BuilderConfig, id: int, error: str | None = "out of range") -> Outcome:
    """An asset that failed."""
    return Outcome(builder.key, id, Status.FAILED, reason="append 1 day", error=error)


def skipped(builder: BuilderConfig, id: int) -> Outcome:
    """An asset that was left out."""
    return Outcome(builder.key, id, Status.SKIPPED, reason="bars failed")


def unreached(builder: BuilderConfig, id: int) -> Outcome:
    """An asset to which its builder never came."""
    return Outcome(builder.key, id, Status.NOT_REACHED, reason="append 1 day", error="the builder was killed")


def report(*steps: StepReport, notices: tuple[str, ...] = (), stopped_by: int | None = None) -> RunReport:
    """The report of a run about three assets."""
    return RunReport(steps, 3, 4.5, notices, stopped_by)


def ran(builder: BuilderConfig, *outcomes: Outcome, seconds: float = 2.0) -> StepReport:
    """A step that was launched."""
    return StepReport(builder, outcomes, seconds, launched=True)


def step(builder: BuilderConfig, *ids: int, seconds: float = 60.0) -> Step:
    """A step as a plan holds it."""
    return Step(builder, tuple(Task(id, "append 1 day") for id in ids), (), (), estimated_seconds=seconds)


def summed(told: RunReport, *steps: Step, facts: Facts | None = None, validity: Validity | None = None) -> Summary:
    """The summary of a report."""
    return summarise(
        Plan(steps, 3),
        told,
        facts or Facts(),
        run_id="r1",
        command="run_daily_refresh.py --all",
        started_at=STARTED,
        resume=RESUME,
        validity=validity,
    )


def test_counts() -> None:
    """Rows are told by kind and by builder, assets by how they ended, tables by what the builders write."""
    summary = summed(
        report(
            ran(DAILY, done(DAILY, 1, 100), done(DAILY, 52, 20), failed(DAILY, 825), seconds=3.25),
            StepReport(BARS, (), 0.0, launched=False, idle_because="no timeframe selected"),
            ran(CAL_EMAS, done(CAL_EMAS, 1, 7), skipped(CAL_EMAS, 825)),
        )
    )
    assert summary.steps == (
        StepSummary("bars.1d", "1d bars", 120, 3.25, {"done": 2, "failed": 1}, ""),
        StepSummary("bars.multi_tf", "multi_tf bars", 0, 0.0, {}, "no timeframe selected"),
        StepSummary("emas.cal", "cal EMAs", 7, 2.0, {"done": 1, "skipped": 1}, ""),
    )
    assert [one.assets for one in summary.steps] == [3, 0, 2]
    assert (summary.bars, summary.emas, summary.rows) == (120, 7, 127)
    assert (summary.assets, summary.tables, summary.seconds) == (3, 4, 4.5)
    assert (summary.run_id, summary.command, summary.started_at) == ("r1", "run_daily_refresh.py --all", STARTED)
    assert not summary.idle


def test_idle() -> None:
    """A run in which no step had an asset was idle, and needs no next command."""
    summary = summed(report(StepReport(DAILY, (), 0.0, launched=False, idle_because="up to date")))
    assert summary.idle
    assert (summary.exit_code, summary.next_command, summary.severity) == (0, None, Severity.INFO)


def test_a_run_of_skipped_assets_is_not_idle() -> None:
    """Assets that were left out are something to tell of."""
    assert not summed(report(StepReport(EMAS, (skipped(EMAS, 1),), 0.0, launched=False))).idle


def test_unfinished() -> None:
    """What is not done stands in the order of builders and assets, with the error or else the reason."""
    summary = summed(
        report(
            ran(DAILY, failed(DAILY, 825), done(DAILY, 1), unreached(DAILY, 52)),
            ran(EMAS, skipped(EMAS, 825), failed(EMAS, 1, None)),
        )
    )
    assert summary.unfinished == (
        Unfinished("bars.1d", 52, Status.NOT_REACHED, "the builder was killed"),
        Unfinished("bars.1d", 825, Status.FAILED, "out of range"),
        Unfinished("emas.multi_tf", 1, Status.FAILED, "append 1 day"),
        Unfinished("emas.multi_tf", 825, Status.SKIPPED, "bars failed"),
    )
    assert summary.unfinished_ids == [1, 52, 825]
    assert [one.id for one in summary.of(Status.FAILED)] == [825, 1]
    assert summary.of(Status.DONE) == []


def test_since_when() -> None:
    """The day from which on an asset failed belongs to that asset in that builder alone."""
    facts = Facts(failing_since=(("bars.1d", 825, EARLIER), ("emas.multi_tf", 1, EARLIER)))
    told = report(ran(DAILY, failed(DAILY, 1), failed(DAILY, 825)), ran(EMAS, skipped(EMAS, 825)))
    since = {(one.builder, one.id): one.since for one in summed(told, facts=facts).unfinished}
    assert since == {("bars.1d", 1): None, ("bars.1d", 825): EARLIER, ("emas.multi_tf", 825): None}


def test_recovered() -> None:
    """Who failed last time and is done now has recovered; who failed again has not."""
    again = Outcome("bars.1d", 52, Status.FAILED, reason=f"{RETRIED}: append 1 day", error="out of range")
    told = report(
        ran(DAILY, done(DAILY, 1), again, done(DAILY, 825, reason=f"{RETRIED}: append 1 day")),
        ran(EMAS, done(EMAS, 825, reason=RETRIED)),
    )
    assert summed(told).recovered == (("bars.1d", 825), ("emas.multi_tf", 825))


def test_remaining_seconds() -> None:
    """Of each step, the share of its assets that is not done is left of what it was expected to take."""
    told = report(
        ran(DAILY, done(DAILY, 1), done(DAILY, 2), done(DAILY, 3), failed(DAILY, 4)),
        ran(EMAS, unreached(EMAS, 1), unreached(EMAS, 2), done(EMAS, 3), skipped(EMAS, 4)),
        ran(BARS, done(BARS, 1)),
    )
    steps = (step(DAILY, 1, 2, 3, 4, seconds=80), step(EMAS, 1, 2, 3, 4, seconds=8), step(BARS, 1), step(CAL_EMAS))
    assert summed(told, *steps).remaining_seconds == pytest.approx(80 / 4 + 8 * 3 / 4)


def test_nothing_remains_of_what_is_done() -> None:
    """A run that ended well leaves no work."""
    assert summed(report(ran(DAILY, done(DAILY, 1))), step(DAILY, 1)).remaining_seconds == 0


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
    """Where nothing was found, there is nothing of any kind."""
    summary = summed(report(ran(DAILY, done(DAILY, 1))))
    assert (summary.repairs, summary.rejects, summary.missing_days, summary.violations) == ({}, {}, 0, 0)


@pytest.mark.parametrize(
    ("told", "facts", "severity"),
    [
        (report(ran(DAILY, done(DAILY, 1))), Facts(), Severity.INFO),
        (report(ran(DAILY, done(DAILY, 1, repaired_high=1, missing_days=3))), Facts(), Severity.INFO),
        (report(ran(DAILY, done(DAILY, 1, null_ohlc=1))), Facts(), Severity.WARNING),
        (report(ran(DAILY, done(DAILY, 1)), notices=("gone from the source: id 7",)), Facts(), Severity.WARNING),
        (report(ran(DAILY, done(DAILY, 1))), Facts((RESTATED,)), Severity.WARNING),
        (report(ran(DAILY, failed(DAILY, 1))), Facts((RESTATED,)), Severity.ERROR),
        (report(ran(EMAS, skipped(EMAS, 1))), Facts(), Severity.ERROR),
        (report(ran(EMAS, unreached(EMAS, 1))), Facts(), Severity.ERROR),
    ],
    ids=["done", "repaired", "refused", "notice", "restated", "failed", "skipped", "not reached"],
)
def test_severity(told: RunReport, facts: Facts, severity: Severity) -> None:
    """What is not done is an error; what someone should look at, a warning."""
    assert summed(told, facts=facts).severity is severity


def test_severities_are_ordered() -> None:
    """A threshold lets through what is at least as severe."""
    assert Severity.INFO < Severity.WARNING < Severity.ERROR < Severity.CRITICAL


def test_next_command() -> None:
    """Where something is left, the next command takes it up."""
    assert summed(report(ran(DAILY, failed(DAILY, 1)))).next_command == RESUME
    assert summed(report(ran(DAILY, done(DAILY, 1)))).next_command is None


def test_exit_code_and_signal() -> None:
    """The exit code tells the worst; what a signal stopped says which one."""
    told = report(ran(DAILY, done(DAILY, 1), unreached(DAILY, 52)), stopped_by=signal.SIGTERM)
    assert (summed(told).exit_code, summed(told).stopped_by) == (143, signal.SIGTERM)
    assert summed(report(ran(DAILY, failed(DAILY, 1)))).exit_code == 1
    assert summed(report(ran(DAILY, done(DAILY, 1)))).exit_code == 0


def test_what_is_passed_on() -> None:
    """Notices and restatements reach every face as they are."""
    summary = summed(report(ran(DAILY, done(DAILY, 1)), notices=("a", "b")), facts=Facts((RESTATED,)))
    assert (summary.notices, summary.restated) == (("a", "b"), (RESTATED,))


def wrong(*ids: int, assets: int = 3) -> Validity:
    """A validation that found something wrong in some assets."""
    findings = tuple(Finding("cmc_price_bars_1d", id, None, None, None, "1", "2") for id in ids)
    return Validity(assets, (), (), findings, 1.0)


def test_validation_decides_the_exit_code() -> None:
    """Wrong values decide the exit code, whatever else there was; values that are right change nothing."""
    stopped = report(ran(DAILY, unreached(DAILY, 1)), stopped_by=signal.SIGTERM)
    assert summed(stopped, validity=wrong(1)).exit_code == 4
    assert summed(stopped, validity=wrong()).exit_code == 143
    assert summed(report(ran(DAILY, failed(DAILY, 1))), validity=wrong()).exit_code == 1
    assert summed(report(ran(DAILY, done(DAILY, 1))), validity=wrong()).exit_code == 0


@pytest.mark.parametrize(
    ("ids", "assets", "severity"),
    [
        ((), 3, Severity.INFO),
        ((1,), 3, Severity.ERROR),
        ((1, 1), 3, Severity.ERROR),
        ((1, 52), 3, Severity.CRITICAL),
        ((1, 52), 20, Severity.CRITICAL),
        ((1, 52), 21, Severity.ERROR),
    ],
)
def test_severity_of_wrong_values(ids: tuple[int, ...], assets: int, severity: Severity) -> None:
    """One asset with wrong values is an error; a tenth of all, if it is several, is a corrupt database."""
    told = RunReport((ran(DAILY, done(DAILY, 1)),), assets, 1.0)
    assert summed(told, validity=wrong(*ids, assets=assets)).severity is severity
