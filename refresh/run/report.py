"""The result of a run, as frozen values, and the exit code that follows from the outcomes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from signal import Signals

from refresh.catalog import BuilderConfig
from refresh.errors import ExitCode
from refresh.records import Outcome, Status
from refresh.stop import SIGNALS


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """The outcomes of one builder, and the seconds that its process took.

    ``launched`` is false if no process was started. ``idle_because``: why nothing was due.
    """

    builder: BuilderConfig
    outcomes: tuple[Outcome, ...]
    seconds: float
    launched: bool
    idle_because: str = ""

    @property
    def rows(self) -> int:
        """The number of rows written."""
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

    @property
    def unfinished_ids(self) -> set[int]:
        """The assets that are not done."""
        return {outcome.id for outcome in self.unfinished}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """All steps of a run, the number of its assets, its seconds, and the number of the signal that stopped it."""

    steps: tuple[StepReport, ...]
    assets: int
    seconds: float
    notices: tuple[str, ...] = ()
    stopped_by: int | None = None

    @property
    def rows_by_group(self) -> Counter[str]:
        """The number of rows written, by the key of the group of their builders."""
        rows: Counter[str] = Counter()
        for step in self.steps:
            rows[step.builder.group.key] += step.rows
        return rows

    @property
    def notes(self) -> Counter[str]:
        """Repairs by kind and rejects by reason."""
        return sum((step.notes for step in self.steps), Counter())

    @property
    def exit_code(self) -> ExitCode:
        """How the run ends: stopped by a signal, failed where an asset is not done, or else done."""
        if self.stopped_by is not None:
            return SIGNALS[Signals(self.stopped_by)]
        if any(step.unfinished for step in self.steps):
            return ExitCode.FAILED
        return ExitCode.DONE
