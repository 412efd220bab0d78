"""Assets whose rows are finer than a day: which of them are refused, and which are folded.

A function of the source and the settings alone, whatever was built before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from refresh.due.decision import Action, Cause, Due
from refresh.store.daily_state import DailyState
from refresh.store.granularity import FINE_DAYS, FINE_SHARE, Grain, grains
from refresh.store.settings import ALL, remembered_folds
from refresh.store.source import ChangedMonth, Source

_DAYS_OF_MONTH = 31
MOST_ROWS = 10_000
"""Rows of an asset that are folded together with those of others; what has more is read in slices."""


@dataclass(frozen=True, slots=True)
class Folds:
    """The assets whose rows are folded into days: those of the setting, and those of a run's option."""

    remembered: str | Collection[int]
    wanted: str | Collection[int] = ()

    def has(self, id: int) -> bool:
        """Whether an asset is folded."""
        return any(ids == ALL or id in ids for ids in (self.remembered, self.wanted))


def folds(connection: Connection, ids: Collection[int] | None, *, fold: bool) -> Folds:
    """What is folded as the present transaction sees it, and by a run about some assets (``None``: all)."""
    wanted: str | Collection[int] = ()
    if fold:
        wanted = ALL if ids is None else ids
    return Folds(remembered_folds(connection), wanted)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the assets: their changed months, what is stored of them, and what is folded."""

    months: Mapping[int, Sequence[ChangedMonth]]
    states: Mapping[int, DailyState]
    folds: Folds


def switch(dues: Iterable[Due], states: Mapping[int, DailyState], causes: Mapping[int, Cause]) -> list[Due]:
    """The work, and that on assets which are folded now and were not, or the other way round: all of their days."""
    by_id = {due.id: due for due in dues}
    for id, cause in causes.items():
        due = by_id.get(id, Due(id=id, action=Action.REVISE))
        if not due.rewrites:
            rows = max(due.days, states[id].rows)
            by_id[id] = replace(due, action=Action.REVISE, since=None, cause=cause, days=rows)
    return [by_id[id] for id in sorted(by_id)]


def decide(connection: Connection, source: Source, dues: Iterable[Due], known: Known) -> list[Due]:
    """The work, with what is folded, and with a refusal for each asset that is finer than a day and not folded."""
    decided = [_folded(due) if known.folds.has(due.id) else due for due in dues]
    suspects = [due.id for due in decided if _may_be_fine(due, known)]
    long = [due.id for due in decided if due.in_slices and due.since is None]
    found = grains(connection, source, [*suspects, *long]) if suspects or long else {}
    return [_seen(due, found[due.id]) if due.id in found else due for due in decided]


def _folded(due: Due) -> Due:
    return replace(due, fold=True, in_slices=due.days > MOST_ROWS)


def _seen(due: Due, grain: Grain) -> Due:
    """The work on an asset whose rows were looked at: refused, or if it is folded, so many days and not rows."""
    if due.fold:
        return replace(due, days=grain.days)
    return replace(due, refusal=refusal(grain), days=0, since=None) if is_fine(grain) else due


def refusals(connection: Connection, source: Source, ids: Sequence[int]) -> dict[int, str]:
    """Why assets are refused that turned out to be finer than a day."""
    found = grains(connection, source, ids) if ids else {}
    return {id: refusal(grain) for id, grain in found.items() if is_fine(grain)}


def refusal(grain: Grain) -> str:
    """Why an asset is refused."""
    return f"rows finer than a day: {grain.rows} a day; fold them with --fold"


def is_fine(grain: Grain) -> bool:
    """Whether rows of this grain are no days."""
    return grain.fine_days >= FINE_DAYS and grain.fine_days * FINE_SHARE > grain.days


def _may_be_fine(due: Due, known: Known) -> bool:
    """Whether the rows have to be looked at: not where the numbers of rows and bars leave no room for fine days.

    Each day that has rows at different times has at least one row more than it has bars.
    """
    state, months = known.states.get(due.id), known.months.get(due.id, ())
    if due.fold or due.action is Action.PRUNE:
        return False
    if state is None or not state.agrees or due.cause is not None or state.is_folded:
        return True
    rows = state.rows + sum(month.found - month.known for month in months)
    days = state.bars - sum(min(month.known, _DAYS_OF_MONTH) for month in months)
    return is_fine(Grain(days=max(days, 0), fine_days=rows - days, rows=0))


def switched(states: Mapping[int, DailyState], folds: Folds) -> dict[int, Cause]:
    """The assets that were built folded and no longer are, or the other way round."""
    causes: dict[int, Cause] = {}
    for id, state in states.items():
        if state.is_folded != folds.has(id):
            causes[id] = Cause.UNFOLDED if state.is_folded else Cause.FOLDED
    return causes
