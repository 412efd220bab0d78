"""What one committed batch did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """Rows written per asset, rows deleted, and per asset what is worth counting (repairs, rejects).

    ``reasons``: what the work turned out to be, where that is known only afterwards. ``refused``: the assets of which
    nothing was written, and why.
    """

    written: Mapping[int, int] = field(default_factory=dict)
    deleted: int = 0
    notes: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)


def together(parts: Iterable[Done]) -> Done:
    """What several parts of a batch did."""
    written: Counter[int] = Counter()
    notes: dict[int, Counter[str]] = {}
    reasons: dict[int, str] = {}
    refused: dict[int, str] = {}
    deleted = 0
    for part in parts:
        written.update(part.written)
        deleted += part.deleted
        for id, numbers in part.notes.items():
            notes.setdefault(id, Counter()).update(numbers)
        reasons |= part.reasons
        refused |= part.refused
    return Done(written=written, deleted=deleted, notes=notes, reasons=reasons, refused=refused)
