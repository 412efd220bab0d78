"""Runs the steps of a plan: in order, side by side where inputs allow, without the assets whose inputs failed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refresh.catalog import BuilderConfig
from refresh.options.request import Request
from refresh.run.launch import Crew, RunContext, skipped, unlaunched
from refresh.run.plan import Plan, Step, lost_inputs, without
from refresh.run.report import RunReport, StepReport
from refresh.run.watch import Watcher
from refresh.stop import Stop

LEAST_TIMEOUT = 1800.0
"""Seconds that every builder has, however little it is expected to do."""
PATIENCE = 10.0
"""How many times its expected time a builder may take."""

Stale = Callable[[BuilderConfig], Mapping[int, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many builders run side by side, and how many seconds each may take (``None``: from what is expected)."""

    jobs: int = 1
    timeout: float | None = None

    def seconds(self, step: Step) -> float:
        """The seconds that a step may take."""
        return max(LEAST_TIMEOUT, PATIENCE * step.estimated_seconds) if self.timeout is None else self.timeout


def run(
    plan: Plan,
    request: Request,
    context: RunContext,
    watcher: Watcher,
    *,
    limits: Limits | None = None,
    stop: Stop | None = None,
    stale: Stale = lambda _: {},
) -> RunReport:
    """Run every step that has something to do.

    ``stale`` is asked before each EMA step which assets' bars are, and why. Once ``stop`` says so nothing is begun.
    """
    began = time.monotonic()
    with Crew(context, watcher) as crew:
        reports = _Run(plan, request, watcher, limits or Limits(), stop or Stop(), stale).work(crew)
    ordered = tuple(reports[step.builder] for step in plan.steps)
    seconds = time.monotonic() - began
    return RunReport(
        steps=ordered,
        assets=plan.assets,
        seconds=seconds,
        notices=plan.notices,
        stopped_by=stop.signal if stop else None,
    )


class _Run:
    """A run going on: which steps wait, which are through."""

    def __init__(
        self, plan: Plan, request: Request, watcher: Watcher, limits: Limits, stop: Stop, stale: Stale
    ) -> None:
        self._request, self._watcher, self._limits = request, watcher, limits
        self._stop, self._stale = stop, stale
        self._steps = plan.steps
        self._waiting = list(plan.steps)
        self._reports: dict[BuilderConfig, StepReport] = {}

    def work(self, crew: Crew) -> dict[BuilderConfig, StepReport]:
        """Start what can be started and hear what runs, until every step has its report."""
        while self._waiting or crew.size:
            self._heed_signals(crew)
            while crew.size < self._limits.jobs and not self._stop.requested and (step := self._next()):
                self._begin(crew, step)
            for report in crew.wait():
                self._end(report)
        return self._reports

    def _heed_signals(self, crew: Crew) -> None:
        if self._stop.signal is None:
            return
        crew.stop(self._because)
        if self._stop.urgent:
            crew.kill()
        while self._waiting:
            step = self._waiting.pop(0)
            self._tell_skipped(step)
            self._end(unlaunched(step, self._because))

    @property
    def _because(self) -> str:
        return f"the run was stopped by {signal.Signals(self._stop.signal or signal.SIGTERM).name}"

    def _next(self) -> Step | None:
        """The first step in order whose inputs are through."""
        for step in self._waiting:
            needed = [one.builder for one in self._steps if step.builder.reads(one.builder)]
            if all(builder in self._reports for builder in needed):
                self._waiting.remove(step)
                return step
        return None

    def _begin(self, crew: Crew, planned: Step) -> None:
        unfinished = {one.builder: {outcome.id for outcome in one.unfinished} for one in self._reports.values()}
        step = without(planned, lost_inputs(planned.builder, unfinished), self._request)
        if step.tasks and "freshness" in step.builder.accepts:
            step = without(step, self._stale(step.builder), self._request)
        self._watcher.begin(step, self._steps.index(planned) + 1, len(self._steps))
        self._tell_skipped(step)
        if step.tasks and self._stop.requested:
            self._end(unlaunched(step, self._because))
        elif step.tasks:
            crew.start(step, seconds=self._limits.seconds(step))
        else:
            self._end(unlaunched(step, ""))

    def _tell_skipped(self, step: Step) -> None:
        for outcome in skipped(step):
            self._watcher.outcome(outcome)

    def _end(self, report: StepReport) -> None:
        self._reports[report.builder] = report
        self._watcher.end(report)
