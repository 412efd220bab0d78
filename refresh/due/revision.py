"""What a change of the source means for the daily bars of an asset, in numbers and in words, and when it is refused.

Imports no numeric library: ``comparison`` computes the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from refresh.records import LedgerLine
from refresh.wording import counted, listed

FUSE_ASSETS = 10
"""The least number of assets restated at once whose share of all assets matters."""
FUSE_DAYS = 10
"""The least number of days of a history that, rewritten as a whole, looks like a mistake of the source."""
_SMALL_SPLIT, _LARGE_SPLIT = 5, 50
"""The shares that a split makes of others, where neither number is 1, and where one is; more are units of money."""
_SPLIT_ROUNDING = 0.001
"""How much a factor may differ from that of a split, relative to it: closes are rounded."""
_SHOWN_DAYS = 3
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

    @property
    def of_last_day(self) -> str:
        """The same of a last day, which sources often publish before it is complete."""
        return f"the last day, {self.day}, was provisional: {self.column} {self.before} -> {self.after}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Restatement:
    """What was changed, deleted, or added except after the last day: its bounds, and the closes of its first day.

    ``is_last_day_only``: the only known day that changed is the last one, which is often provisional. ``factor``: the
    number by which the whole history was multiplied, if there is one. ``is_replaced``: nearly every known day is gone
    or has quite another close. ``shifts``: the least and the largest span by which days were re-stamped, one if they
    are the same. ``emptied``: the deleted days that the source still has, without prices.
    """

    first: date
    last: date
    old_close: float | None
    new_close: float | None
    change: ChangedValue | None = None
    is_last_day_only: bool = False
    factor: float | None = None
    is_replaced: bool = False
    shifts: tuple[timedelta, ...] = ()
    emptied: tuple[date, ...] = ()

    @property
    def split(self) -> str:
        """The split that the factor looks like, e.g. ``4:1``; empty if it looks like none."""
        return split_of(self.factor) if self.factor else ""

    @property
    def change_in_words(self) -> str:
        """The first changed value, and what it looks like."""
        if self.change is None:
            return ""
        if self.is_last_day_only:
            return self.change.of_last_day
        return f"looks like a {self.split} split: {self.change}" if self.split else str(self.change)


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
    def days(self) -> int:
        """The number of days that differ in any way."""
        return self.rows + self.appended

    @property
    def words(self) -> str:
        """What happened, e.g. ``close of 2019-05-01 changed from 5350.7 to 5402.7, 2 days deleted``."""
        parts = ["gone from the source"] if self.is_removed else []
        changed, emptied = self.changed, 0
        if self.restatement:
            emptied = len(self.restatement.emptied)
            if self.restatement.change:
                parts.append(self.restatement.change_in_words)
                changed -= 1
        if changed > 0:
            noun = "more day" if parts else "day"
            parts.append(f"{counted(changed, noun)} changed")
        parts += self._moves_and_losses
        kinds = {
            "changed while their bars were missing": self.unknown,
            "added before the first one": self.added_before,
            "added in between": self.added_inside,
            "deleted": self.deleted - emptied,
            "appended": self.appended,
        }
        parts += [f"{counted(number, 'day')} {what}" for what, number in kinds.items() if number]
        parts += filter(None, [self.calendar])
        return listed(parts) or "source rows changed, but no price"

    @property
    def _moves_and_losses(self) -> list[str]:
        """What happened to days whose prices are the same at another time, and to those that have none any more."""
        restatement, parts = self.restatement, []
        if self.restamped and restatement:
            spans = " to ".join(map(_span, restatement.shifts))
            unchanged = "" if restatement.change or self.changed else ", no price changed"
            parts.append(f"timestamps of {counted(self.restamped, 'day')} moved by {spans}{unchanged}")
        if restatement and restatement.emptied:
            number = len(restatement.emptied)
            whose = "its" if number == 1 else "their"
            parts.append(f"{counted(number, 'day')} lost {whose} prices: {_first_days(restatement.emptied)}")
        return parts

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


def split_of(factor: float) -> str:
    """The split by which prices are multiplied by nearly a factor, e.g. ``4:1``; empty if there is none that is usual.

    Of the new shares and the old ones, one is 1, or both are small.
    """
    for old in range(1, _SMALL_SPLIT + 1):
        new = round(old / factor)
        is_usual = 1 <= new <= (_LARGE_SPLIT if old == 1 else _SMALL_SPLIT)
        if is_usual and abs(factor * new / old - 1) <= _SPLIT_ROUNDING:
            return f"{new}:{old}"
    old = round(factor)
    is_reverse = 1 < old <= _LARGE_SPLIT and abs(factor / old - 1) <= _SPLIT_ROUNDING
    return f"1:{old}" if is_reverse else ""


def plain_factor(factor: float) -> float:
    """The factor without the rounding of closes, if it is that of a split."""
    new, _, old = split_of(factor).partition(":")
    return int(old) / int(new) if old else factor


def _span(span: timedelta) -> str:
    sign = "-" if span < timedelta(0) else ""
    return f"{sign}{abs(span)}"


def _first_days(days: Sequence[date]) -> str:
    shown = listed(days[:_SHOWN_DAYS])
    more = len(days) - _SHOWN_DAYS
    return f"{shown} and {more:,} more" if more > 0 else shown


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
            factor = plain_factor(restatement.factor)
            reasons[revision.id] = f"its whole history is multiplied by {factor:.6g} ({revision.words})"
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
