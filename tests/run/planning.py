"""Plans of surveys that are made by hand, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from refresh.catalog import BUILDERS, BuilderConfig, Group, builders, by_key
from refresh.due.decision import Action, Cause, Due, Survey
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import Request
from refresh.records import PastStep
from refresh.run.plan import Plan, Step, Task, make_plan

DAY = datetime(2024, 1, 9, tzinfo=UTC)
DAILY, BARS, CAL_US, CAL_ISO = (by_key(f"bars.{name}") for name in ("1d", "multi_tf", "cal_us", "cal_iso"))
EMAS, CAL, CAL_ANCHOR, V2 = (by_key(f"emas.{name}") for name in ("multi_tf", "cal", "cal_anchor", "v2"))
EMA_BUILDERS = builders(Group.EMAS)
ASSETS = (1, 52, 825)
PENDING = "bars pending: run the bar builders first"


def append(asset: int, days: int = 1, *, series: int = 0) -> Due:
    """New days of an asset, for this many series; a daily leg has none."""
    return Due(id=asset, action=Action.APPEND, since=DAY, days=days, series=tuple(range(series)))


def new(asset: int) -> Due:
    """An asset that was never built."""
    return Due(id=asset, action=Action.REBUILD, days=9, cause=Cause.NEW)


def past(rows: int, seconds: float, *, written: int | None = None) -> PastStep:
    """An earlier step with as many rows as were estimated, unless another number was ``written``."""
    return PastStep(estimated_rows=rows, rows=rows if written is None else written, seconds=seconds)


def plan(
    dues: Mapping[BuilderConfig, Sequence[Due]],
    *,
    among: Sequence[BuilderConfig] = BUILDERS,
    request: Request | None = None,
    ids: tuple[int, ...] = ASSETS,
    pending: Mapping[BuilderConfig, tuple[int, ...]] | None = None,
    stale: Mapping[BuilderConfig, Mapping[int, str]] | None = None,
    series: Mapping[BuilderConfig, int] | None = None,
    unselected: Sequence[BuilderConfig] = (),
    earlier: Mapping[BuilderConfig, Sequence[PastStep]] | None = None,
    only: Mapping[BuilderConfig, set[int]] | None = None,
) -> Plan:
    """The plan of a survey with this result."""
    survey = Survey(
        ids=ids,
        dues={builder.key: tuple(due) for builder, due in dues.items()},
        pending={builder.key: waiting for builder, waiting in (pending or {}).items()},
        stale={builder.key: reasons for builder, reasons in (stale or {}).items()},
        series={builder.key: number for builder, number in (series or {}).items()},
        unselected=frozenset(builder.key for builder in unselected),
    )
    remaining = None
    if only is not None:
        remaining = {builder.key: frozenset(left) for builder, left in only.items()}
    steps = {builder.key: steps for builder, steps in (earlier or {}).items()}
    return make_plan(among, request or Request(all=True), survey, past=steps, only=remaining)


def is_idle(planned: Plan) -> bool:
    """Whether no step of a plan has anything to do or to report."""
    return not any(step.tasks or step.skipped for step in planned.steps)


def step_of(planned: Plan, builder: BuilderConfig) -> Step:
    """The step of a builder."""
    (step,) = (step for step in planned.steps if step.builder == builder)
    return step


def reasons(tasks: Iterable[Task]) -> dict[int, str]:
    """The reason of each asset."""
    return {task.id: task.reason for task in tasks}


def request_of(step: Step) -> Request:
    """The request that the builder of a step will read from its arguments."""
    return parse(Program.BUILDER, step.arguments)
