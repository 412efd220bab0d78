"""Runs the steps of a plan: in order, side by side where inputs allow, without the assets whose inputs failed.

Knows no database: ``stale`` answers for it. Knows no process: the crew starts them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from signal import Signals

from refresh.catalog import BuilderConfig
from refresh.errors import SHORTAGES, shortage
from refresh.options.request import Request
from refresh.run.context import RunContext
from refresh.run.launch import Crew, skipped, unlaunched
from refresh.run.plan import Plan, Step, first_ready, lost_inputs, without
from refresh.run.report import RunReport, StepReport
from refresh.run.unreached import unreached
from refresh.run.watch import Watcher
from refresh.stop import Stop

LEAST_TIMEOUT = 1800.0
"""The seconds that every builder may take, however small its estimate is."""
PATIENCE = 10.0
"""A builder may take this many times its estimated seconds."""

Stale = Callable[[BuilderConfig], Mapping[int, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The number of builders side by side, and the seconds that each may take (``None``: by its estimate)."""

    jobs: int = 1
    timeout: float | None = None

    def seconds(self, step: Step) -> float:
        """The seconds that a step may take."""
        if self.timeout is not None:
            return self.timeout
        return max(LEAST_TIMEOUT, PATIENCE * step.estimated_seconds)


def run(
    plan: Plan,
    request: Request,
    context: RunContext,
    watcher: Watcher,
    *,
    limits: Limits | None = None,
    stop: Stop | None = None,
    stale: Stale = lambda _: {},
    begin: Callable[[], object] = lambda: None,
) -> RunReport:
    """Run every step that has something to do. Once a stop is requested, no step is started.

    ``begin`` is called before the first step. ``stale`` is called before each EMA step. It returns the assets whose
    bars lag too far behind the source, and why.
    """
    started = time.monotonic()
    stop = stop or Stop()
    work = _Run(plan=plan, request=request, watcher=watcher, limits=limits or Limits(), stop=stop, stale=stale)
    with Crew(context, watcher) as crew:
        work.prepare(crew)
        begin()
        work.finish_all(crew)
    return RunReport(
        steps=tuple(work.reports[step.builder] for step in plan.steps),
        assets=plan.assets,
        seconds=time.monotonic() - started,
        notices=plan.notices,
        stopped_by=stop.signal,
    )


@dataclass(kw_only=True, slots=True)
class _Run:
    """A run while it goes on: the steps that wait, and the reports of those that ended."""

    plan: Plan
    request: Request
    watcher: Watcher
    limits: Limits
    stop: Stop
    stale: Stale
    waiting: list[Step] = field(default_factory=list)
    reports: dict[BuilderConfig, StepReport] = field(default_factory=dict)

    def prepare(self, crew: Crew) -> None:
        """Get ready to start builders, if there will be any."""
        if any(step.tasks for step in self.plan.steps) and not self.stop.requested:
            crew.prepare()

    def finish_all(self, crew: Crew) -> None:
        """Start what can be started and receive what runs, until every step has its report."""
        self.waiting += self.plan.steps
        while self.waiting or crew.size:
            self._pass_on_stop(crew)
            self._start_ready(crew)
            for report in crew.wait():
                self._finish(report)

    def _pass_on_stop(self, crew: Crew) -> None:
        if not self.stop.requested:
            return
        crew.stop(self._stop_reason)
        if self.stop.urgent:
            crew.kill()
        while self.waiting:
            step = self.waiting.pop(0)
            self._report_skipped(step)
            self._finish(unlaunched(step, self._stop_reason))

    @property
    def _stop_reason(self) -> str:
        if self.stop.signal is None:
            return ""
        return f"the run was stopped by {Signals(self.stop.signal).name}"

    def _start_ready(self, crew: Crew) -> None:
        while crew.size < self.limits.jobs and not self.stop.requested:
            step = first_ready(self.plan.steps, self.waiting, self.reports)
            if step is None:
                return
            self.waiting.remove(step)
            self._start(crew, step)

    def _start(self, crew: Crew, planned: Step) -> None:
        step = self._without_lost_inputs(planned)
        self.watcher.begin(step, self.plan.steps.index(planned) + 1, len(self.plan.steps))
        self._report_skipped(step)
        if step.tasks and not self.stop.requested:
            self._launch(crew, step)
        else:
            self._finish(unlaunched(step, self._stop_reason))

    def _launch(self, crew: Crew, step: Step) -> None:
        """Start the builder. What the system does not give is an error of each asset, and no end of the run."""
        try:
            crew.start(step, seconds=self.limits.seconds(step))
        except SHORTAGES as error:
            lost = tuple(unreached(step, step.tasks, f"the builder could not be started: {shortage(error)}"))
            for outcome in lost:
                self.watcher.outcome(outcome)
            outcomes = (*lost, *skipped(step))
            self._finish(StepReport(builder=step.builder, outcomes=outcomes, seconds=0.0, launched=True))

    def _without_lost_inputs(self, step: Step) -> Step:
        """The step without the assets whose inputs failed or are stale."""
        unfinished = {builder: report.unfinished_ids for builder, report in self.reports.items()}
        step = without(step, lost_inputs(step.builder, unfinished), self.request)
        if step.tasks and "freshness" in step.builder.accepts:
            step = without(step, self.stale(step.builder), self.request)
        return step

    def _report_skipped(self, step: Step) -> None:
        for outcome in skipped(step):
            self.watcher.outcome(outcome)

    def _finish(self, report: StepReport) -> None:
        self.reports[report.builder] = report
        self.watcher.end(report)
