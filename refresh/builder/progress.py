"""What has been done for each asset of a builder, over all legs and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from refresh.builder.done import Done
from refresh.due.decision import Due
from refresh.records import Outcome, Status


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

    def after(self, due: Due, done: Done, *, seconds: float) -> Progress:
        """The progress once a piece of work is done, or has failed."""
        reason = done.reasons.get(due.id, due.reason)
        errors = filter(None, [done.errors.get(due.id)])
        return replace(
            self,
            open=self.open - 1,
            reasons=(*self.reasons, reason),
            rows=self.rows + done.written.get(due.id, 0),
            seconds=self.seconds + seconds,
            notes=Counter(self.notes) + Counter(done.notes.get(due.id)),
            errors=(*self.errors, *errors),
        )

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
            reason=", ".join(dict.fromkeys(self.reasons)),
            error="; ".join(self.errors) or None,
            notes=dict(self.notes),
            retries=self.retries,
        )


def outcomes(builder: str, progress: Mapping[int, Progress]) -> list[Outcome]:
    """The outcomes of some assets in a builder."""
    return [state.outcome(builder, id) for id, state in progress.items()]


def waiting(dues: Iterable[Due]) -> dict[int, Progress]:
    """The progress before any work is begun: no asset is reached."""
    return {due.id: Progress(open=1, reasons=(due.reason,)) for due in dues}
