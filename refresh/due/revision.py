"""What a change of the source means for the daily bars of an asset, in numbers and in words; and when to stop.

Imports no numeric library: ``comparison`` finds the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from refresh.records import LedgerLine
from refresh.wording import counted

FUSE_ASSETS = 10
"""At least this many assets must be restated at once before their share counts."""
FUSE_DAYS = 10
"""At least this many days must be scaled by one factor before that looks like a vendor's mistake."""
_WAY_OUT = "nothing of it was written; accept it with --accept-restatement, or mend the source"


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
    """What was changed, deleted, or added anywhere but after the last day: its bounds, and closes of the first day.

    ``is_last_day_only``: no known day was touched but the last one, which is often provisional. ``factor``: the one by
    which the whole history was multiplied, if there is one.
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
        is_touched = bool(self.changed + self.deleted)
        return is_touched and self.restatement is not None and not self.restatement.is_last_day_only

    @property
    def rows(self) -> int:
        """Days changed, deleted, or added anywhere but after the last one."""
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
        parts += [f"{counted(number, 'day')} {what}" for what, number in kinds.items() if number]
        return ", ".join(parts) or "source rows changed, but no price"

    @property
    def ledger_line(self) -> LedgerLine | None:
        """The line for the ledger; ``None`` where nothing known was restated."""
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
    """The assets whose revision looks like a mistake of the source, and why; to be accepted by the user or not at all.

    Either too many assets are restated at once, or the whole history of one is multiplied by one factor.
    """
    revisions = list(revisions)
    return scaling_refusals(revisions) | mass_refusals(revisions, assets, limit)


def scaling_refusals(revisions: Iterable[Revision]) -> dict[int, str]:
    """The assets whose whole history is multiplied by one factor, and why that is refused."""
    refused = {}
    for revision in revisions:
        factor = revision.restatement.factor if revision.restatement else None
        if factor and revision.rewrites_history:
            refused[revision.id] = f"its whole history is multiplied by {factor:.6g} ({revision.words})"
    return _refused(refused)


def mass_refusals(revisions: Iterable[Revision], assets: int, limit: float) -> dict[int, str]:
    """The assets restated at once and why that is refused: at least ``FUSE_ASSETS``, over ``limit`` % of ``assets``."""
    rewritten = [revision for revision in revisions if revision.rewrites_history]
    share = 100 * len(rewritten) / max(assets, 1)
    if len(rewritten) < FUSE_ASSETS or share <= limit:
        return {}
    many = f"{len(rewritten):,} of {assets:,} assets are restated at once (--restate-limit {limit:g} %)"
    return _refused({revision.id: f"{many}, this one: {revision.words}" for revision in rewritten})


def _refused(reasons: Mapping[int, str]) -> dict[int, str]:
    return {id: f"restatement refused: {reason}; {_WAY_OUT}" for id, reason in reasons.items()}
