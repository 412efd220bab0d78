"""What the daily bars have to read again: changed months and a state lead to one action."""

from __future__ import annotations

from datetime import date, datetime
from random import Random

import pytest
from due.works import ASSET, utc
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.due.daily import decide_daily
from refresh.due.decision import Action, Cause, Due
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth

FIRST, LAST = utc(2019, 1, 7), utc(2024, 5, 20, 23, 59, 59)
CURRENT = DailyState(rows=1961, bars=1961, first=FIRST, last=LAST, processed=LAST, agrees=True)
EMPTY = DailyState(rows=0, bars=0, first=None, last=None, processed=None, agrees=True)
CONTRADICTORY = DailyState(rows=0, bars=1961, first=FIRST, last=LAST, processed=None, agrees=False)


def month(text: str | None, rows: int, processed: int, asset: int = ASSET) -> ChangedMonth:
    """A changed month from its text, e.g. ``2024-05``; ``None`` for rows without a time."""
    first = date.fromisoformat(f"{text}-01") if text else None
    return ChangedMonth(asset, first, rows, processed)


def decide(
    changed: list[ChangedMonth], state: DailyState | None, tz: str = "UTC", *, rebuild: bool = False
) -> Due | None:
    """What to do for the only asset."""
    dues = decide_all(changed, {} if state is None else {ASSET: state}, tz, rebuild=rebuild)
    return dues[0] if dues else None


def decide_all(
    changed: list[ChangedMonth], states: dict[int, DailyState], tz: str = "UTC", *, rebuild: bool = False
) -> list[Due]:
    """What to do for some assets."""
    months: dict[int, list[ChangedMonth]] = {}
    for changed_month in changed:
        months.setdefault(changed_month.id, []).append(changed_month)
    wrong = {id for id, state in states.items() if not state.agrees}
    return decide_daily(months, states, wrong, tz, rebuild=rebuild)


@pytest.mark.parametrize(
    ("changed", "state", "reason", "days"),
    [
        ([month("2024-05", 20, 0)], None, "build 20 days: not built yet", 20),
        ([month(None, 1, 0), month("2024-05", 20, 0)], None, "build 21 days: not built yet", 21),
        ([month("2024-05", 21, 20)], CONTRADICTORY, "build 21 days: the state contradicts the table", 21),
        ([month("2024-05", 21, 20)], CURRENT, "revise from 2024-05-01", 21 + 19),
        ([month("2024-05", 31, 20), month("2024-06", 7, 0)], CURRENT, "revise from 2024-05-01", 38 + 19),
        ([month("2024-05", 0, 20)], CURRENT, "revise from 2024-05-01", 19),
        ([month("2024-03", 31, 30)], CURRENT, "revise from 2024-03-01", 31 + 80),
        ([month("2024-03", 31, 31), month("2024-06", 1, 0)], CURRENT, "revise from 2024-03-01", 32 + 80),
        ([month("2018-12", 31, 0)], CURRENT, "revise from 2018-12-01", 31 + 1997),
        ([month("2024-06", 7, 0)], CURRENT, "revise from 2024-06-01", 7),
        ([month("2024-07", 1, 1)], CURRENT, "revise from 2024-07-01", 1),
        ([month(None, 1, 0)], CURRENT, "revise from the first day", 1 + 1961),
        ([month(None, 0, 1)], CURRENT, "revise from the first day", 1961),
        ([month(None, 1, 0), month("2024-05", 21, 20)], CURRENT, "revise from the first day", 22 + 1961),
        ([month("2024-05", 3, 2)], EMPTY, "revise from the first day", 3),
    ],
)
def test_decision(changed: list[ChangedMonth], state: DailyState | None, reason: str, days: int) -> None:
    """Changed months and a state lead to one action: from the first changed month on, or from the first day."""
    due = decide(changed, state)
    assert due is not None
    assert (due.id, due.reason, due.days, due.through) == (ASSET, reason, days, None)
    assert due.since == (datetime.fromisoformat(f"{reason[-10:]}T00:00Z") if "-" in reason else None)


def test_a_contradiction_needs_no_changed_month() -> None:
    """A table that its state contradicts is rebuilt, even if the source is as it was."""
    due = decide([], CONTRADICTORY)
    assert due is not None
    assert (due.action, due.since, due.cause) == (Action.REBUILD, None, Cause.CONTRADICTION)


@pytest.mark.parametrize("state", [None, CURRENT, EMPTY, CONTRADICTORY])
def test_a_full_rebuild(state: DailyState | None) -> None:
    """A full rebuild starts over, whatever the state says."""
    due = decide([month("2024-04", 30, 30), month("2024-05", 20, 20)], state, rebuild=True)
    assert due == Due(id=ASSET, action=Action.REBUILD, days=50, cause=Cause.REQUESTED)


def test_nothing_to_do() -> None:
    """An asset without a changed month whose state agrees with its table is up to date."""
    assert decide([], CURRENT) is None


@pytest.mark.parametrize(
    ("text", "since"),
    [("2024-03", utc(2024, 3, 1, 5)), ("2024-04", utc(2024, 4, 1, 4)), ("2024-11", utc(2024, 11, 1, 4))],
)
def test_a_month_begins_at_midnight_of_its_zone(text: str, since: datetime) -> None:
    """A month begins when its first day does in the run's time zone, in winter and in summer."""
    due = decide([month(text, 1, 1)], CURRENT, "America/New_York")
    assert due is not None
    assert due.since == since


def test_every_asset_is_decided_by_itself() -> None:
    """Assets come once each, in order: those with changed months and those whose state contradicts the table."""
    changed = [month("2024-05", 21, 20, 9), month("2024-06", 3, 0, 2), month("2024-04", 1, 0, 9)]
    states = {9: CURRENT, 4: CONTRADICTORY, 7: CURRENT}
    dues = decide_all(changed, states)
    assert [(due.id, due.action, due.cause, due.since) for due in dues] == [
        (2, Action.REBUILD, Cause.NEW, None),
        (4, Action.REBUILD, Cause.CONTRADICTION, None),
        (9, Action.REVISE, None, utc(2024, 4, 1)),
    ]


COUNTS = st.sampled_from([0, 0, 1, 20, 21, 31])
MONTHS = st.builds(month, st.sampled_from([None, *(["2024-03", "2024-05", "2024-06", "2024-07"] * 3)]), COUNTS, COUNTS)


@settings(deadline=None)
@given(st.lists(MONTHS, min_size=1, max_size=4), st.sampled_from([CURRENT, EMPTY]), st.randoms(use_true_random=False))
def test_the_order_of_the_months_changes_nothing(months: list[ChangedMonth], state: DailyState, random: Random) -> None:
    """Changed months lead to the same action in whatever order they come."""
    assert decide(random.sample(months, len(months)), state) == decide(months, state)


@settings(deadline=None)
@given(st.lists(MONTHS, min_size=1, max_size=4))
def test_no_changed_month_is_left_out(months: list[ChangedMonth]) -> None:
    """The action begins with the first changed month, and counts at least the rows of all of them."""
    due = decide(months, CURRENT)
    assert due is not None
    assert due.days >= sum(changed.found for changed in months)
    firsts = [utc(changed.month.year, changed.month.month, 1) for changed in months if changed.month]
    assert due.since == (min(firsts) if len(firsts) == len(months) else None)
