"""How far a run has come and how long the rest will take, counted from its events. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from refresh.catalog import BuilderConfig
from refresh.faces.words import spoken
from refresh.records import Outcome, Status
from refresh.run.eta import Running, seconds_left
from refresh.run.plan import Plan, Step
from refresh.run.report import StepReport

_LATEST = 3


@dataclass(kw_only=True, slots=True)
class RunningStep:
    """A step at work: when it began, how many of its assets ended, the rows that they wrote, the latest assets."""

    step: Step
    began: float
    ended: int = 0
    rows: int = 0
    latest: list[int] = field(default_factory=list)

    def count(self, outcome: Outcome) -> None:
        """Add an asset that ended."""
        self.ended += 1
        self.rows += outcome.rows
        self.latest = [*self.latest, outcome.id][-_LATEST:]

    def state(self, now: float) -> Running:
        """What an estimate needs."""
        share = self.ended / len(self.step.tasks)
        return Running(seconds=now - self.began, share=share)


class Tally:
    """Counts a run: its steps, those that have ended and those at work. ``jobs`` steps may run side by side."""

    def __init__(self, plan: Plan, jobs: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._jobs, self._clock = plan, jobs, clock
        self._running: dict[str, RunningStep] = {}
        self._ended: dict[BuilderConfig, float] = {}

    @property
    def steps(self) -> int:
        """The number of builders that have something to do."""
        return sum(bool(step.tasks) for step in self._plan.steps)

    @property
    def complete(self) -> int:
        """The number of those that have ended."""
        return sum(bool(step.tasks) for step in self._plan.steps if step.builder in self._ended)

    @property
    def seconds_left(self) -> float:
        """The seconds that the rest will take."""
        now = self._clock()
        running = {work.step.builder: work.state(now) for work in self._running.values()}
        return seconds_left(self._plan, running, self._ended, self._jobs)

    def begin(self, step: Step) -> None:
        """A step is about to start."""
        if step.tasks:
            self._running[step.builder.key] = RunningStep(step=step, began=self._clock())

    def outcome(self, outcome: Outcome) -> RunningStep | None:
        """Count an outcome. Returns the step at work that it belongs to."""
        work = self._running.get(outcome.builder)
        if work is None or outcome.status is Status.SKIPPED:
            return None
        work.count(outcome)
        return work

    def end(self, report: StepReport) -> None:
        """A step has ended."""
        self._running.pop(report.builder.key, None)
        self._ended[report.builder] = report.seconds

    def line(self) -> str:
        """The state of the run, e.g. ``3/6 builders complete, ~8 minutes remaining``."""
        line = f"{self.complete}/{self.steps} builders complete"
        if self.complete < self.steps:
            line += f", ~{spoken(self.seconds_left)} remaining"
        return line
