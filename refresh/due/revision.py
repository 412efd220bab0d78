"""What a change of the source means for the daily bars of an asset, in numbers and in words, and when it is refused.

Imports no numeric library: ``comparison`` computes the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from refresh.records import LedgerLine
from refresh.wording import counted, listed

FUSE_ASSETS = 10
"""The least number of assets restated at once whose share of all assets matters."""
FUSE_DAYS = 10
"""The least number of days multiplied by one factor that looks like a vendor's mistake."""
_WAY_OUT = "none of it was written; accept it with --accept-restatement, or correct the source"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedValue:
    """The first changed day, the column that shows the change best, and its value before and after."""

    day: date
    column: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.column} of {self.day} changed from {self.before} to {self.after}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Restatement:
    """What was changed, deleted, or added except after the last day: its bounds, and the closes of its first day.

    ``is_last_day_only``: the only known day that changed is the last one, which is often provisional. ``factor``: the
    number by which the whole history was multiplied, if there is one.
    """

    first: date
    last: date
    old_close: float | None
    new_close: float | None
    change: ChangedValue | None
    is_last_day_only: bool
    factor: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """How the daily bars of an asset differ from what they were: the number of days by kind of change."""

    id: int
    appended: int = 0
    added_before: int = 0
    added_inside: int = 0
    deleted: int = 0
    changed: int = 0
    restatement: Restatement | None = None

    @property
    def rewrites_history(self) -> bool:
        """Whether known days other than the last one changed or were deleted."""
        if self.restatement is None or self.restatement.is_last_day_only:
            return False
        return self.changed + self.deleted > 0

    @property
    def rows(self) -> int:
        """The number of days changed, deleted, or added except after the last one."""
        return self.added_before + self.added_inside + self.deleted + self.changed

    @property
    def words(self) -> str:
        """What happened, e.g. ``close of 2019-05-01 changed from 5350.7 to 5402.7, 2 days deleted``."""
        parts = []
        if self.restatement and self.restatement.change:
            parts.append(str(self.restatement.change))
        if self.changed > 1:
            parts.append(f"{counted(self.changed - 1, 'more day')} changed")
        kinds = {
            "added before the first one": self.added_before,
            "added in between": self.added_inside,
            "deleted": self.deleted,
            "appended": self.appended,
        }
        for what, number in kinds.items():
            if number:
                parts.append(f"{counted(number, 'day')} {what}")
        return listed(parts) or "source rows changed, but no price"

    @property
    def ledger_line(self) -> LedgerLine | None:
        """The line for the ledger; ``None`` if nothing known was restated."""
        if self.restatement is None:
            return None
        return LedgerLine(
            id=self.id,
            first_day=self.restatement.first,
            last_day=self.restatement.last,
            rows=self.rows,
            old_close=self.restatement.old_close,
            new_close=self.restatement.new_close,
            reason=self.words,
        )


def refusals(revisions: Iterable[Revision], assets: int, limit: float) -> dict[int, str]:
    """The assets whose revision looks like a mistake of the source, and why; only a user can accept it.

    Either too many assets are restated at once, or the whole history of an asset is multiplied by one factor.
    """
    revisions = list(revisions)
    return scaling_refusals(revisions) | mass_refusals(revisions, assets, limit)


def scaling_refusals(revisions: Iterable[Revision]) -> dict[int, str]:
    """The assets whose whole history is multiplied by one factor, and why that is refused."""
    reasons = {}
    for revision in revisions:
        restatement = revision.restatement
        if restatement and restatement.factor and revision.rewrites_history:
            factor = f"{restatement.factor:.6g}"
            reasons[revision.id] = f"its whole history is multiplied by {factor} ({revision.words})"
    return _refused(reasons)


def mass_refusals(revisions: Iterable[Revision], assets: int, limit: float) -> dict[int, str]:
    """The assets restated at once, if they are at least ``FUSE_ASSETS`` and more than ``limit`` % of ``assets``."""
    rewritten = [revision for revision in revisions if revision.rewrites_history]
    share = 100 * len(rewritten) / max(assets, 1)
    if len(rewritten) < FUSE_ASSETS or share <= limit:
        return {}
    many = f"{len(rewritten):,} of {assets:,} assets are restated at once (--restate-limit {limit:g} %)"
    return _refused({revision.id: f"{many}, this one: {revision.words}" for revision in rewritten})


def _refused(reasons: Mapping[int, str]) -> dict[int, str]:
    return {id: f"restatement refused: {reason}; {_WAY_OUT}" for id, reason in reasons.items()}
