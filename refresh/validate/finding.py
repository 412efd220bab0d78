"""What a validation found wrong, and which assets it recomputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from refresh.errors import ExitCode


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something wrong in a table: where it begins, what should be there and what is.

    ``tf``, ``period``, ``time`` are ``None`` where they do not matter.
    """

    table: str
    id: int
    tf: str | None = None
    period: int | None = None
    time: datetime | None = None
    expected: str
    found: str

    @property
    def location(self) -> str:
        """Where it is, in words."""
        parts = [f"id {self.id}"]
        if self.tf:
            parts.append(f"tf {self.tf}")
        if self.period:
            parts.append(f"period {self.period}")
        if self.time:
            parts.append(f"from {self.time:%Y-%m-%d %H:%M:%S}Z on")
        return f"{self.table}: {', '.join(parts)}"

    @property
    def words(self) -> str:
        """The whole finding in a line."""
        return f"{self.location}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Validity:
    """The result of a validation: the number of assets judged, those recomputed, those that are not up to date."""

    judged: int
    recomputed: tuple[int, ...]
    pending: tuple[int, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def is_void(self) -> bool:
        """Whether no asset was judged and nothing wrong was found: that proves nothing."""
        return not self.judged and not self.findings

    def exit_code_after(self, run: int) -> int:
        """The exit code after a run with code ``run``: wrong values decide it, judging nothing is no success."""
        if self.findings:
            return ExitCode.INVALID
        return run or (ExitCode.FAILED if self.is_void else ExitCode.DONE)


def sample(ids: Sequence[int], number: int, today: date) -> tuple[int, ...]:
    """This many of the assets, others each day, so that all come round."""
    if number >= len(ids):
        return tuple(ids)
    first = today.toordinal() * number % len(ids)
    return tuple(sorted((*ids, *ids)[first : first + number]))
