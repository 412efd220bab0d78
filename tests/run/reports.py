"""Reports of runs that are made by hand, and their summaries."""

from __future__ import annotations

from datetime import UTC, date, datetime

from run.planning import DAILY

from refresh.catalog import BuilderConfig
from refresh.records import LedgerLine, Outcome, Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import RunReport, StepReport
from refresh.run.summary import Facts, Summary, summarise
from refresh.validate.finding import Validity

STARTED = datetime(2026, 3, 2, 4, tzinfo=UTC)
RESUME = "python run_daily_refresh.py --all --resume"
RESTATED = LedgerLine(
    id=52,
    first_day=date(2026, 2, 1),
    last_day=date(2026, 2, 3),
    rows=3,
    old_close=10.0,
    new_close=11.0,
    reason="3 rows changed",
)


def done(builder: BuilderConfig, id: int, rows: int = 10, *, reason: str = "append 1 day", **notes: int) -> Outcome:
    """An asset that is done."""
    return Outcome(builder=builder.key, id=id, status=Status.DONE, rows=rows, seconds=1.0, reason=reason, notes=notes)


def failed(
    builder: BuilderConfig, id: int, error: str | None = "out of range", *, reason: str = "append 1 day"
) -> Outcome:
    """An asset that failed."""
    return Outcome(builder=builder.key, id=id, status=Status.FAILED, reason=reason, error=error)


def skipped(builder: BuilderConfig, id: int) -> Outcome:
    """An asset that was skipped."""
    return Outcome(builder=builder.key, id=id, status=Status.SKIPPED, reason="bars failed")


def unreached(builder: BuilderConfig, id: int) -> Outcome:
    """An asset that its builder did not come to."""
    error = "the builder was killed"
    return Outcome(builder=builder.key, id=id, status=Status.NOT_REACHED, reason="append 1 day", error=error)


def report(*steps: StepReport, notices: tuple[str, ...] = (), stopped_by: int | None = None) -> RunReport:
    """The report of a run with three assets."""
    return RunReport(steps=steps, assets=3, seconds=4.5, notices=notices, stopped_by=stopped_by)


def ran(builder: BuilderConfig, *outcomes: Outcome, seconds: float = 2.0) -> StepReport:
    """A step that was launched."""
    return StepReport(builder=builder, outcomes=outcomes, seconds=seconds, launched=True)


def not_launched(builder: BuilderConfig, *outcomes: Outcome, because: str = "up to date") -> StepReport:
    """A step that was not launched."""
    return StepReport(builder=builder, outcomes=outcomes, seconds=0.0, launched=False, idle_because=because)


def step(builder: BuilderConfig, *ids: int, seconds: float = 60.0) -> Step:
    """A step of a plan."""
    tasks = tuple(Task(id=id, reason="append 1 day") for id in ids)
    return Step(builder=builder, tasks=tasks, estimated_seconds=seconds)


def summed(result: RunReport, *steps: Step, facts: Facts | None = None, validity: Validity | None = None) -> Summary:
    """The summary of a report."""
    return summarise(
        Plan(steps=steps, assets=3),
        result,
        facts or Facts(),
        run_id="r1",
        command="run_daily_refresh.py --all",
        started_at=STARTED,
        resume=RESUME,
        validity=validity,
    )


DONE = report(ran(DAILY, done(DAILY, 1)))
FAILED = report(ran(DAILY, failed(DAILY, 1)))
