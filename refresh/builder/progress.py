"""What has been done for each asset of a builder, over all legs and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from refresh.builder.done import Done
from refresh.records import Outcome, Status

UP_TO_DATE = "up to date"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What has been done for one asset. ``open``: the number of pieces of work that are still to come."""

    open: int
    reasons: tuple[str, ...] = ()
    rows: int = 0
    seconds: float = 0.0
    notes: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    retries: int = 0

    def split(self, pieces: int) -> Progress:
        """The progress once it is known how many pieces one piece of work consists of."""
        return self if pieces == 1 else replace(self, open=self.open - 1 + pieces)

    def worked(self, reason: str, *, seconds: float) -> Progress:
        """The progress once a piece of work was tried."""
        reasons = (*self.reasons, reason)
        return replace(self, open=self.open - 1, reasons=reasons, seconds=self.seconds + seconds)

    def after(self, id: int, done: Done) -> Progress:
        """The progress with what was done for the asset, or why that failed."""
        rows, notes, error = done.written.get(id), done.notes.get(id), done.errors.get(id)
        if not rows and not notes and not error:
            return self
        return replace(
            self,
            rows=self.rows + (rows or 0),
            notes=Counter(self.notes) + Counter(notes) if notes else self.notes,
            errors=(*self.errors, error) if error else self.errors,
        )

    def as_saved(self, outcome: Outcome) -> Progress:
        """The progress that was recorded with rows that are committed."""
        return replace(self, reasons=(outcome.reason,), rows=outcome.rows, seconds=outcome.seconds, notes=outcome.notes)

    @property
    def is_begun(self) -> bool:
        """Whether there was anything to do so far."""
        return bool(self.reasons or self.errors)

    @property
    def status(self) -> Status:
        """How far the asset is: not reached while anything is open that has not failed."""
        if self.errors:
            return Status.FAILED
        return Status.NOT_REACHED if self.open else Status.DONE

    def outcome(self, builder: str, id: int) -> Outcome:
        """The progress as an outcome, for the report."""
        return Outcome(
            builder=builder,
            id=id,
            status=self.status,
            rows=self.rows,
            seconds=round(self.seconds, 3),
            reason=", ".join(dict.fromkeys(filter(None, self.reasons))) or UP_TO_DATE,
            error="; ".join(self.errors) or None,
            notes=dict(self.notes),
            retries=self.retries,
        )


def outcomes(builder: str, progress: Mapping[int, Progress]) -> list[Outcome]:
    """The outcomes of some assets in a builder."""
    return [state.outcome(builder, id) for id, state in progress.items()]
