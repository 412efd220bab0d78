"""Which window holds a day: answers by hand, laws for every timeframe, and pandas as the oracle of single units."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from core.answers import read_answers
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.rows import Array
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.core.window import Windows, first_day, windows
from refresh.families import Alignment, Scheme

ANSWERS = read_answers("windows.csv")
LABEL = re.compile(r"(\d+)([WMY])_CAL(_ANCHOR)?(?:_(US|ISO))?")
PANDAS_PERIOD: dict[tuple[Unit, Scheme | None], str] = {
    (Unit.WEEK, Scheme.US): "W-SAT",
    (Unit.WEEK, Scheme.ISO): "W-SUN",
    (Unit.MONTH, None): "M",
    (Unit.YEAR, None): "Y",
}
CALENDAR = [Alignment.ALIGNED, Alignment.ANCHORED]


def timeframe_of(label: str) -> Timeframe:
    """The calendar timeframe that a label spells."""
    match = LABEL.fullmatch(label)
    assert match
    quantity, unit, anchor, scheme = match.groups()
    alignment = Alignment.ANCHORED if anchor else Alignment.ALIGNED
    return Timeframe(int(quantity), Unit(unit), alignment, Scheme(scheme) if scheme else None)


def days(*texts: str) -> Array:
    """Days from their dates."""
    return np.array(texts, "M8[D]")


def windows_of(timeframe: Timeframe, stretch: Array, since: str) -> Windows:
    """The windows of one asset's days."""
    return windows(timeframe, stretch, np.full(len(stretch), np.datetime64(since, "D")))


# Answers by hand


@pytest.mark.parametrize("line", ANSWERS, ids=lambda line: f"{line['timeframe']} {line['day']}")
def test_answer_by_hand(line: dict[str, str]) -> None:
    """Each day lies in the window of the answers, or in none."""
    window = windows_of(timeframe_of(line["timeframe"]), days(line["day"]), line["asset_since"])
    expected = [] if line["first"] == "none" else [(line["first"], line["last"])]
    assert bounds(window) == expected


def bounds(window: Windows) -> list[tuple[str, str]]:
    """The first and last day of each window that exists."""
    firsts = window.first[window.exists].astype(str).tolist()
    lasts = window.last[window.exists].astype(str).tolist()
    return list(zip(firsts, lasts, strict=True))


def test_answers_cover_each_default() -> None:
    """No default calendar timeframe is without an answer by hand; weeks of one length may have it in either scheme."""
    answered = {without_scheme(line["timeframe"]) for line in ANSWERS}
    calendar = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.unit is not Unit.DAY]
    assert answered >= {without_scheme(timeframe.tf) for timeframe in calendar}


def without_scheme(label: str) -> str:
    """A label without the scheme of its weeks."""
    return re.sub("_(US|ISO)$", "", label)


# Law 1: windows tile


@st.composite
def calendar_timeframes(draw: st.DrawFn) -> Timeframe:
    """Any calendar timeframe that the rules of bars.md allow."""
    alignment = draw(st.sampled_from(CALENDAR))
    unit = draw(st.sampled_from([Unit.WEEK, Unit.MONTH, Unit.YEAR]))
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    is_anchored_month = unit is Unit.MONTH and alignment is Alignment.ANCHORED
    lengths = st.sampled_from([1, 2, 3, 4, 6, 12]) if is_anchored_month else st.integers(1, 30)
    return Timeframe(draw(lengths), unit, alignment, scheme)


DATES = st.dates(pd.Timestamp("1900-01-01").date(), pd.Timestamp("2100-01-01").date()).map(str)


@settings(deadline=None)
@given(calendar_timeframes(), DATES, st.integers(1, 3000))
def test_windows_tile(timeframe: Timeframe, since: str, size: int) -> None:
    """Every day from the first window on lies in its own window, and each window begins where the last one ended."""
    stretch = np.datetime64(since, "D") + np.arange(size)
    laid = windows_of(timeframe, stretch, since)
    stretch = stretch[laid.exists]
    laid = laid.existing
    assert ((laid.first <= stretch) & (stretch <= laid.last)).all()
    steps = np.diff(laid.number)
    is_new = steps == 1
    assert (is_new | (steps == 0)).all()
    assert (laid.first[1:][is_new] == laid.last[:-1][is_new] + 1).all()
    assert (laid.first[1:][~is_new] == laid.first[:-1][~is_new]).all()
    assert (laid.last[1:][~is_new] == laid.last[:-1][~is_new]).all()


@settings(deadline=None)
@given(calendar_timeframes(), DATES, st.integers(0, 20_000))
def test_windows_begin_and_never_end(timeframe: Timeframe, since: str, later: int) -> None:
    """Anchored windows contain every day. Aligned ones contain all days except those of the unit of the listing."""
    stretch = np.datetime64(since, "D") + np.array([0, later])
    exists = windows_of(timeframe, stretch, since).exists
    if timeframe.alignment is Alignment.ANCHORED:
        assert exists.all()
    longest = {Unit.WEEK: 6, Unit.MONTH: 30, Unit.YEAR: 365}[timeframe.unit]
    assert exists[1] or later < longest


@settings(deadline=None)
@given(calendar_timeframes(), DATES)
def test_aligned_windows_begin_with_the_first_whole_unit(timeframe: Timeframe, since: str) -> None:
    """The first day of an aligned timeframe is the first day that any of its windows contains."""
    aligned = Timeframe(timeframe.quantity, timeframe.unit, Alignment.ALIGNED, timeframe.scheme)
    begin = first_day(aligned, days(since))
    stretch = np.datetime64(since, "D") + np.arange(800)
    laid = windows_of(aligned, stretch, since)
    assert stretch[laid.exists][0] == laid.first[laid.exists][0] == begin[0]


@settings(deadline=None)
@given(calendar_timeframes(), st.lists(DATES, min_size=1, max_size=30), st.data())
def test_days_do_not_affect_each_other(timeframe: Timeframe, dates: list[str], data: st.DataObject) -> None:
    """A day's window depends on the asset's first day and on no other day, in whatever order they come."""
    ages = [data.draw(st.integers(0, 5000)) for _ in dates]
    first_days = days(*dates) - np.array(ages)
    together = windows(timeframe, days(*dates), first_days)
    for position, date in enumerate(dates):
        alone = windows_of(timeframe, days(date), str(first_days[position]))
        assert together.exists[position] == alone.exists[0]
        if alone.exists[0]:
            window = together.first[position], together.last[position]
            assert window == (alone.first[0], alone.last[0])


@settings(deadline=None)
@given(calendar_timeframes(), DATES, DATES)
def test_anchored_windows_ignore_the_asset(timeframe: Timeframe, since: str, day: str) -> None:
    """Anchored windows of a day are the same for an asset of any age."""
    quantity = 12 if timeframe.unit is Unit.MONTH else timeframe.quantity
    anchored = Timeframe(quantity, timeframe.unit, Alignment.ANCHORED, timeframe.scheme)
    window, of_new_asset = windows_of(anchored, days(day), since), windows_of(anchored, days(day), day)
    assert window.exists[0]
    assert window.number[0] == of_new_asset.number[0]
    assert bounds(window) == bounds(of_new_asset)


# pandas as the oracle


@settings(deadline=None)
@given(
    st.sampled_from(list(PANDAS_PERIOD)), st.sampled_from(CALENDAR), DATES, st.lists(st.integers(0, 9000), max_size=30)
)
def test_single_units_equal_pandas(
    unit: tuple[Unit, Scheme | None], alignment: Alignment, since: str, offsets: list[int]
) -> None:
    """The windows of one week, month or year are pandas' periods; aligned ones from the first whole period on."""
    stretch = np.datetime64(since, "D") + np.array(offsets, np.int64)
    laid = windows_of(Timeframe(1, unit[0], alignment, unit[1]), stretch, since)
    periods = pd.DatetimeIndex(stretch).to_period(PANDAS_PERIOD[unit])
    exists = (periods.start_time >= pd.Timestamp(since)) | (alignment is Alignment.ANCHORED)
    assert list(laid.exists) == list(exists)
    assert list(laid.first[exists]) == list(periods.start_time[exists].to_numpy("M8[D]"))
    assert list(laid.last[exists]) == list(periods.end_time[exists].to_numpy("M8[D]"))


OFFSETS = {
    (Unit.WEEK, Scheme.US): lambda n: pd.offsets.Week(n, weekday=6),
    (Unit.WEEK, Scheme.ISO): lambda n: pd.offsets.Week(n, weekday=0),
    (Unit.MONTH, None): pd.offsets.MonthBegin,
    (Unit.YEAR, None): pd.offsets.YearBegin,
}


@settings(deadline=None)
@given(st.sampled_from(list(OFFSETS)), st.integers(1, 30), DATES, st.integers(0, 15_000))
def test_aligned_windows_equal_pandas_offsets(
    unit: tuple[Unit, Scheme | None], quantity: int, since: str, later: int
) -> None:
    """Aligned windows are pandas' offsets laid end to end from the first boundary on or after the listing."""
    day = pd.Timestamp(since) + pd.Timedelta(days=later)
    begin = OFFSETS[unit](1).rollforward(pd.Timestamp(since))
    laid = windows_of(Timeframe(quantity, unit[0], Alignment.ALIGNED, unit[1]), days(str(day.date())), since)
    assert laid.exists[0] == (day >= begin)
    if day >= begin:
        length = OFFSETS[unit](quantity)
        edges = pd.date_range(begin, periods=later // (7 * quantity) + 2, freq=length)
        number = edges.searchsorted(day, side="right") - 1
        last = (edges[number] + length).date() - pd.Timedelta(days=1)
        assert bounds(laid) == [(str(edges[number].date()), str(last))]
        assert laid.number[0] == number


# Errors and edges


def test_weeks_need_a_scheme() -> None:
    """Weeks without a scheme are an error that names the timeframe."""
    with pytest.raises(ValueError, match="1W_CAL counts weeks and needs a scheme"):
        windows_of(Timeframe(1, Unit.WEEK, Alignment.ALIGNED), days("2024-01-01"), "2024-01-01")


@pytest.mark.parametrize("label", ["1W_CAL_US", "1M_CAL", "1Y_CAL", "2W_CAL_ANCHOR_ISO", "2Y_CAL_ANCHOR"])
def test_no_days(label: str) -> None:
    """No days lie in no windows, in the usual types."""
    laid = windows_of(timeframe_of(label), days(), "2024-01-01")
    columns = [laid.exists, laid.number, laid.first, laid.last]
    assert [column.dtype.str[1:] for column in columns] == ["b1", "i8", "M8[D]", "M8[D]"]
    assert [len(column) for column in columns] == [0, 0, 0, 0]
