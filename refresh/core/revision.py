"""What a change of the source means for the daily bars of an asset, in numbers and in words; and when to stop.

Imports no numeric library: ``comparison`` finds the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

FUSE_ASSETS = 10
"""So many assets must be restated at once before their share counts."""
FUSE_DAYS = 10
"""So many days must be scaled by one factor before that looks like a vendor's mistake."""


@dataclass(frozen=True, slots=True)
class Change:
    """The first changed day, the column that tells the change best, and its value before and after."""

    day: date
    column: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.column} of {self.day} changed from {self.before} to {self.after}"


@dataclass(frozen=True, slots=True)
class Restatement:
    """What was changed, deleted, or added anywhere but behind the last day: its bounds, and closes of the first day.

    ``last_day_only``: nothing known was touched but the last day, which is often provisional. ``factor``: the one by
    which the whole history was multiplied, if there is one.
    """

    first: date
    last: date
    old_close: float | None
    new_close: float | None
    change: Change | None
    last_day_only: bool
    factor: float | None


@dataclass(frozen=True, slots=True)
class Revision:
    """How the daily bars of an asset differ from what they were: days by kind of change."""

    id: int
    appended: int = 0
    added_before: int = 0
    added_inside: int = 0
    deleted: int = 0
    changed: int = 0
    restatement: Restatement | None = None

    @property
    def rewrites_history(self) -> bool:
        """Whether days that were known changed or vanished, other than the last one."""
        touched = bool(self.changed + self.deleted)
        return touched and self.restatement is not None and not self.restatement.last_day_only

    @property
    def rows(self) -> int:
        """Days changed, deleted, or added anywhere but behind the last one."""
        return self.added_before + self.added_inside + self.deleted + self.changed

    @property
    def words(self) -> str:
        """What happened, e.g. ``close of 2019-05-01 changed from 5350.7 to 5402.7, 2 days deleted``."""
        change = self.restatement.change if self.restatement else None
        parts = [str(change)] if change else []
        if self.changed > 1:
            parts.append(f"{_days(self.changed - 1, 'more ')} changed")
        for number, what in (
            (self.added_before, "added before the first one"),
            (self.added_inside, "added in between"),
            (self.deleted, "deleted"),
            (self.appended, "appended"),
        ):
            if number:
                parts.append(f"{_days(number)} {what}")
        return ", ".join(parts) or "source rows changed, but no price"


def _days(number: int, more: str = "") -> str:
    return f"{number:,} {more}day{'s'[: number != 1]}"


def refusals(revisions: Iterable[Revision], assets: int, limit: float) -> Mapping[int, str]:
    """The assets whose revision looks like a mistake of the source, and why; to be accepted by the user or not at all.

    More than ``limit`` percent of ``assets``, and at least ``FUSE_ASSETS`` of them, whose history changes at once; or
    one asset whose whole history is multiplied by one factor.
    """
    rewritten = [revision for revision in revisions if revision.rewrites_history]
    share = 100 * len(rewritten) / max(assets, 1)
    refused = {
        one.id: f"its whole history is multiplied by {one.restatement.factor:.6g} ({one.words})"
        for one in rewritten
        if one.restatement and one.restatement.factor
    }
    if len(rewritten) >= FUSE_ASSETS and share > limit:
        many = f"{len(rewritten):,} of {assets:,} assets are restated at once (--restate-limit {limit:g} %)"
        refused |= {one.id: f"{many}, this one: {one.words}" for one in rewritten}
    way_out = "nothing of it was written; accept it with --accept-restatement, or mend the source"
    return {id: f"restatement refused: {why}; {way_out}" for id, why in refused.items()}
