"""The result of a run of three assets, with changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from refresh.faces import words
from refresh.records import Status
from refresh.run.summary import StepSummary, Summary, Unfinished
from refresh.validate.finding import Finding, Validity

STEP = StepSummary(builder="bars.1d", title="1d bars", rows=245, seconds=3.2, counts={"done": 3}, idle_because="")
DONE = Summary(
    run_id="r1",
    command="run",
    started_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
    seconds=4.5,
    exit_code=0,
    assets=3,
    tables=12,
    steps=(STEP,),
    bars=245,
)
IDLE = replace(DONE, steps=(replace(STEP, rows=0, counts={}, idle_because="up to date"),), bars=0)
RESUME = "python run_daily_refresh.py --all --resume"
FINDING = Finding(
    table="cmc_ema_multi_tf",
    id=52,
    tf="7D",
    period=10,
    time=datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
    expected="10.5",
    found="10.25",
)
EARLIER = datetime(2026, 2, 27, 4, tzinfo=UTC)


def failed(id: int, *, builder: str = "bars.1d", why: str = "out of range", **more: Any) -> Unfinished:
    """An asset that failed."""
    return Unfinished(builder=builder, id=id, status=Status.FAILED, why=why, **more)


def validity(*findings: Finding, **changes: Any) -> Validity:
    """A validation of three assets, with some changes."""
    return replace(Validity(judged=3, recomputed=(), pending=(), findings=findings, seconds=1.0), **changes)


def details(**changes: Any) -> list[str]:
    """The details of a run that wrote 245 bars, with some changes."""
    first, *others = words.details(replace(DONE, **changes))
    assert first == "written: 245 bars, 0 EMAs"
    return others
