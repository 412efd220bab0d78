"""Stored daily bars against computed ones: a revision in numbers, for many assets at once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from due.works import ASSET, utc

from refresh.core.rows import Rows, stack
from refresh.due.comparison import PRICES, find_revisions
from refresh.due.revision import ChangedValue, Revision
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth

FIRST = date(2024, 3, 1)
DAYS = 12
TIMES = {"time_open": 0, "time_low": 9, "time_high": 15, "time_close": 23}


def bars(asset: int = ASSET, first: int = 0, last: int = DAYS, **changed: Any) -> Rows:
    """Daily bars of some days, with other values where they are given: by column, the values by day."""
    numbers = np.arange(first, last)
    day = np.datetime64(FIRST) + numbers
    rows: Rows = {}
    for name in PRICES:
        rows[name] = 10.0 + numbers
    for name, hour in TIMES.items():
        rows[name] = day.astype("M8[us]") + np.timedelta64(hour, "h")
    rows["id"] = np.full(len(numbers), asset, np.int32)
    rows["timestamp"] = day.astype("M8[us]")
    rows["day"] = day
    for name, values in changed.items():
        for number, value in values.items():
            rows[name][numbers == number] = value
    return rows


def without(rows: Rows, *numbers: int) -> Rows:
    """The bars without those of some days."""
    days = [np.datetime64(FIRST) + number for number in numbers]
    keep = ~np.isin(rows["day"], days)
    return {name: column[keep] for name, column in rows.items()}


def state(first: int = 0, last: int = DAYS) -> DailyState:
    """The state of an asset whose table has these days."""
    begin = utc(2024, 3, 1)
    return DailyState(
        rows=last - first,
        bars=last - first,
        first=begin + timedelta(days=first),
        last=begin + timedelta(days=last - 1),
        processed=begin + timedelta(days=last - 1),
        agrees=True,
    )


def revision(stored: Rows, computed: Rows, known: DailyState | None = None) -> Revision:
    """The revision of the only asset."""
    return find_revisions(stored, computed, {ASSET: known or state()})[ASSET]


def test_nothing_changed() -> None:
    """Equal bars are a revision without a day."""
    assert revision(bars(), bars()) == Revision(id=ASSET)


def test_appended_days() -> None:
    """Days after the last one are appended, and nothing is restated."""
    assert revision(bars(), bars(last=DAYS + 2)) == Revision(id=ASSET, appended=2)


def test_the_first_bars() -> None:
    """For a table without a bar, days are neither before nor after anything."""
    empty = DailyState(rows=0, bars=0, first=None, last=None, processed=None, agrees=True)
    result = revision(bars(last=0), bars(last=3), empty)
    assert (result.appended, result.added_before, result.added_inside, result.rows) == (0, 0, 3, 3)


def test_days_by_kind_of_change() -> None:
    """Days added before, inside and after, deleted and changed ones are counted, and the bounds are theirs."""
    stored = without(bars(), 5)
    computed = without(bars(first=-2, last=DAYS + 1, close={7: 99.0, 8: 98.0, 3: 97.0}), 9)
    result = revision(stored, computed)
    assert (result.added_before, result.added_inside, result.appended) == (2, 1, 1)
    assert (result.changed, result.deleted) == (3, 1)
    assert result.restatement is not None
    assert (result.restatement.first, result.restatement.last) == (date(2024, 2, 28), date(2024, 3, 10))
    assert (result.restatement.old_close, result.restatement.new_close) == (None, 8.0)
    assert result.restatement.change == ChangedValue(day=date(2024, 3, 4), column="close", before=13.0, after=97.0)
    assert (result.restatement.is_last_day_only, result.restatement.factor) == (False, None)


def test_closes_of_the_first_day() -> None:
    """Of a deleted day there is no new close, of a changed one there are both."""
    deleted, changed = revision(bars(), without(bars(), 4)), revision(bars(), bars(close={4: 2.5}))
    assert deleted.restatement is not None
    assert changed.restatement is not None
    assert (deleted.restatement.old_close, deleted.restatement.new_close) == (14.0, None)
    assert (changed.restatement.old_close, changed.restatement.new_close) == (14.0, 2.5)


@pytest.mark.parametrize("column", PRICES)
def test_any_price_is_a_change(column: str) -> None:
    """A change of any column is a change of the day, and it is named with both values."""
    stored, computed = bars(), bars()
    computed[column][4] += np.timedelta64(1, "s") if column in TIMES else 1
    old, new = stored[column][4].item(), computed[column][4].item()
    result = revision(stored, computed)
    assert result.changed == 1
    assert result.restatement is not None
    assert result.restatement.change == ChangedValue(day=date(2024, 3, 5), column=column, before=old, after=new)


def test_the_most_informative_column_is_named() -> None:
    """Of several changed columns the close is named first; a value that is absent is NULL."""
    result = revision(bars(volume={4: np.nan}), bars(volume={4: 7.0}))
    assert result.restatement is not None
    assert str(result.restatement.change) == "volume of 2024-03-05 changed from NULL to 7.0"
    result = revision(bars(volume={4: np.nan}), bars(volume={4: np.nan}, high={4: 50.0}, close={4: 49.0}))
    assert result.restatement is not None
    assert str(result.restatement.change) == "close of 2024-03-05 changed from 14.0 to 49.0"


@pytest.mark.parametrize(
    ("computed", "is_last_day_only"),
    [
        (bars(close={DAYS - 1: 1.0}), True),
        (without(bars(), DAYS - 1), True),
        (bars(last=DAYS + 1, close={DAYS - 1: 1.0}), True),
        (bars(close={DAYS - 2: 1.0}), False),
        (bars(close={0: 1.0, DAYS - 1: 1.0}), False),
        (bars(first=-1), False),
    ],
    ids=["changed", "deleted", "changed and appended", "the day before", "another one too", "added before"],
)
def test_the_last_day_alone(computed: Rows, *, is_last_day_only: bool) -> None:
    """The last day is often provisional: it is noted whether it is the only known day that changed."""
    restatement = revision(bars(), computed).restatement
    assert restatement is not None
    assert restatement.is_last_day_only is is_last_day_only


def multiplied(factors: Any) -> Rows:
    """The bars with other closes."""
    rows = bars()
    return rows | {"close": rows["close"] * factors}


@pytest.mark.parametrize(
    ("factors", "factor"),
    [
        (0.25, 0.25),
        (2.0, 2.0),
        (np.linspace(2.0, 2.000001, DAYS), pytest.approx(2.0, rel=1e-6)),
        (np.linspace(2.0, 2.1, DAYS), None),
        (np.where(np.arange(DAYS) == 3, 1.0, 2.0), 2.0),
        (np.where(np.arange(DAYS) % 4 == 3, 1.0, 2.0), None),
        (np.linspace(0.9999999, 1.0000001, DAYS), None),
        (0.97, None),
        (1.049, None),
        (1.06, pytest.approx(1.06)),
        (0.9, pytest.approx(0.9)),
    ],
)
def test_one_factor(factors: Any, factor: Any) -> None:
    """Nearly all closes multiplied by one factor, not near 1, within the rounding of a file: a scaled history."""
    restatement = revision(bars(), multiplied(factors)).restatement
    assert restatement is not None
    assert restatement.factor == factor


@pytest.mark.parametrize(("level", "factor"), [(1.0, 100.0), (1.0, 0.1), (1.0, 1 / 3), (1000.0, 0.001)])
@pytest.mark.parametrize("rounded", ["before", "after"])
def test_factor_of_rounded_closes(level: float, factor: float, rounded: str) -> None:
    """Closes rounded to two decimals on either side are multiples by one factor all the same."""
    stored, computed = bars(), bars()
    stored["close"] = level * (3.0 + np.sin(np.arange(DAYS)))
    computed["close"] = factor * stored["close"]
    side = stored if rounded == "before" else computed
    side["close"] = np.round(side["close"], 2)
    restatement = revision(stored, computed).restatement
    assert restatement is not None
    assert restatement.factor == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize(
    ("computed", "is_replaced"),
    [
        (multiplied(np.linspace(2.0, 2.4, DAYS)), True),
        (multiplied(np.linspace(0.96, 1.04, DAYS)), False),
        (multiplied(np.where(np.arange(DAYS) < 3, 1.0, np.linspace(2.0, 2.4, DAYS))), False),
        (without(bars(), *range(DAYS)), True),
        (without(bars(), *range(1, DAYS)), True),
        (without(bars(), *range(3, DAYS)), False),
    ],
    ids=["other closes", "corrected", "other closes of most", "nothing left", "one day left", "a quarter left"],
)
def test_replaced_history(computed: Rows, *, is_replaced: bool) -> None:
    """A history is replaced if nearly every known day is gone or has quite another close."""
    restatement = revision(bars(), computed).restatement
    assert restatement is not None
    assert restatement.is_replaced is is_replaced


def restamped(rows: Rows, number: int, hours: int) -> Rows:
    """The bars with another time of one day."""
    times = rows["timestamp"].copy()
    times[number] += np.timedelta64(hours, "h")
    return rows | {"timestamp": times}


def test_restamped_day() -> None:
    """A day at another time is the same day: not one that is deleted and one that is added."""
    result = revision(bars(), restamped(bars(), 4, 2))
    assert (result.restamped, result.deleted, result.added_inside, result.changed) == (1, 0, 0, 0)
    assert (result.words, result.rows) == ("timestamps of 1 day moved by 2:00:00, no price changed", 1)
    result = revision(bars(), restamped(bars(close={4: 50.0}), 4, 2))
    assert result.words == "close of 2024-03-05 changed from 14.0 to 50.0, timestamps of 1 day moved by 2:00:00"
    assert result.restatement is not None
    assert (result.restatement.old_close, result.restatement.new_close) == (14.0, 50.0)


def test_last_day_is_completed() -> None:
    """A provisional last day that gets its closing time is no new day, and does not rewrite history."""
    result = revision(bars(), restamped(bars(close={DAYS - 1: 50.0}), DAYS - 1, 2))
    assert (result.restamped, result.appended, result.deleted) == (1, 0, 0)
    assert not result.rewrites_history


# Bars that are built from the first day


def rebuilt(stored: Rows, computed: Rows, *months: ChangedMonth) -> Revision:
    """The revision of the only asset, which is built from the first day."""
    return find_revisions(stored, computed, {ASSET: state()}, {ASSET: months})[ASSET]


MARCH = ChangedMonth(ASSET, FIRST, DAYS, DAYS)


@pytest.mark.parametrize(
    "stored",
    [bars(last=3), without(bars(), 5), bars(close={4: 1.0}), bars(last=0)],
    ids=["end", "middle", "value", "all"],
)
def test_repaired_bars_are_no_revision(stored: Rows) -> None:
    """Bars that somebody removed or changed are written again. The source has not changed, so nothing was restated."""
    assert rebuilt(stored, bars()).restatement is None


def test_changed_month_of_repaired_bars() -> None:
    """In a month that changed, a stored bar tells the former value; a missing one does not."""
    result = rebuilt(without(bars(), 2, 3), bars(close={4: 50.0}), MARCH)
    assert result.restatement is not None
    assert (result.changed, result.unknown, result.added_inside) == (1, 2, 0)
    assert result.words == "close of 2024-03-05 changed from 14.0 to 50.0, 2 days changed while their bars were missing"
    assert (result.restatement.old_close, result.restatement.new_close) == (None, 12.0)


def test_month_that_was_never_processed() -> None:
    """Days of a month that is new are no revision where their bars are missing."""
    assert rebuilt(bars(last=0), bars(), ChangedMonth(ASSET, FIRST, DAYS, 0)).restatement is None


def test_a_short_history_has_no_factor() -> None:
    """A few days may be corrected by one factor."""
    stored, computed = bars(last=5), bars(last=5)
    computed["close"] = computed["close"] * 2
    restatement = revision(stored, computed, state(last=5)).restatement
    assert restatement is not None
    assert restatement.factor is None


def test_every_asset_has_a_revision_of_its_own() -> None:
    """Assets are compared together and reported apart, also those without a change."""
    stored = stack([bars(1), bars(2), bars(3)])
    computed = stack([bars(1, last=DAYS + 1), bars(2), bars(3, close={2: 1.0})])
    revisions = find_revisions(stored, computed, dict.fromkeys((1, 2, 3), state()))
    assert revisions[1] == Revision(id=1, appended=1)
    assert revisions[2] == Revision(id=2)
    assert (revisions[3].id, revisions[3].changed) == (3, 1)


def shifted(rows: Rows, hours: int) -> Rows:
    """The bars, some hours later; the dates follow."""
    times = rows["timestamp"] + np.timedelta64(hours, "h")
    return rows | {"timestamp": times, "day": times.astype("M8[D]")}


@pytest.mark.parametrize("hours", [5, -5, 24, 30])
def test_days_that_moved_to_other_dates(hours: int) -> None:
    """The same prices at other times are moved days, whatever their dates are now, and no replaced history."""
    stored, computed = bars(), shifted(bars(last=DAYS), hours)
    result = revision(stored, computed)
    span = f"{'-' if hours < 0 else ''}{timedelta(hours=abs(hours))}"
    assert result.words == f"timestamps of {DAYS} days moved by {span}, no price changed"
    assert (result.restamped, result.rows, result.rewrites_history) == (DAYS, DAYS, True)
    assert result.restatement is not None
    assert not result.restatement.is_replaced


def test_moved_days_beside_others() -> None:
    """Days that are appended, and one that changed, are told beside those that moved."""
    computed = shifted(bars(last=DAYS + 2, close={4: 50.0}), -5)
    result = revision(bars(), computed)
    assert (result.restamped, result.appended, result.deleted) == (DAYS, 2, 0)
    assert result.words.startswith("close of 2024-03-05 changed from 14.0 to 50.0")


def test_moved_by_clocks_that_change() -> None:
    """Days that moved by five hours in winter and by four in summer are told as both."""
    summer = shifted(bars(first=6), -4)
    result = revision(bars(), stack([shifted(bars(last=6), -5), summer]))
    assert result.words == f"timestamps of {DAYS} days moved by -5:00:00 to -4:00:00, no price changed"


def test_other_days_did_not_move() -> None:
    """Two days that are gone, beside two others with the same prices, did not move."""
    same: dict[str, Any] = {name: {2: 1.0, 3: 1.0, 8: 1.0, 9: 1.0} for name in PRICES if name not in TIMES}
    whole = bars(**same)
    result = revision(without(whole, 8, 9), without(whole, 2, 3))
    assert (result.deleted, result.added_inside, result.restamped) == (2, 2, 0)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (b"null_ohlc", "1 day lost its prices: 2024-03-05, 1 day deleted"),
        (b"nonfinite_ohlc", "1 day lost its prices: 2024-03-05, 1 day deleted"),
        (b"bad_volume", "2 days deleted"),
    ],
)
def test_a_day_without_prices(reason: bytes, words: str) -> None:
    """A day whose row is refused for its prices has lost them; one without a row is deleted."""
    stored = bars()
    rejects = {"id": stored["id"][4:5], "timestamp": stored["timestamp"][4:5], "reason": np.array([reason])}
    found = find_revisions(stored, without(stored, 4, 7), {ASSET: state()}, None, rejects)
    assert found[ASSET].words == words
