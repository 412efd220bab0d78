"""Steps and outcomes of runs that are shown while they go on."""

from __future__ import annotations

from refresh.catalog import BuilderConfig, by_key
from refresh.records import Outcome, Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.watch import Watcher

DAILY, BARS, CAL_US, EMAS, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.v2")
)
ODD = "it [red]failed[/red] [/] :x: {0}"
"""Text that looks like markup and emoji names of terminals."""


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The seconds that it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def step(builder: BuilderConfig, assets: int, *, seconds: float = 0.0, rows: int = 100) -> Step:
    """A step for the assets from 1 on."""
    tasks = tuple(Task(id=id, reason="append 1 day", rows=rows) for id in range(1, assets + 1))
    return Step(builder=builder, tasks=tasks, skipped=(), arguments=(), estimated_seconds=seconds)


def plan(*steps: Step) -> Plan:
    """A plan of some steps."""
    return Plan(steps=steps, assets=3)


def done(id: int, builder: BuilderConfig = DAILY, rows: int = 245, seconds: float = 3.21) -> Outcome:
    """An asset that ended well."""
    return Outcome(builder=builder.key, id=id, status=Status.DONE, rows=rows, seconds=seconds, reason="append 1 day")


def failed(id: int, builder: BuilderConfig = DAILY, error: str = "out of range") -> Outcome:
    """An asset that failed."""
    return Outcome(builder=builder.key, id=id, status=Status.FAILED, error=error)


def skipped(id: int, builder: BuilderConfig = EMAS, reason: str = "bars failed") -> Outcome:
    """An asset that was skipped."""
    return Outcome(builder=builder.key, id=id, status=Status.SKIPPED, reason=reason)


def unreached(id: int, builder: BuilderConfig = DAILY, error: str = "the builder was killed") -> Outcome:
    """An asset that its builder did not reach."""
    return Outcome(builder=builder.key, id=id, status=Status.NOT_REACHED, error=error)


def ended(builder: BuilderConfig, *outcomes: Outcome, seconds: float = 3.21) -> StepReport:
    """The report of a step that was launched."""
    return StepReport(builder=builder, outcomes=outcomes, seconds=seconds, launched=True)


def watch(shown: Watcher, planned: Step, *outcomes: Outcome, seconds: float = 3.21) -> None:
    """Show a step from its beginning to its end."""
    shown.begin(planned, 1, 10)
    for outcome in outcomes:
        shown.outcome(outcome)
    shown.end(ended(planned.builder, *outcomes, seconds=seconds))
