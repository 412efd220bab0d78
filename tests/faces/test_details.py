"""The details of a run: what it wrote and noticed, and what it did not do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from faces.results import DONE, EARLIER, FINDING, IDLE, details, failed, validity

from refresh.faces import words
from refresh.records import LedgerLine, Status
from refresh.run.summary import Unfinished


@pytest.mark.parametrize(
    ("bars", "emas", "line"),
    [
        (1, 0, "written: 1 bar, 0 EMAs"),
        (0, 1, "written: 0 bars, 1 EMA"),
        (3518, 12_345, "written: 3,518 bars, 12,345 EMAs"),
    ],
)
def test_written(bars: int, emas: int, line: str) -> None:
    """Bars and EMAs are counted separately."""
    assert words.details(replace(DONE, bars=bars, emas=emas)) == [line]


def test_nothing_to_detail() -> None:
    """A run with nothing to do has no line about written rows."""
    assert words.details(IDLE) == []
    assert words.details(replace(IDLE, notices=("gone from the source: id 7",))) == ["gone from the source: id 7"]


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ({"missing_days": 1}, "gaps: 1 day without a bar"),
        ({"missing_days": 1234}, "gaps: 1,234 days without a bar"),
        ({"repaired_high": 1}, "repaired source values: high 1"),
        ({"repaired_timelow": 2, "repaired_high": 1200}, "repaired source values: high 1,200, timelow 2"),
        ({"null_ohlc": 3}, "refused source rows: null_ohlc 3"),
        ({"null_ohlc": 3, "future": 1000}, "refused source rows: future 1,000, null_ohlc 3"),
        ({"ema_violations": 1}, "EMA violations: 1 asset"),
        ({"ema_violations": 2}, "EMA violations: 2 assets"),
    ],
)
def test_notes(notes: dict[str, int], line: str) -> None:
    """Each kind of note has a line of its own."""
    assert details(notes=notes) == [line]


def test_order_of_notes() -> None:
    """Gaps, repairs, refused rows and violations are listed in this order."""
    notes = {"ema_violations": 1, "null_ohlc": 1, "repaired_low": 1, "missing_days": 2}
    assert details(notes=notes) == [
        "gaps: 2 days without a bar",
        "repaired source values: low 1",
        "refused source rows: null_ohlc 1",
        "EMA violations: 1 asset",
    ]


def test_not_done() -> None:
    """Assets are grouped by builder and reason, failures first."""
    unfinished = (
        Unfinished(builder="emas.cal", id=825, status=Status.SKIPPED, why="bars failed"),
        failed(52),
        Unfinished(builder="emas.v2", id=1, status=Status.NOT_REACHED, why="killed"),
        failed(7, why="overflow"),
        failed(825),
    )
    assert details(unfinished=unfinished) == [
        "failed: bars.1d, ID 52, 825: out of range",
        "failed: bars.1d, ID 7: overflow",
        "not reached: emas.v2, ID 1: killed",
        "skipped: emas.cal, ID 825: bars failed",
    ]


def test_still_not_done() -> None:
    """Assets that failed in earlier runs as well have a date and a line of their own."""
    assert details(unfinished=(failed(52), failed(825, since=EARLIER))) == [
        "failed: bars.1d, ID 52: out of range",
        "failed: bars.1d, ID 825: out of range (since 2026-02-27)",
    ]


def test_many_not_done() -> None:
    """All assets that failed for one reason share a line."""
    unfinished = tuple(failed(id) for id in range(1, 101))
    assert details(unfinished=unfinished) == [
        "failed: bars.1d, ID 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 88 more: out of range"
    ]


def test_restated() -> None:
    """The sentence about a line of the ledger has its asset, days, number of rows and reason."""
    day = date(2026, 2, 1)
    changed = LedgerLine(id=52, first_day=day, last_day=day, rows=1, old_close=10.0, new_close=11.0, reason="changed")
    added = replace(changed, last_day=date(2027, 2, 3), rows=1368, old_close=None, new_close=None, reason="added")
    assert words.restatement(changed) == "ID 52, 2026-02-01, 1 row: changed"
    assert words.restatement(added) == "ID 52, 2026-02-01 to 2027-02-03, 1,368 rows: added"
    assert details(restated=(changed,)) == ["restated: ID 52, 2026-02-01, 1 row: changed"]


def test_recovered() -> None:
    """Assets that recovered are grouped by builder."""
    recovered = (("bars.1d", 1), ("emas.cal", 1), ("bars.1d", 52))
    assert details(recovered=recovered) == ["recovered: bars.1d, ID 1, 52", "recovered: emas.cal, ID 1"]


def test_validated() -> None:
    """The last line of a validation has the number of assets, and those that were recomputed."""
    assert details(validity=validity(seconds=1.46)) == ["validated: 3 of 3 assets in 12 tables, 0 recomputed, in 1.5s"]
    assert details(validity=validity(judged=2, recomputed=(1, 52), pending=(825,), seconds=1.46)) == [
        "not validated because not up to date: ID 825",
        "validated: 2 of 3 assets in 12 tables, 2 recomputed (ID 1, 52), in 1.5s",
    ]


def test_findings() -> None:
    """A finding has its location, the expected value and the one in the table."""
    whole = replace(FINDING, tf=None, period=None, time=None, expected="10 rows", found="9")
    assert words.findings(validity(FINDING, whole), 2) == [
        "wrong: cmc_ema_multi_tf: id 52, tf 7D, period 10, from 2026-02-28 23:59:59Z on: expected 10.5, found 10.25",
        "wrong: cmc_ema_multi_tf: id 52: expected 10 rows, found 9",
    ]


@pytest.mark.parametrize(
    ("number", "last"),
    [(21, "wrong: 1 more finding"), (22, "wrong: 2 more findings"), (5020, "wrong: 5,000 more findings")],
)
def test_many_findings(number: int, last: str) -> None:
    """The first twenty findings are listed and the rest is counted."""
    lines = details(validity=validity(*(FINDING,) * number))
    assert lines[:-1] == [f"wrong: {FINDING.words}"] * 20 + [last]
