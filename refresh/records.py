"""The records of a run: how an asset ended in a builder, how long a step took, which known prices changed.

A builder process sends outcomes to its parent as lines of JSON; the database keeps all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from datetime import date
from enum import Enum

REPAIRS = ("repaired_high", "repaired_low", "repaired_timehigh", "repaired_timelow")
MISSING_DAYS = "missing_days"
VIOLATIONS = "ema_violations"
"""What the notes of an outcome count, in addition to rejects by their reason."""


class Status(Enum):
    """How an asset ended in a builder, in the words of the report."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One asset in one builder: rows written, seconds, why it ran or did not, and the error it ended with.

    ``notes``: the number of repairs by kind and of rejects by reason. ``retries``: the number of times that its work
    was started again, after a lost connection or a conflict with another session.
    """

    builder: str
    id: int
    status: Status
    rows: int = 0
    seconds: float = 0.0
    reason: str = ""
    error: str | None = None
    notes: dict[str, int] = field(default_factory=dict)
    retries: int = 0

    def line(self) -> str:
        """The outcome as one line of JSON."""
        values = {name: getattr(self, name) for name in _NAMES}
        return json.dumps({**values, "status": self.status.value})

    @classmethod
    def parse(cls, line: str) -> Outcome:
        """The outcome that ``line`` wrote. Raises ``ValueError`` for anything else."""
        try:
            values = json.loads(line)
            values["status"] = Status(values["status"])
            return cls(**values)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not an outcome: {line!r}") from error


_NAMES = [column.name for column in fields(Outcome)]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerLine:
    """One line of the ledger: known prices of an asset changed, from ``first_day`` to ``last_day``.

    The closes are those of the first day; ``rows`` is the number of days changed, deleted or inserted.
    """

    id: int
    first_day: date
    last_day: date
    rows: int
    old_close: float | None
    new_close: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class PastStep:
    """An earlier step that ended: the rows that were expected, the rows that it wrote, and its seconds."""

    estimated_rows: int
    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """The refreshes of seven days, without single builders, and what became of assets, prices and validations.

    ``good``: refreshes that did all their work; ``seconds``: the median of those that ended, ``None`` without any;
    ``failed``: assets that failed at least once; ``findings``: values that validations found wrong.
    """

    refreshes: int
    good: int
    seconds: float | None
    rows: int
    failed: int
    revisions: int
    refused: int
    validations: int
    findings: int
