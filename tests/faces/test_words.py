"""The sentences of a run, singular and plural."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from refresh.records_story import Restated
from refresh.validate.finding import Finding, Validity
from refresh.faces import words
from refresh.records import Outcome, Status
from refresh.run.summary import StepSummary, Summary, Unfinished

STEP = StepSummary("bars.1d", "1d bars", 245, 3.2, {"done": 3}, "")
DONE = Summary("r1", "run", datetime(2026, 3, 2, 4, tzinfo=UTC), 4.5, 0, 3, 12, (STEP,), bars=245)
IDLE = replace(DONE, steps=(replace(STEP, rows=0, counts={}, idle_because="up to date"),), bars=0)
RESUME = "python run_daily_refresh.py --all --resume"
FINDING = Finding("cmc_ema_multi_tf", 52, "7D", 10, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), "10.5", "10.25")
EARLIER = datetime(2026, 2, 27, 4, tzinfo=UTC)


def failed(id: int, *, builder: str = "bars.1d", why: str = "out of range", **more: Any) -> Unfinished:
    """An asset that failed."""
    return Unfinished(builder, id, Status.FAILED, why, **more)


def details(**changes: Any) -> list[str]:
    """The details of a run that wrote 245 bars, but for some changes."""
    first, *others = words.details(replace(DONE, **changes))
    assert first == "written: 245 bars, 0 EMAs"
    return others


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([825, 1], "825, 1"),
        (range(1, 13), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"),
        (range(1, 14), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 1 more"),
        (range(1, 5013), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 5,000 more"),
    ],
)
def test_ids(numbers: list[int], text: str) -> None:
    """Twelve ids are named and the rest is counted."""
    assert words.ids(numbers) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (3518, "3,518 rows")])
def test_counted(number: int, text: str) -> None:
    """One is one, everything else is many."""
    assert words.counted(number, "row") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (0.6, "1 s"),
        (40, "40 s"),
        (89, "89 s"),
        (90, "2 minutes"),
        (480, "8 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
        (26 * 3600, "26 hours"),
    ],
)
def test_spoken(seconds: float, text: str) -> None:
    """A length of time has the unit in which one would say it."""
    assert words.spoken(seconds) == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (0, "about 0 rows in 8 minutes"),
        (99, "about 99 rows in 8 minutes"),
        (123, "about 120 rows in 8 minutes"),
        (1_567_890, "about 1,600,000 rows in 8 minutes"),
    ],
)
def test_expected(rows: int, text: str) -> None:
    """An estimate has two digits."""
    assert words.expected(rows, 480) == text


def test_one_row_expected() -> None:
    """One row is a row."""
    assert words.expected(1, 1) == "about 1 row in 1 s"


def test_done() -> None:
    """An asset that is done says what it wrote, how long it took, and in which builder."""
    bars = Outcome("bars.1d", 1, Status.DONE, 245, 3.21)
    emas = Outcome("emas.cal", 52, Status.DONE, 12_345, 0.04)
    assert words.done(bars) == "Processing ID 1... 245 bars written (3.2s) [bars.1d]"
    assert words.done(emas) == "Processing ID 52... 12,345 EMAs written (0.0s) [emas.cal]"


def test_one_bar_done() -> None:
    """One bar is a bar."""
    bar = Outcome("bars.1d", 1, Status.DONE, 1, 3.21)
    assert words.done(bar) == "Processing ID 1... 1 bar written (3.2s) [bars.1d]"


def test_skipped() -> None:
    """An asset that is left out says of what, and why."""
    emas = Outcome("emas.cal", 825, Status.SKIPPED, reason="bars failed")
    bars = Outcome("bars.multi_tf", 825, Status.SKIPPED, reason="1d bars failed")
    assert words.skipped(emas) == "Skipping ID 825 EMAs (bars failed) [emas.cal]"
    assert words.skipped(bars) == "Skipping ID 825 multi_tf bars (1d bars failed)"


def test_failed() -> None:
    """An asset that failed says where, and the error."""
    one = Outcome("bars.1d", 825, Status.FAILED, error="out of range")
    assert words.failed(one) == "ID 825 bars.1d: failed: out of range"


def test_result() -> None:
    """A step says how its assets ended, or why there were none."""
    counts = {"done": 3516, "failed": 1, "not reached": 2}
    assert words.result(replace(STEP, counts=counts)) == "3,516 done, 1 failed, 2 not reached"
    assert words.result(replace(STEP, counts={}, idle_because="no timeframe selected")) == "no timeframe selected"


@pytest.mark.parametrize(
    ("bars", "emas", "line"),
    [
        (1, 0, "written: 1 bar, 0 EMAs"),
        (0, 1, "written: 0 bars, 1 EMA"),
        (3518, 12_345, "written: 3,518 bars, 12,345 EMAs"),
    ],
)
def test_written(bars: int, emas: int, line: str) -> None:
    """Bars and EMAs are counted apart."""
    assert words.details(replace(DONE, bars=bars, emas=emas)) == [line]


def test_nothing_to_detail() -> None:
    """A run with nothing to do wrote nothing and does not say so."""
    assert words.details(IDLE) == []
    assert words.details(replace(IDLE, notices=("gone from the source: id 7",))) == ["gone from the source: id 7"]


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ({"missing_days": 1}, "gaps: 1 day without a bar"),
        ({"missing_days": 1234}, "gaps: 1,234 days without a bar"),
        ({"repaired_high": 1}, "repaired in the source: high 1"),
        ({"repaired_timelow": 2, "repaired_high": 1200}, "repaired in the source: high 1,200, timelow 2"),
        ({"null_ohlc": 3}, "refused from the source: null_ohlc 3"),
        ({"null_ohlc": 3, "future": 1000}, "refused from the source: future 1,000, null_ohlc 3"),
        ({"ema_violations": 1}, "EMA violations: 1 asset"),
        ({"ema_violations": 2}, "EMA violations: 2 assets"),
    ],
)
def test_found(notes: dict[str, int], line: str) -> None:
    """Each kind of finding has a line of its own."""
    assert details(notes=notes) == [line]


def test_findings_side_by_side() -> None:
    """Gaps, repairs, refused rows and violations stand in this order."""
    notes = {"ema_violations": 1, "null_ohlc": 1, "repaired_low": 1, "missing_days": 2}
    assert details(notes=notes) == [
        "gaps: 2 days without a bar",
        "repaired in the source: low 1",
        "refused from the source: null_ohlc 1",
        "EMA violations: 1 asset",
    ]


def test_not_done() -> None:
    """Assets stand together by builder and reason, failures first."""
    unfinished = (
        Unfinished("emas.cal", 825, Status.SKIPPED, "bars failed"),
        failed(52),
        Unfinished("emas.v2", 1, Status.NOT_REACHED, "killed"),
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
    """What failed in earlier runs already says since when, apart from what failed now."""
    assert details(unfinished=(failed(52), failed(825, since=EARLIER))) == [
        "failed: bars.1d, ID 52: out of range",
        "failed: bars.1d, ID 825: out of range (still, since 2026-02-27)",
    ]


def test_many_not_done() -> None:
    """However many assets failed for one reason, they are one line."""
    unfinished = tuple(failed(id) for id in range(1, 101))
    assert details(unfinished=unfinished) == [
        "failed: bars.1d, ID 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 88 more: out of range"
    ]


def test_restated() -> None:
    """A line of the ledger names its asset, its days, how many rows and why."""
    one = Restated(52, date(2026, 2, 1), date(2026, 2, 1), 1, 10.0, 11.0, "changed")
    more = Restated(52, date(2026, 2, 1), date(2027, 2, 3), 1368, None, None, "added")
    assert words.restatement(one) == "ID 52, 2026-02-01, 1 row: changed"
    assert words.restatement(more) == "ID 52, 2026-02-01 to 2027-02-03, 1,368 rows: added"
    assert details(restated=(one,)) == ["restated: ID 52, 2026-02-01, 1 row: changed"]


def test_recovered() -> None:
    """Who recovered stands together by builder."""
    recovered = (("bars.1d", 1), ("emas.cal", 1), ("bars.1d", 52))
    assert details(recovered=recovered) == ["recovered: bars.1d, ID 1, 52", "recovered: emas.cal, ID 1"]


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
    """A run that ended well says what it wrote, or how much it looked at."""
    assert words.verdict(summary) == line


def test_not_complete() -> None:
    """An asset counts once, in however many builders it is not done, and the next command follows."""
    unfinished = (failed(825), failed(825, builder="emas.cal"), failed(52))
    summary = replace(DONE, unfinished=unfinished, remaining_seconds=480, next_command=RESUME)
    assert words.verdict(summary) == (
        "Not complete: 2 of 3 assets (ID 52, 825) failed, skipped or not reached; 8 minutes of work left. "
        f"Next: {RESUME}"
    )


def test_one_asset_not_complete() -> None:
    """One asset is an asset."""
    summary = replace(DONE, assets=1, unfinished=(failed(825),), remaining_seconds=0.2, next_command=RESUME)
    assert words.verdict(summary) == (
        f"Not complete: 1 of 1 asset (ID 825) failed, skipped or not reached; 1 s of work left. Next: {RESUME}"
    )


def test_stopped() -> None:
    """A run that was stopped says by what, after how long, and what it wrote until then."""
    stopped = replace(DONE, seconds=95.0, stopped_by=int(signal.SIGINT))
    assert words.verdict(stopped) == "Stopped by SIGINT after 2 minutes: 245 rows written."
    left = replace(stopped, bars=1, unfinished=(failed(1),), remaining_seconds=7200.0, next_command=RESUME)
    assert words.verdict(left) == (
        f"Stopped by SIGINT after 2 minutes: 1 row written; 2.0 hours of work left. Next: {RESUME}"
    )


def test_validated() -> None:
    """A validation that found nothing says how much it looked at."""
    assert details(validity=Validity(3, (), (), (), 1.46)) == [
        "validated: 3 of 3 assets in 12 tables, 0 computed anew, in 1.5s"
    ]
    assert details(validity=Validity(2, (1, 52), (825,), (), 1.46)) == [
        "not judged, as they are not up to date: ID 825",
        "validated: 2 of 3 assets in 12 tables, 2 computed anew (ID 1, 52), in 1.5s",
    ]


def test_valid() -> None:
    """A validation by itself ends with its own verdict, a refresh that was validated with that of the refresh."""
    valid = Validity(1, (), (), (), 1.0)
    alone = replace(IDLE, steps=(), assets=1, tables=1, validity=valid)
    assert words.verdict(alone) == "Valid: 1 asset in 1 table."
    assert words.verdict(replace(DONE, validity=valid)) == "Done: 245 rows written in 4.5s."


def test_findings() -> None:
    """A finding says where it begins, what should stand there and what does."""
    whole = replace(FINDING, tf=None, period=None, at=None, expected="10 rows", found="9")
    assert words.findings(Validity(3, (), (), (FINDING, whole), 1.0), 2) == [
        "wrong: cmc_ema_multi_tf: id 52, tf 7D, period 10, from 2026-02-28 23:59:59Z on: expected 10.5, found 10.25",
        "wrong: cmc_ema_multi_tf: id 52: expected 10 rows, found 9",
    ]


@pytest.mark.parametrize(
    ("number", "last"),
    [(21, "wrong: 1 finding more"), (22, "wrong: 2 findings more"), (5020, "wrong: 5,000 findings more")],
)
def test_many_findings(number: int, last: str) -> None:
    """Of many findings the first are told and the rest is counted."""
    lines = details(validity=Validity(3, (), (), (FINDING,) * number, 1.0))
    assert lines[:-1] == [f"wrong: {FINDING.words}"] * 20 + [last]


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ((FINDING,), "Validation failed: 1 finding in 1 table, ID 52. "),
        (
            (FINDING, replace(FINDING, id=1), replace(FINDING, table="cmc_price_bars_1d")),
            "Validation failed: 3 findings in 2 tables, ID 1, 52. ",
        ),
    ],
)
def test_validation_failed(findings: tuple[Finding, ...], line: str) -> None:
    """Wrong values decide the verdict, whatever else there was."""
    summary = replace(DONE, unfinished=(failed(825),), validity=Validity(3, (), (), findings, 1.0))
    assert words.verdict(summary) == f"{line}Rebuild what is wrong with --full-rebuild --ids."
