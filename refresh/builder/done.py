"""What one committed batch did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Done:
    """Rows written per asset, rows deleted, and per asset what is worth counting (repairs, rejects)."""

    written: dict[int, int]
    deleted: int
    notes: dict[int, dict[str, int]] = field(default_factory=dict)
