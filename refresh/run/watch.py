"""Who follows a run while it goes on: the console, the log, the history. Knows none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from refresh.records import Outcome
from refresh.run.plan import Step
from refresh.run.report import StepReport


class Watcher(Protocol):
    """Is called for every event of a run."""

    def begin(self, step: Step, position: int, steps: int) -> None:
        """A step is about to start: the first of ``steps`` has position 1."""

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended in a builder."""

    def words(self, step: Step, line: str) -> None:
        """A builder wrote a line of output."""

    def end(self, report: StepReport) -> None:
        """A step ended."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Several watchers as one. All receive the same events, in this order."""

    members: tuple[Watcher, ...]

    def begin(self, step: Step, position: int, steps: int) -> None:
        """A step is about to start."""
        for watcher in self.members:
            watcher.begin(step, position, steps)

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended in a builder."""
        for watcher in self.members:
            watcher.outcome(outcome)

    def words(self, step: Step, line: str) -> None:
        """A builder wrote a line of output."""
        for watcher in self.members:
            watcher.words(step, line)

    def end(self, report: StepReport) -> None:
        """A step ended."""
        for watcher in self.members:
            watcher.end(report)
