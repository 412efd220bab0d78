"""Which window holds a day: answers by hand, laws for every timeframe, and pandas as the oracle of single units."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import Alignment, Scheme
from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.core.window import windows

if TYPE_CHECKING:
    from refresh.core.rows import Array
    from refresh.core.window import Windows

ANSWERS = Path(__file__).parents[1] / "answers" / "windows.csv"
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


def read_answers() -> list[dict[str, str]]:
    """The lines of tests/answers/windows.csv."""
    lines = [line for line in ANSWERS.read_text().splitlines() if not line.startswith("#")]
    names, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines))
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize("line", read_answers(), ids=lambda line: f"{line['timeframe']} {line['day']}")
def test_answer_by_hand(line: dict[str, str]) -> None:
    """Each day lies in the window that stands in the answers, or in none."""
    found = windows_of(timeframe_of(line["timeframe"]), days(line["day"]), line["asset_since"])
    if line["first"] == "none":
        assert not found.exists[0]
    else:
        assert found.exists[0]
        assert [str(found.first[0]), str(found.last[0])] == [line["first"], line["last"]]


def test_answers_hold_each_default() -> None:
    """No default calendar timeframe is without an answer by hand, but for weeks of one kind in both schemes."""
    told = {re.sub("_(US|ISO)$", "", line["timeframe"]) for line in read_answers()}
    defaults = {re.sub("_(US|ISO)$", "", one.tf) for one in DEFAULT_TIMEFRAMES if one.unit is not Unit.DAY}
    assert told >= defaults


# Law 1: windows tile


@st.composite
def calendar_timeframes(draw: st.DrawFn) -> Timeframe:
    """Any calendar timeframe that the rules of bars.md allow."""
    alignment, unit = draw(st.sampled_from(CALENDAR)), draw(st.sampled_from([Unit.WEEK, Unit.MONTH, Unit.YEAR]))
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    divisors = st.sampled_from([1, 2, 3, 4, 6, 12])
    anchored_months = unit is Unit.MONTH and alignment is Alignment.ANCHORED
    return Timeframe(draw(divisors if anchored_months else st.integers(1, 30)), unit, alignment, scheme)


DATES = st.dates(pd.Timestamp("1900-01-01").date(), pd.Timestamp("2100-01-01").date()).map(str)


@settings(deadline=None)
@given(calendar_timeframes(), DATES, st.integers(1, 3000))
def test_windows_tile(timeframe: Timeframe, since: str, size: int) -> None:
    """Every day from the first window on lies in its own window, and each window begins where the last one ended."""
    stretch = np.datetime64(since, "D") + np.arange(size)
    found = windows_of(timeframe, stretch, since)
    first, last, number = found.first[found.exists], found.last[found.exists], found.number[found.exists]
    stretch = stretch[found.exists]
    assert ((first <= stretch) & (stretch <= last)).all()
    new = np.diff(number) == 1
    assert (new | (np.diff(number) == 0)).all()
    assert (first[1:][new] == last[:-1][new] + 1).all()
    assert (first[1:][~new] == first[:-1][~new]).all()
    assert (last[1:][~new] == last[:-1][~new]).all()


@settings(deadline=None)
@given(calendar_timeframes(), DATES, st.integers(0, 20_000))
def test_windows_begin_and_never_end(timeframe: Timeframe, since: str, later: int) -> None:
    """Anchored windows hold every day; aligned ones all days but those of the unit in which the asset was listed."""
    stretch = np.datetime64(since, "D") + np.array([0, later])
    found = windows_of(timeframe, stretch, since)
    longest = {Unit.WEEK: 6, Unit.MONTH: 30, Unit.YEAR: 365}[timeframe.unit]
    assert found.exists[1] or (timeframe.alignment is Alignment.ALIGNED and later < longest)


@settings(deadline=None)
@given(calendar_timeframes(), st.lists(DATES, min_size=1, max_size=30), st.data())
def test_a_day_is_placed_by_itself(timeframe: Timeframe, dates: list[str], data: st.DataObject) -> None:
    """A day's window depends on the asset's first day and on no other day, in whatever order they come."""
    back = st.integers(0, 5000)
    listed = np.array([np.datetime64(date, "D") - data.draw(back) for date in dates])
    together = windows(timeframe, days(*dates), listed)
    for place, date in enumerate(dates):
        alone = windows_of(timeframe, days(date), str(listed[place]))
        assert together.exists[place] == alone.exists[0]
        if alone.exists[0]:
            assert (together.first[place], together.last[place]) == (alone.first[0], alone.last[0])


@settings(deadline=None)
@given(calendar_timeframes(), DATES, DATES)
def test_anchored_windows_ignore_the_asset(timeframe: Timeframe, since: str, day: str) -> None:
    """Anchored windows of a day are the same for an asset of any age."""
    anchored = Timeframe(12 if timeframe.unit is Unit.MONTH else timeframe.quantity, timeframe.unit,
                         Alignment.ANCHORED, timeframe.scheme)  # fmt: skip
    one, other = windows_of(anchored, days(day), since), windows_of(anchored, days(day), day)
    assert (one.exists[0], one.number[0], one.first[0]) == (True, other.number[0], other.first[0])


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
    found = windows_of(Timeframe(1, unit[0], alignment, unit[1]), stretch, since)
    periods = pd.DatetimeIndex(stretch).to_period(PANDAS_PERIOD[unit])
    exists = (periods.start_time >= pd.Timestamp(since)) | (alignment is Alignment.ANCHORED)
    assert list(found.exists) == list(exists)
    assert list(found.first[exists]) == list(periods.start_time[exists].to_numpy("M8[D]"))
    assert list(found.last[exists]) == list(periods.end_time[exists].to_numpy("M8[D]"))


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
    found = windows_of(Timeframe(quantity, unit[0], Alignment.ALIGNED, unit[1]), days(str(day.date())), since)
    assert found.exists[0] == (day >= begin)
    if day >= begin:
        edges = pd.date_range(begin, periods=later // (7 * quantity) + 2, freq=OFFSETS[unit](quantity))
        place = edges.searchsorted(day, side="right") - 1
        assert [str(found.first[0]), int(found.number[0])] == [str(edges[place].date()), place]
        assert str(found.last[0]) == str((edges[place] + OFFSETS[unit](quantity)).date() - pd.Timedelta(days=1))


# Errors and edges


def test_weeks_need_a_scheme() -> None:
    """Weeks that begin on no known weekday are an error that names the timeframe."""
    with pytest.raises(ValueError, match="1W_CAL counts weeks and needs a scheme"):
        windows_of(Timeframe(1, Unit.WEEK, Alignment.ALIGNED), days("2024-01-01"), "2024-01-01")


@pytest.mark.parametrize("label", ["1W_CAL_US", "1M_CAL", "1Y_CAL", "2W_CAL_ANCHOR_ISO", "2Y_CAL_ANCHOR"])
def test_no_days(label: str) -> None:
    """No days lie in no windows, in the usual types."""
    found = windows_of(timeframe_of(label), days(), "2024-01-01")
    assert [part.dtype.str[1:] for part in (found.exists, found.number, found.first, found.last)] == [
        "b1", "i8", "M8[D]", "M8[D]",
    ]  # fmt: skip
    assert [len(part) for part in (found.exists, found.number, found.first, found.last)] == [0, 0, 0, 0]
