"""Runs the steps of a plan in their order, leaving out only the assets whose inputs failed."""

from __future__ import annotations

import time
from typing import Protocol

from refresh.catalog import BuilderConfig
from refresh.options import Request
from refresh.outcome import Outcome
from refresh.run.launch import RunContext, launch
from refresh.run.plan import Plan, Step, without
from refresh.run.report import RunReport, StepReport


class Watcher(Protocol):
    """Who is told while a run goes on."""

    def begin(self, step: Step, place: int, steps: int) -> None:
        """A step is about to start."""

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended in the current step."""

    def end(self, report: StepReport) -> None:
        """The step is through."""


def run(plan: Plan, request: Request, context: RunContext, watcher: Watcher) -> RunReport:
    """Run every step that has something to do, one after another."""
    began = time.monotonic()
    failed: dict[BuilderConfig, set[int]] = {}
    reports = []
    for place, planned in enumerate(plan.steps, 1):
        step = without(planned, failed, request)
        watcher.begin(step, place, len(plan.steps))
        report = launch(step, context, watcher.outcome)
        watcher.end(report)
        failed[step.builder] = {outcome.id for outcome in report.unfinished}
        reports.append(report)
    return RunReport(tuple(reports), plan.assets, time.monotonic() - began, plan.notices)
