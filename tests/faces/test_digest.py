"""The digest of a run: what it reports, in which order, and what is news."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from refresh.faces.alerts import digest
from refresh.records import LedgerLine, Status
from refresh.run.summary import Severity, StepSummary, Summary, Unfinished
from refresh.validate.finding import Finding, Validity

NIGHT = datetime(2024, 1, 26, 2, tzinfo=UTC)
STEP = StepSummary(builder="bars.1d", title="1d bars", rows=7, seconds=1.0, counts={"done": 3}, idle_because="")
NOT_COMPLETE = "Not complete: 4 of 3 assets (ID 7, 8, 9, 52) failed, skipped or not reached; 1 s of work left."
DAY = date(2024, 1, 3)
RESTATED = LedgerLine(id=1, first_day=DAY, last_day=DAY, rows=1, old_close=1.0, new_close=2.0, reason="close changed")


def summary(*unfinished: Unfinished, **changes: Any) -> Summary:
    """A run of three assets in one builder."""
    return Summary(
        run_id="r",
        command="run_daily_refresh.py --all",
        started_at=NIGHT,
        seconds=2.0,
        exit_code=int(bool(unfinished)),
        assets=3,
        tables=1,
        steps=(STEP,),
        unfinished=unfinished,
        bars=7,
        next_command="again" if unfinished else None,
        **changes,
    )


def left(id: int, status: Status, builder: str, why: str, since: datetime | None = None) -> Unfinished:
    """An asset that is not done."""
    return Unfinished(builder=builder, id=id, status=status, why=why, since=since)


def failed(id: int, builder: str = "bars.1d", *, since: datetime | None = None) -> Unfinished:
    """An asset that failed."""
    return left(id, Status.FAILED, builder, "close < 0", since)


def is_new(*unfinished: Unfinished, **changes: Any) -> bool:
    """Whether the digest of a run is news."""
    sent = digest(summary(*unfinished, **changes))
    assert sent
    return sent.is_new


def test_nothing_to_report() -> None:
    """A run that did what was due and noticed nothing has no digest."""
    assert digest(summary()) is None


def test_digest() -> None:
    """A line per reason and not per builder, then what recovered, was restated, was refused and was noticed."""
    sent = digest(
        summary(
            failed(52),
            failed(52, "bars.multi_tf"),
            failed(7, "bars.multi_tf"),
            failed(8, since=NIGHT),
            left(52, Status.SKIPPED, "emas.v2", "bars failed"),
            left(9, Status.NOT_REACHED, "emas.v2", "stopped"),
            recovered=(("bars.1d", 1), ("bars.1d", 52)),
            restated=(RESTATED,),
            notices=("asset 3 is silent",),
            notes={"bad_close": 1234},
        )
    )
    assert sent
    assert (sent.severity, sent.headline, sent.is_new) == (Severity.ERROR, f"{NOT_COMPLETE} Next: again", True)
    assert sent.lines == (
        "failed: ID 7, 52: close < 0",
        "failed: ID 8: close < 0 (since 2024-01-26)",
        "not reached: ID 9: stopped",
        "skipped: ID 52: bars failed",
        "recovered: ID 1",
        "restated: ID 1, 2024-01-03, 1 row: close changed",
        "refused source rows: bad_close 1,234",
        "asset 3 is silent",
    )


def test_findings_come_first() -> None:
    """A digest starts with at most five wrong values, and they are always news."""
    finding = Finding(table="cmc_price_bars_1d", id=1, expected="1 row", found="0")
    wrong = Validity(judged=3, recomputed=(), pending=(), findings=(finding,) * 7, seconds=1.0)
    sent = digest(summary(failed(8, since=NIGHT), validity=wrong))
    assert sent
    assert sent.lines[:6] == (*(f"wrong: {finding.words}",) * 5, "wrong: 2 more findings")
    assert sent.is_new


def test_news() -> None:
    """Failures and notices of earlier runs are no news; anything else is."""
    old = failed(8, since=NIGHT)
    assert not is_new(old)
    assert is_new(old, failed(9))
    assert is_new(old, restated=(RESTATED,))
    assert is_new(old, notices=("asset 3 is silent",))
    assert not is_new(old, notices=("asset 3 is silent",), known_notices=("asset 3 is silent",))
