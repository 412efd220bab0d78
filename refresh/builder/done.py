"""What one committed batch did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """Per asset, the rows written and what is worth counting (repairs, rejects).

    ``reasons``: what the work turned out to be, where that is known only after writing. ``errors``: why an asset has
    failed, of which nothing was written.
    """

    written: Mapping[int, int] = field(default_factory=dict)
    notes: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    errors: Mapping[int, str] = field(default_factory=dict)


def together(parts: Iterable[Done]) -> Done:
    """What several parts of a batch did."""
    written: Counter[int] = Counter()
    notes: dict[int, Counter[str]] = {}
    reasons: dict[int, str] = {}
    errors: dict[int, str] = {}
    for part in parts:
        written.update(part.written)
        for id, numbers in part.notes.items():
            notes.setdefault(id, Counter()).update(numbers)
        reasons |= part.reasons
        errors |= part.errors
    return Done(written=written, notes=notes, reasons=reasons, errors=errors)
