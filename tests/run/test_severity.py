"""Exit code and severity of a run, from reports made by hand."""

from __future__ import annotations

import signal

import pytest
from run.planning import DAILY, EMAS
from run.reports import DONE, FAILED, RESTATED, done, ran, report, skipped, summed, unreached

from refresh.errors import ExitCode
from refresh.run.report import RunReport
from refresh.run.summary import Facts, Severity
from refresh.validate.finding import Finding, Validity

RESTATEMENT = Facts(restated=(RESTATED,))


@pytest.mark.parametrize(
    ("result", "facts", "severity"),
    [
        (DONE, Facts(), Severity.INFO),
        (report(ran(DAILY, done(DAILY, 1, repaired_high=1, missing_days=3))), Facts(), Severity.INFO),
        (report(ran(DAILY, done(DAILY, 1, null_ohlc=1))), Facts(), Severity.WARNING),
        (report(ran(DAILY, done(DAILY, 1)), notices=("gone from the source: id 7",)), Facts(), Severity.WARNING),
        (DONE, RESTATEMENT, Severity.WARNING),
        (FAILED, RESTATEMENT, Severity.ERROR),
        (report(ran(EMAS, skipped(EMAS, 1))), Facts(), Severity.ERROR),
        (report(ran(EMAS, unreached(EMAS, 1))), Facts(), Severity.ERROR),
    ],
    ids=["done", "repaired", "refused", "notice", "restated", "failed", "skipped", "not reached"],
)
def test_severity(result: RunReport, facts: Facts, severity: Severity) -> None:
    """An asset that is not done is an error; what a person should look at is a warning."""
    assert summed(result, facts=facts).severity is severity


def test_severities_are_ordered() -> None:
    """A threshold passes what is at least as severe."""
    assert Severity.INFO < Severity.WARNING < Severity.ERROR < Severity.CRITICAL


def test_exit_code_and_signal() -> None:
    """The exit code says how the run ended; after a stop, it says which signal stopped it."""
    for number, code in ((signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)):
        stopped = summed(report(ran(DAILY, done(DAILY, 1), unreached(DAILY, 52)), stopped_by=number))
        assert (stopped.exit_code, stopped.stopped_by) == (code, number)
        assert code == 128 + number
    assert summed(FAILED).exit_code == 1
    assert summed(DONE).exit_code == 0


def wrong(*ids: int, assets: int = 3) -> Validity:
    """A validation that found wrong values in some assets."""
    findings = tuple(Finding(table="cmc_price_bars_1d", id=id, expected="1", found="2") for id in ids)
    return Validity(judged=assets, recomputed=(), pending=(), findings=findings, seconds=1.0)


def test_validation_decides_the_exit_code() -> None:
    """Wrong values decide the exit code, whatever else happened; correct values change nothing."""
    stopped = report(ran(DAILY, unreached(DAILY, 1)), stopped_by=signal.SIGTERM)
    assert summed(stopped, validity=wrong(1)).exit_code == 4
    assert summed(stopped, validity=wrong()).exit_code == 143
    assert summed(FAILED, validity=wrong()).exit_code == 1
    assert summed(DONE, validity=wrong()).exit_code == 0


def test_nothing_judged_is_no_success() -> None:
    """A validation that judged no asset makes a good run a failure, and hides no other exit code."""
    void = wrong(assets=0)
    assert summed(DONE, validity=void).exit_code == 1
    assert summed(DONE, validity=void).severity is Severity.ERROR
    stopped = report(ran(DAILY, unreached(DAILY, 1)), stopped_by=signal.SIGTERM)
    assert summed(stopped, validity=void).exit_code == 143
    assert summed(DONE, validity=wrong(1, assets=0)).exit_code == 4


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
    """One asset with wrong values is an error; a tenth of all, if it is several, means a corrupt database."""
    result = RunReport(steps=DONE.steps, assets=assets, seconds=1.0)
    assert summed(result, validity=wrong(*ids, assets=assets)).severity is severity
