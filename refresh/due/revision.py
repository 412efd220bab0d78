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
"""The least number of days of a history that, rewritten as a whole, looks like a mistake of the source."""
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
    number by which the whole history was multiplied, if there is one. ``is_replaced``: nearly every known day is gone
    or has quite another close.
    """

    first: date
    last: date
    old_close: float | None
    new_close: float | None
    change: ChangedValue | None = None
    is_last_day_only: bool = False
    factor: float | None = None
    is_replaced: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """How the daily bars of an asset differ from what they were: the number of days by kind of change.

    ``restamped``: the same day at another time. ``unknown``: days of months that changed in the source while their
    stored bars were missing. ``is_removed``: the asset is gone from the source.
    ``calendar``: how its calendar changed, in words. ``obstacle``: why nothing of it can be taken in, whatever it is.
    """

    id: int
    appended: int = 0
    added_before: int = 0
    added_inside: int = 0
    deleted: int = 0
    changed: int = 0
    restamped: int = 0
    unknown: int = 0
    is_removed: bool = False
    restatement: Restatement | None = None
    calendar: str = ""
    obstacle: str = ""

    @property
    def rewrites_history(self) -> bool:
        """Whether known days other than the last one changed or were deleted."""
        if self.restatement is None or self.restatement.is_last_day_only:
            return False
        return self.changed + self.restamped + self.deleted + self.unknown > 0

    @property
    def rows(self) -> int:
        """The number of days changed, deleted, or added except after the last one."""
        added = self.added_before + self.added_inside
        return added + self.deleted + self.changed + self.restamped + self.unknown

    @property
    def words(self) -> str:
        """What happened, e.g. ``close of 2019-05-01 changed from 5350.7 to 5402.7, 2 days deleted``."""
        parts = []
        changed = self.changed
        if self.is_removed:
            parts.append("gone from the source")
        if self.restatement and self.restatement.change:
            parts.append(str(self.restatement.change))
            changed -= 1
        if changed > 0:
            noun = "more day" if parts else "day"
            parts.append(f"{counted(changed, noun)} changed")
        kinds = {
            "re-stamped": self.restamped,
            "changed while their bars were missing": self.unknown,
            "added before the first one": self.added_before,
            "added in between": self.added_inside,
            "deleted": self.deleted,
            "appended": self.appended,
        }
        for what, number in kinds.items():
            if number:
                parts.append(f"{counted(number, 'day')} {what}")
        if self.calendar:
            parts.append(self.calendar)
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


def history_refusals(revisions: Iterable[Revision]) -> dict[int, str]:
    """The assets whose history as a whole is multiplied or replaced, and why that is refused.

    It looks like a mistake of the source, and only a user can accept it.
    """
    reasons = {}
    for revision in revisions:
        restatement = revision.restatement
        if restatement is None or not revision.rewrites_history or revision.is_removed:
            continue
        if restatement.factor:
            reasons[revision.id] = f"its whole history is multiplied by {restatement.factor:.6g} ({revision.words})"
        elif restatement.is_replaced:
            reasons[revision.id] = f"its whole history is replaced ({revision.words})"
    return _refused(reasons)


def mass_refusals(revisions: Iterable[Revision], number: int, assets: int, limit: float) -> dict[int, str]:
    """The assets that rewrite history, if too many do so at once, and why that is refused.

    ``number``: all that rewrite history at once, of ``assets``. Too many are at least ``FUSE_ASSETS`` and more than
    ``limit`` percent.
    """
    share = 100 * number / max(assets, 1)
    if number < FUSE_ASSETS or share <= limit:
        return {}
    many = f"{number:,} of {assets:,} assets are restated at once (--restate-limit {limit:g} %)"
    rewriting = [revision for revision in revisions if revision.rewrites_history]
    return _refused({revision.id: f"{many}, this one: {revision.words}" for revision in rewriting})


def removal_refusals(revisions: Iterable[Revision]) -> dict[int, str]:
    """The assets that are gone from a source without any row, and why they are not removed."""
    gone = [revision.id for revision in revisions if revision.is_removed]
    return _refused(dict.fromkeys(gone, "the source has no rows at all, of any asset"))


def _refused(reasons: Mapping[int, str]) -> dict[int, str]:
    return {id: f"restatement refused: {reason}; {_WAY_OUT}" for id, reason in reasons.items()}
