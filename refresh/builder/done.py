"""What one committed batch did."""

from __future__ import annotations

from collections.abc import Mapping
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
