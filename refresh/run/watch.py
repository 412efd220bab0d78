"""Who is told while a run goes on: the console, the log, the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from refresh.records import Outcome
from refresh.run.plan import Step
from refresh.run.report import StepReport


class Watcher(Protocol):
    """Who is told while a run goes on."""

    def begin(self, step: Step, place: int, steps: int) -> None:
        """A step is about to start."""

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended in a builder."""

    def words(self, step: Step, line: str) -> None:
        """A builder said something."""

    def end(self, report: StepReport) -> None:
        """The step is through."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Several who are told the same, in this order."""

    each: tuple[Watcher, ...]

    def begin(self, step: Step, place: int, steps: int) -> None:
        """A step is about to start."""
        for one in self.each:
            one.begin(step, place, steps)

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended in a builder."""
        for one in self.each:
            one.outcome(outcome)

    def words(self, step: Step, line: str) -> None:
        """A builder said something."""
        for one in self.each:
            one.words(step, line)

    def end(self, report: StepReport) -> None:
        """The step is through."""
        for one in self.each:
            one.end(report)
