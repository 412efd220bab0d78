"""What one committed batch did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Done:
    """Rows written per asset, rows deleted, and per asset what is worth counting (repairs, rejects)."""

    written: dict[int, int] = field(default_factory=dict)
    deleted: int = 0
    notes: dict[int, dict[str, int]] = field(default_factory=dict)

    def __add__(self, other: Done) -> Done:
        """Both together."""
        ids = [*self.notes, *(id for id in other.notes if id not in self.notes)]
        return Done(
            dict(Counter(self.written) + Counter(other.written)),
            self.deleted + other.deleted,
            {id: dict(Counter(self.notes.get(id)) + Counter(other.notes.get(id))) for id in ids},
        )
