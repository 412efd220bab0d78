"""The verdict on a run, and what to type next."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from faces.results import DONE, FINDING, IDLE, RESUME, failed, validity

from refresh.faces import words
from refresh.run.summary import StepSummary, Summary
from refresh.validate.finding import Finding


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (DONE, "Done: 245 rows written in 4.5s."),
        (replace(DONE, bars=1), "Done: 1 row written in 4.5s."),
        (replace(DONE, emas=12_100), "Done: 12,345 rows written in 4.5s."),
        (IDLE, "Nothing to do: 3 assets up to date in 12 tables."),
        (replace(IDLE, assets=1, tables=1), "Nothing to do: 1 asset up to date in 1 table."),
        (replace(IDLE, assets=5000), "Nothing to do: 5,000 assets up to date in 12 tables."),
    ],
)
def test_good_ends(summary: Summary, line: str) -> None:
    """The verdict on a good run is what it wrote, or how much it looked at."""
    assert words.verdict(summary) == line


def test_not_complete() -> None:
    """An asset counts once, in however many builders it is unfinished, and the next command follows."""
    unfinished = (failed(825), failed(825, builder="emas.cal"), failed(52))
    summary = replace(DONE, unfinished=unfinished, remaining_seconds=480, next_command=RESUME)
    assert words.verdict(summary) == (
        "Not complete: 2 of 3 assets (ID 52, 825) failed, skipped or not reached; 8 minutes of work left. "
        f"Next: {RESUME}"
    )


def test_one_asset_not_complete() -> None:
    """One asset is singular."""
    summary = replace(DONE, assets=1, unfinished=(failed(825),), remaining_seconds=0.2, next_command=RESUME)
    assert words.verdict(summary) == (
        f"Not complete: 1 of 1 asset (ID 825) failed, skipped or not reached; 1 s of work left. Next: {RESUME}"
    )


def test_stopped() -> None:
    """The verdict on a stopped run has the signal, the time and the rows written until then."""
    stopped = replace(DONE, seconds=95.0, stopped_by=int(signal.SIGINT))
    assert words.verdict(stopped) == "Stopped by SIGINT after 2 minutes: 245 rows written."
    left = replace(stopped, bars=1, unfinished=(failed(1),), remaining_seconds=7200.0, next_command=RESUME)
    assert words.verdict(left) == (
        f"Stopped by SIGINT after 2 minutes: 1 row written; 2.0 hours of work left. Next: {RESUME}"
    )


def test_valid() -> None:
    """A validation by itself ends with its own verdict, a validated refresh with that of the refresh."""
    valid = validity(judged=1)
    alone = replace(IDLE, steps=(), assets=1, tables=1, validity=valid)
    assert words.verdict(alone) == "Valid: 1 asset in 1 table."
    assert words.verdict(replace(DONE, validity=valid)) == "Done: 245 rows written in 4.5s."


@pytest.mark.parametrize("steps", [(), DONE.steps])
def test_nothing_validated(steps: tuple[StepSummary, ...]) -> None:
    """A validation that judged no asset is never called valid, neither by itself nor after a refresh."""
    waiting = replace(IDLE, steps=steps, validity=validity(judged=0, pending=(1, 52, 825)))
    assert words.verdict(waiting) == (
        "Nothing was validated: no asset is up to date, 3 assets (ID 1, 52, 825) wait to be refreshed. "
        "Run a refresh first."
    )
    empty = replace(waiting, validity=validity(judged=0))
    assert words.verdict(empty) == "Nothing was validated: the source has no asset to judge."
    assert "not validated: there is no asset to judge" in words.details(empty)


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ((FINDING,), "Validation failed: 1 finding in 1 table, ID 52. Rebuild what is wrong with {} 52"),
        (
            (FINDING, replace(FINDING, id=1), replace(FINDING, table="cmc_price_bars_1d")),
            "Validation failed: 3 findings in 2 tables, ID 1, 52. Rebuild what is wrong with {} 1,52",
        ),
    ],
)
def test_validation_failed(findings: tuple[Finding, ...], line: str) -> None:
    """Wrong values decide the verdict, which ends with flags that can be pasted."""
    summary = replace(DONE, unfinished=(failed(825),), validity=validity(*findings))
    assert words.verdict(summary) == line.format("--full-rebuild --ids")


def test_validation_failed_with_work_left() -> None:
    """The flags of the rebuild come before the next command."""
    summary = replace(DONE, validity=validity(FINDING), remaining_seconds=480, next_command=RESUME)
    assert words.verdict(summary).endswith(f" --full-rebuild --ids 52; 8 minutes of work left. Next: {RESUME}")


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (12, " --full-rebuild --ids 1,2,3,4,5,6,7,8,9,10,11,12"),
        (13, " --full-rebuild --ids 1,2,3,4,5,6,7,8,9,10,11,12 first, then 1 more asset"),
        (5012, " --full-rebuild --ids 1,2,3,4,5,6,7,8,9,10,11,12 first, then 5,000 more assets"),
    ],
)
def test_validation_failed_for_many(number: int, end: str) -> None:
    """At most twelve ids are there to be pasted, and the others are counted."""
    wrong = (replace(FINDING, id=id) for id in range(1, number + 1))
    assert words.verdict(replace(DONE, validity=validity(*wrong))).endswith(end)
