"""What a validation found wrong, and which assets it recomputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a table: where it begins, what should stand there and what does."""

    table: str
    id: int
    tf: str | None
    period: int | None
    at: datetime | None
    expected: str
    found: str

    @property
    def place(self) -> str:
        """Where it is, in words."""
        parts = [f"id {self.id}"]
        parts += [f"tf {self.tf}"] if self.tf else []
        parts += [f"period {self.period}"] if self.period else []
        parts += [f"from {self.at:%Y-%m-%d %H:%M:%S}Z on"] if self.at else []
        return f"{self.table}: {', '.join(parts)}"

    @property
    def words(self) -> str:
        """The whole finding in a line."""
        return f"{self.place}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Validity:
    """What a validation came to: how many assets it judged, whom it recomputed, for whom something is due."""

    judged: int
    recomputed: tuple[int, ...]
    pending: tuple[int, ...]
    findings: tuple[Finding, ...]
    seconds: float


def sample(ids: Sequence[int], number: int, today: date) -> tuple[int, ...]:
    """So many of the assets, others each day, so that all come round."""
    if number >= len(ids):
        return tuple(ids)
    first = today.toordinal() * number % len(ids)
    return tuple(sorted((*ids, *ids)[first : first + number]))
