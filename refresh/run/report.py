"""The result of a run, as frozen values, and the exit code that follows from the outcomes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from refresh.catalog import BuilderConfig, Group
from refresh.errors import ExitCode
from refresh.records import Outcome, Status

_SIGNALLED = 128
"""A shell adds the number of the signal that ended a process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """The outcomes of one builder and how long its process took.

    ``launched`` is false where nothing was due, and ``idle_because`` says why.
    """

    builder: BuilderConfig
    outcomes: tuple[Outcome, ...]
    seconds: float
    launched: bool
    idle_because: str = ""

    @property
    def rows(self) -> int:
        """Rows written."""
        return sum(outcome.rows for outcome in self.outcomes)

    @property
    def notes(self) -> Counter[str]:
        """Repairs by kind and rejects by reason."""
        return sum((Counter(outcome.notes) for outcome in self.outcomes), Counter())

    def of(self, *statuses: Status) -> tuple[Outcome, ...]:
        """The outcomes that ended in one of these ways."""
        return tuple(outcome for outcome in self.outcomes if outcome.status in statuses)

    @property
    def unfinished(self) -> tuple[Outcome, ...]:
        """Every outcome that is not done."""
        return self.of(Status.FAILED, Status.SKIPPED, Status.NOT_REACHED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """All steps of a run, how many assets it was about, how long it took, and the signal that stopped it."""

    steps: tuple[StepReport, ...]
    assets: int
    seconds: float
    notices: tuple[str, ...] = ()
    stopped_by: int | None = None

    @property
    def rows(self) -> int:
        """Rows written by all builders."""
        return sum(step.rows for step in self.steps)

    def rows_of(self, group: Group) -> int:
        """Rows written by the builders of a group."""
        return sum(step.rows for step in self.steps if step.builder.group is group)

    @property
    def notes(self) -> Counter[str]:
        """Repairs by kind and rejects by reason."""
        return sum((step.notes for step in self.steps), Counter())

    @property
    def exit_code(self) -> int:
        """0 where everything that was due is done; what a signal stopped ends with 128 and its number."""
        if self.stopped_by is not None:
            return _SIGNALLED + self.stopped_by
        return ExitCode.FAILED if any(step.unfinished for step in self.steps) else ExitCode.DONE
