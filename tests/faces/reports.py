"""Plans, summaries and states of an asset, as the console shows them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from refresh.catalog import BuilderConfig, by_key
from refresh.due.standing import Failure, Standing, TableStanding
from refresh.options.arguments import builder_arguments
from refresh.options.request import Request
from refresh.records import Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.summary import StepSummary, Summary, Unfinished

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
PROGRAM = ["python", "-m", "refresh.builder"]
RESUME = "python run_daily_refresh.py --all --resume"
ODD = "it [red]failed[/red] [/] [link=x]at[/link] :x: :smile: fe80:a:b:100::1 100 % {0} \\[bold]"
"""Text that looks like markup and emoji names of terminals."""
FIRST = StepSummary(
    builder="bars.1d", title="1d bars", rows=235_567, seconds=23.04, counts={"done": 2}, idle_because=""
)
UNSELECTED = StepSummary(
    builder="bars.multi_tf",
    title="multi_tf bars",
    rows=0,
    seconds=0.0,
    counts={},
    idle_because="no timeframe selected",
)
DONE = Summary(
    run_id="r1",
    command="run",
    started_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
    seconds=24.5,
    exit_code=0,
    assets=2,
    tables=12,
    steps=(FIRST, UNSELECTED),
    bars=235_567,
)


def plain(text: str) -> str:
    """The text of a terminal without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n")


def step(builder: BuilderConfig, *tasks: Task, skipped: tuple[Task, ...] = (), seconds: float = 0.6) -> Step:
    """A step of a plan."""
    arguments = tuple(builder_arguments(builder, Request(), [task.id for task in tasks]))
    return Step(builder=builder, tasks=tasks, skipped=skipped, arguments=arguments, estimated_seconds=seconds)


def idle(builder: BuilderConfig, because: str = "up to date") -> Step:
    """A step with nothing to do."""
    return Step(builder=builder, tasks=(), skipped=(), arguments=(), idle_because=because)


def plan(*steps: Step, assets: int = 3, notices: tuple[str, ...] = ()) -> Plan:
    """A plan of some steps."""
    return Plan(steps=steps, assets=assets, notices=notices)


def task(id: int, reason: str, rows: int = 0) -> Task:
    """An asset of a step."""
    return Task(id=id, reason=reason, rows=rows)


def unfinished(builder: str, id: int, status: Status, why: str, since: datetime | None = None) -> Unfinished:
    """An asset that is not done."""
    return Unfinished(builder=builder, id=id, status=status, why=why, since=since)


def standing(*tables: TableStanding, failures: tuple[Failure, ...] = (), **changes: Any) -> Standing:
    """The state of asset 52."""
    state = Standing(
        id=52,
        rows=3518,
        first=datetime(2024, 1, 1, tzinfo=UTC),
        last=datetime(2026, 3, 1, 23, 59, 59, 999_000, tzinfo=UTC),
        rejected=0,
        tables=tables,
        failures=failures,
    )
    return replace(state, **changes)


def table(
    builder: BuilderConfig, day: int | None, *, dirty: int | None = None, missing: int | None = None
) -> TableStanding:
    """A table that ends on a day of February 2026."""
    return TableStanding(
        builder=builder.key,
        table=builder.legs[0].target,
        through=datetime(2026, 2, day, 23, 59, 59, 999_000, tzinfo=UTC) if day else None,
        dirty_from=datetime(2026, 2, dirty, tzinfo=UTC) if dirty else None,
        missing_days=missing,
    )


def failure(error: str) -> Failure:
    """The last failure of an asset."""
    failed_at = datetime(2026, 3, 2, 4, 5, tzinfo=UTC)
    return Failure(builder="bars.1d", failed_at=failed_at, run_id="r1", error=error)
