"""What the console shows of the result of a run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from faces.reports import DONE, FIRST, RESUME, UNSELECTED, unfinished

from refresh.faces.console import make_console, show_summary
from refresh.records import LedgerLine, Status
from refresh.run.summary import StepSummary

pytestmark = pytest.mark.usefixtures("plain_terminal")
DAY = date(2026, 2, 1)
NOT_COMPLETE = "Not complete: 2 of 3 assets (ID 52, 825) failed, skipped or not reached"
INCOMPLETE: dict[str, Any] = {
    "exit_code": 1,
    "assets": 3,
    "steps": (
        replace(FIRST, counts={"done": 2, "failed": 1}),
        StepSummary(
            builder="emas.multi_tf",
            title="multi_tf EMAs",
            rows=0,
            seconds=1.0,
            counts={"done": 1, "not reached": 1, "skipped": 1},
            idle_because="",
        ),
    ),
    "unfinished": (
        unfinished("bars.1d", 825, Status.FAILED, "out of range", datetime(2026, 2, 27, tzinfo=UTC)),
        unfinished("emas.multi_tf", 52, Status.NOT_REACHED, "killed"),
        unfinished("emas.multi_tf", 825, Status.SKIPPED, "bars failed"),
    ),
    "recovered": (("bars.1d", 1),),
    "restated": (
        LedgerLine(id=1, first_day=DAY, last_day=DAY, rows=1, old_close=10.0, new_close=11.0, reason="1 row changed"),
    ),
    "notes": {"null_ohlc": 3, "repaired_high": 1200, "missing_days": 1},
    "remaining_seconds": 480.0,
    "next_command": RESUME,
}


def summary_lines(shown: Callable[[], list[str]], **changes: Any) -> list[str]:
    """The summary of a run that wrote 235,567 daily bars, with some changes."""
    show_summary(make_console(), replace(DONE, **changes))
    return shown()


def test_summary(shown: Callable[[], list[str]]) -> None:
    """Each builder has a row with assets, rows, seconds and result; the last line is the verdict."""
    assert summary_lines(shown) == [
        "builder        assets     rows  seconds  result",
        "1d bars             2  235,567     23.0  2 done",
        "multi_tf bars                            no timeframe selected",
        "total               2  235,567     24.5",
        "written: 235,567 bars, 0 EMAs",
        "Done: 235,567 rows written in 24.5s.",
    ]


def test_summary_of_a_failure(shown: Callable[[], list[str]]) -> None:
    """Details follow the table, and what to type next comes last."""
    lines = summary_lines(shown, **INCOMPLETE)
    assert [line.split() for line in lines[1:4]] == [
        ["1d", "bars", "3", "235,567", "23.0", "2", "done,", "1", "failed"],
        ["multi_tf", "EMAs", "3", "0", "1.0", "1", "done,", "1", "not", "reached,", "1", "skipped"],
        ["total", "3", "235,567", "24.5"],
    ]
    assert lines[4:] == [
        "written: 235,567 bars, 0 EMAs",
        "gaps: 1 day without a bar",
        "repaired source values: high 1,200",
        "refused source rows: null_ohlc 3",
        "failed: bars.1d, ID 825: out of range (since 2026-02-27)",
        "not reached: emas.multi_tf, ID 52: killed",
        "skipped: emas.multi_tf, ID 825: bars failed",
        "restated: ID 1, 2026-02-01, 1 row: 1 row changed",
        "recovered: bars.1d, ID 1",
        f"{NOT_COMPLETE}; 8 minutes of work left. Next: {RESUME}",
    ]


def test_nothing_to_do(shown: Callable[[], list[str]]) -> None:
    """A run with nothing to do is one line with the number of assets and tables."""
    assert summary_lines(shown, steps=(UNSELECTED,), bars=0) == ["Nothing to do: 2 assets up to date in 12 tables."]


def test_summary_of_a_stopped_run(shown: Callable[[], list[str]]) -> None:
    """A stopped run shows the table of its results and how to go on."""
    unreached = unfinished("bars.1d", 52, Status.NOT_REACHED, "the run was stopped by SIGTERM")
    lines = summary_lines(
        shown,
        exit_code=143,
        steps=(replace(FIRST, counts={"done": 1, "not reached": 1}),),
        unfinished=(unreached,),
        remaining_seconds=40.0,
        next_command=RESUME,
        stopped_by=int(signal.SIGTERM),
    )
    assert lines[1].endswith("1 done, 1 not reached")
    assert lines[-1] == f"Stopped by SIGTERM after 24 s: 235,567 rows written; 40 s of work left. Next: {RESUME}"


def test_long_lines_stay_lines(shown: Callable[[], list[str]]) -> None:
    """A long line in a pipe is never broken, so that it can be searched."""
    error = "word " * 100 + "end"
    left = unfinished("bars.1d", 1, Status.FAILED, error)
    lines = summary_lines(shown, unfinished=(left,), notices=(error,))
    assert f"failed: bars.1d, ID 1: {error}" in lines
    assert error in lines
