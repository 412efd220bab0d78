"""What a refresh has to do, why, and in which batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.due.revision import Restatement, Revision
from refresh.due.decision import Action, Batch, Cause, ChangedMonth, DailyState, Due, batches, decide_daily, examined

if TYPE_CHECKING:
    from random import Random

MANY = 1_000_000
ASSET = 5
FIRST, LAST = datetime(2019, 1, 7, tzinfo=UTC), datetime(2024, 5, 20, 23, 59, 59, tzinfo=UTC)
CURRENT = DailyState(1961, 1961, FIRST, LAST, agrees=True)
EMPTY = DailyState(0, 0, None, None, agrees=True)
CONTRADICTORY = DailyState(0, 1961, FIRST, LAST, agrees=False)


def utc(*parts: int) -> datetime:
    """A time in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def month(text: str | None, found: int, known: int, asset: int = ASSET) -> ChangedMonth:
    """A changed month from its text, e.g. ``2024-05``; ``None`` for rows without a time."""
    return ChangedMonth(asset, date.fromisoformat(f"{text}-01") if text else None, found, known)


def decide(
    changed: list[ChangedMonth], state: DailyState | None, tz: str = "UTC", *, rebuild: bool = False
) -> Due | None:
    """What to do for the one asset."""
    dues = decide_daily(changed, {} if state is None else {ASSET: state}, tz, rebuild=rebuild)
    return dues[0] if dues else None


# Decisions


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
    """Changed months and a state lead to one act: from the first changed month on, or from the first day."""
    due = decide(changed, state)
    assert due is not None
    assert (due.id, due.reason, due.days, due.through) == (ASSET, reason, days, None)
    assert due.since == (datetime.fromisoformat(f"{reason[-10:]}T00:00Z") if "-" in reason else None)


def test_a_contradiction_needs_no_changed_month() -> None:
    """A table that its state contradicts is built anew, even where the source is as it was."""
    due = decide([], CONTRADICTORY)
    assert due is not None
    assert (due.action, due.since, due.cause) == (Action.REBUILD, None, Cause.CONTRADICTION)


@pytest.mark.parametrize("state", [None, CURRENT, EMPTY, CONTRADICTORY])
def test_a_full_rebuild(state: DailyState | None) -> None:
    """A full rebuild that was asked for starts over, whatever the state says."""
    due = decide([month("2024-04", 30, 30), month("2024-05", 20, 20)], state, rebuild=True)
    assert due == Due(ASSET, Action.REBUILD, None, None, 50, cause=Cause.ASKED)


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
    found = decide_daily(changed, states, "UTC", rebuild=False)
    assert [(due.id, due.action, due.cause, due.since) for due in found] == [
        (2, Action.REBUILD, Cause.NEW, None),
        (4, Action.REBUILD, Cause.CONTRADICTION, None),
        (9, Action.REVISE, None, utc(2024, 4, 1)),
    ]


COUNTS = st.sampled_from([0, 0, 1, 20, 21, 31])
MONTHS = st.builds(month, st.sampled_from([None, *(["2024-03", "2024-05", "2024-06", "2024-07"] * 3)]), COUNTS, COUNTS)


@settings(deadline=None)
@given(st.lists(MONTHS, min_size=1, max_size=4), st.sampled_from([CURRENT, EMPTY]), st.randoms(use_true_random=False))
def test_the_order_of_the_months_changes_nothing(months: list[ChangedMonth], state: DailyState, random: Random) -> None:
    """Changed months lead to the same act in whatever order they are found."""
    assert decide(random.sample(months, len(months)), state) == decide(months, state)


@settings(deadline=None)
@given(st.lists(MONTHS, min_size=1, max_size=4))
def test_no_changed_month_is_left_out(months: list[ChangedMonth]) -> None:
    """The act begins with the first changed month, and counts no fewer days than were found."""
    due = decide(months, CURRENT)
    assert due is not None
    assert due.days >= sum(one.found for one in months)
    firsts = [utc(one.month.year, one.month.month, 1) for one in months if one.month]
    assert due.since == (min(firsts) if len(firsts) == len(months) else None)


# What the comparison of days makes of a decision

DUE = Due(ASSET, Action.REVISE, utc(2024, 5, 1), None, 40)
RESTATEMENT = Restatement(date(2024, 5, 2), date(2024, 5, 2), 7.5, None, None, last_day_only=False, factor=None)


def test_new_days_are_an_append() -> None:
    """Where days were only appended, the act is an append; where to begin stays."""
    revision = Revision(ASSET, appended=2)
    found = examined(DUE, revision, None)
    assert found == replace(DUE, action=Action.APPEND, revision=revision)
    assert found.reason == "2 days appended"


def test_known_days_that_changed_are_a_revision() -> None:
    """Where known days changed, the act is a revision, and tells why it is refused if it is."""
    revision = Revision(ASSET, appended=1, deleted=1, restatement=RESTATEMENT)
    found = examined(DUE, revision, "too many at once")
    assert found == replace(DUE, action=Action.REVISE, revision=revision, refusal="too many at once")
    assert found.reason == "too many at once"
    assert examined(DUE, revision, None).reason == "1 day deleted, 1 day appended"


# Words


@pytest.mark.parametrize(
    ("due", "reason"),
    [
        (Due(1, Action.APPEND, utc(2024, 5, 2), None, 1), "append 1 day"),
        (Due(1, Action.APPEND, utc(2024, 5, 2), None, 2), "append 2 days"),
        (Due(1, Action.APPEND, utc(2024, 5, 2), None, 0), "append 0 days"),
        (Due(1, Action.REVISE, utc(2019, 5, 1), None, 900), "revise from 2019-05-01"),
        (Due(1, Action.REVISE, None, None, 900), "revise from the first day"),
        (Due(1, Action.REBUILD, None, None, 1, cause=Cause.NEW), "build 1 day: not built yet"),
        (Due(1, Action.REBUILD, None, None, 9, cause=Cause.ASKED), "build 9 days: --full-rebuild"),
        (Due(1, Action.REBUILD, None, None, 9), "build 9 days"),
        (Due(1, Action.PRUNE, None, None, 9), "gone from the source (--prune)"),
    ],
)
def test_reason(due: Due, reason: str) -> None:
    """An act tells in words what is done and why."""
    assert due.reason == reason


@pytest.mark.parametrize("action", Action)
def test_what_rewrites(action: Action) -> None:
    """Stored rows are deleted unseen by a rebuild and a pruning, and by nothing else."""
    assert Due(1, action, None, None, 1).rewrites == (action in {Action.REBUILD, Action.PRUNE})


# Batches


DUES = st.lists(
    st.builds(
        Due,
        st.integers(1, 12),
        st.sampled_from(Action),
        st.none(),
        st.none(),
        st.integers(0, 60),
        st.sampled_from([(), (0,), (1,), (0, 1, 2)]),
    ),
    max_size=25,
    unique_by=lambda due: (due.id, due.series),
)


def kind_of(due: Due) -> tuple[str, tuple[int, ...]]:
    """What can be done together: rebuilds, prunings, and all that is compared; on the same series."""
    return ({Action.REBUILD: "rebuilt", Action.PRUNE: "pruned"}.get(due.action, "compared"), due.series)


def size_of(batch: Batch) -> int:
    """The rows that are computed at once: all assets over the days of the longest, and one more to go on from."""
    return len(batch.dues) * (max(due.days for due in batch.dues) + 1) * max(len(batch.series), 1)


@settings(deadline=None)
@given(DUES, st.integers(1, 300))
def test_every_due_is_in_one_batch(dues: list[Due], limit: int) -> None:
    """All work is done, each series of each asset once, and work that was cut up is otherwise what it was."""
    pieces = [due for batch in batches(dues, limit, MANY) for due in batch.dues]
    assert Counter(cut(pieces)) == Counter(cut(dues))


def cut(dues: list[Due]) -> list[Due]:
    """Each series by itself."""
    return [replace(due, series=due.series[n : n + 1]) for due in dues for n in range(len(due.series) or 1)]


@settings(deadline=None)
@given(DUES, st.integers(1, 300))
def test_a_batch_is_of_one_kind(dues: list[Due], limit: int) -> None:
    """A batch has the same series throughout, rebuilds, prunes or compares all, and holds an asset once."""
    for batch in batches(dues, limit, MANY):
        assert {kind_of(due) for due in batch.dues} == {kind_of(batch.dues[0])}
        assert (batch.action, batch.series) == (batch.dues[0].action, batch.dues[0].series)
        assert {due.rewrites for due in batch.dues} == {batch.rewrites}
        assert batch.ids == [due.id for due in batch.dues]
        assert len(set(batch.ids)) == len(batch.ids)


@settings(deadline=None)
@given(DUES, st.integers(1, 300))
def test_a_batch_keeps_the_limit(dues: list[Due], limit: int) -> None:
    """No batch computes more rows than the limit, but for a single series of a single asset that has more."""
    for batch in batches(dues, limit, MANY):
        assert size_of(batch) <= limit or (len(batch.dues) == 1 and len(batch.series) <= 1)


@settings(deadline=None)
@given(DUES, st.integers(1, 300))
def test_batches_are_full(dues: list[Due], limit: int) -> None:
    """A batch ends only where the next piece of work is of another kind or would pass the limit."""
    for one, following in pairwise(batches(dues, limit, MANY)):
        alike = kind_of(one.dues[0]) == kind_of(following.dues[0])
        assert not alike or size_of(Batch((*one.dues, following.dues[0]))) > limit


@settings(deadline=None)
@given(DUES, st.integers(1, 300), st.randoms(use_true_random=False))
def test_batches_do_not_depend_on_order(dues: list[Due], limit: int, random: Random) -> None:
    """The same work falls into the same batches in whatever order it is found."""
    assert list(batches(random.sample(dues, len(dues)), limit, MANY)) == list(batches(dues, limit, MANY))


def test_an_asset_with_too_many_rows_is_cut_evenly() -> None:
    """Seven series of a hundred rows each go into three pieces where three hundred rows are the limit."""
    due = Due(1, Action.REBUILD, None, None, 99, tuple(range(10, 17)))
    assert [batch.series for batch in batches([due], 300, MANY)] == [(10, 11, 12), (13, 14, 15), (16,)]


def test_work_on_some_series() -> None:
    """Work can be narrowed to those of its series that are asked for, in their order."""
    due = Due(1, Action.APPEND, None, None, 3, (4, 1, 2))
    assert due.on({2, 4, 9}) == replace(due, series=(4, 2))


def test_a_batch_has_so_many_assets() -> None:
    """A thousand assets with a day each are split where no more may be held at once."""
    dues = [Due(asset, Action.APPEND, None, None, 1) for asset in range(25)]
    assert [len(batch.dues) for batch in batches(dues, MANY, 10)] == [10, 10, 5]


def test_no_work() -> None:
    """Without work there is no batch."""
    assert list(batches([], 100, MANY)) == []


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_halves(size: int) -> None:
    """A batch falls into two that are about as large, with nothing lost, until each is of one asset."""
    batch = Batch(tuple(Due(asset, Action.APPEND, None, None, 1) for asset in range(size)))
    one, other = batch.halves()
    assert one.dues + other.dues == batch.dues
    assert 0 <= len(other.dues) - len(one.dues) <= 1
