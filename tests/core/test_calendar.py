"""Calendars: how they are written, what they count, and what bars teach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.core.calendar import OPEN, Calendar, Traded, is_surely_open, of_sessions, read_week, shown, written
from refresh.core.sessions import Sessions, sessions_of, traded, with_missing_sessions

WORKDAYS = Calendar(0b0011111)
DAY = timedelta(days=1)
day_numbers = st.integers(-40_000, 60_000)
weeks = st.integers(1, 127)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Weekdays, with some days closed and some opened near 1970."""
    week = draw(weeks)
    days = draw(st.sets(st.integers(-60, 60)))
    exceptions = sorted(days)
    is_open = [bool(week >> (day + 3) % 7 & 1) for day in exceptions]
    closed = tuple(day for day, regular in zip(exceptions, is_open, strict=True) if regular)
    opened = tuple(day for day, regular in zip(exceptions, is_open, strict=True) if not regular)
    return Calendar(week, closed, opened)


def is_session(calendar: Calendar, day: int) -> bool:
    """Whether a day is a session, by its weekday as Python names it."""
    regular = bool(calendar.week >> (datetime(1970, 1, 1, tzinfo=UTC) + day * DAY).weekday() & 1)
    return (regular and day not in calendar.closed) or day in calendar.opened


@given(calendar=calendars(), first=st.integers(-90, 90), length=st.integers(0, 60))
def test_sessions_are_counted(calendar: Calendar, first: int, length: int) -> None:
    """The difference of two counts is the number of sessions in between."""
    number = calendar.before(first + length) - calendar.before(first)
    assert number == sum(is_session(calendar, day) for day in range(first, first + length))


@given(calendar=calendars(), days=st.lists(st.tuples(st.integers(-90, 90), st.integers(0, 90)), min_size=1))
def test_arrays_count_the_same(calendar: Calendar, days: list[tuple[int, int]]) -> None:
    """Arrays of days of several assets are counted as single days are; an asset without a calendar has all days."""
    first = np.array([day for day, _ in days]).astype("M8[D]")
    last = first + np.array([length for _, length in days])
    ids = np.arange(len(days)) % 2
    expected = []
    for id, (day, length) in zip(ids, days, strict=True):
        expected.append(calendar.before(day + length) - calendar.before(day) if id else length)
    assert Sessions({1: calendar}).between(ids, first, last).tolist() == expected


@given(week=weeks, first=day_numbers, length=st.integers(0, 500))
def test_weekdays_equal_numpys_business_days(week: int, first: int, length: int) -> None:
    """Weekdays alone are counted as numpy counts business days."""
    mask = [bool(week >> day & 1) for day in range(7)]
    begin = np.array([first]).astype("M8[D]")
    expected = np.busday_count(begin, begin + length, weekmask=mask)
    assert Sessions({1: Calendar(week)}).between(np.array([1]), begin, begin + length) == expected


@given(calendar=calendars(), day=st.integers(-90, 90))
def test_nearest_sessions(calendar: Calendar, day: int) -> None:
    """The first session from a day on, and the last one up to it."""
    ids, days, wanted = np.array([1, 2]), np.array([day, day]).astype("M8[D]"), np.array([True, True])
    sessions = Sessions({1: calendar})
    later = next(later for later in range(day, day + 900) if is_session(calendar, later))
    earlier = next(earlier for earlier in range(day, day - 900, -1) if is_session(calendar, earlier))
    assert sessions.first_from(ids, days, wanted).astype(int).tolist() == [later, day]
    assert sessions.last_to(ids, days, wanted).astype(int).tolist() == [earlier, day]
    assert sessions.last_to(ids, days, ~wanted).astype(int).tolist() == [day, day]


@given(week=weeks)
def test_weekdays_as_text(week: int) -> None:
    """Weekdays are read as they are written, in any case."""
    assert read_week(written(week)) == read_week(written(week).upper()) == Calendar(week)


@pytest.mark.parametrize(
    ("text", "week"),
    [
        ("24/7", 127),
        ("Mon-Fri", 31),
        (" mon - fri ", 31),
        ("Sun-Thu", 0b1001111),
        ("Sat-Wed", 0b1100111),
        ("Mon,Wed,Fri", 0b0010101),
        ("Mon-Tue, Fri", 0b0010011),
        ("Mon-Fri (learned)", 31),
        ("Fri", 16),
    ],
)
def test_weekdays(text: str, week: int) -> None:
    """Ranges may pass Sunday."""
    assert read_week(text) == Calendar(week)


@pytest.mark.parametrize("text", ["XNYS", "", "Mon-", "Monday", "Mon Fri", "auto", "24/5", "Mon-Xyz", "Mon,,Fri"])
def test_what_is_no_weekday(text: str) -> None:
    """Anything else is no list of weekdays."""
    assert read_week(text) is None


@pytest.mark.parametrize(
    ("week", "text"),
    [(127, "24/7"), (31, "Mon-Fri"), (0b1001111, "Sun-Thu"), (0b0010101, "Mon,Wed,Fri"), (3, "Mon-Tue")],
)
def test_writing_weekdays(week: int, text: str) -> None:
    """Weekdays are written as ranges, from the first one after a closed day on."""
    assert written(week) == text


def test_shown() -> None:
    """People are not shown the digest of a market's sessions."""
    names = [None, "Mon-Fri", "Mon-Fri (learned)", "XNYS 42e86c0a"]
    assert [shown(name) for name in names] == ["24/7", "Mon-Fri", "Mon-Fri (learned)", "XNYS"]


def test_exceptions_of_weekdays() -> None:
    """What differs from the weekdays is closed or opened; outside of the known days weekdays are sessions."""
    thursday, friday, saturday, monday = range(3), 1, 2, 4
    assert of_sessions([0, saturday, monday], 0b0011111, thursday[0], monday) == Calendar(31, (friday,), (saturday,))


# Learning


@given(days=st.sets(st.integers(18_000, 18_200), min_size=1))
def test_what_bars_teach(days: set[int]) -> None:
    """A weekday is closed if it has no bar, and the bars span eight weeks."""
    rows = {"id": np.full(len(days), 7), "day": np.array(sorted(days)).astype("M8[D]")}
    with_bars = {(day + 3) % 7 for day in days}
    is_long = max(days) - min(days) >= 55
    expected = sum(1 << day for day in with_bars) if is_long else 127
    assert sessions_of(rows, {}).calendars == {7: Calendar(expected)}
    assert sessions_of(rows, {7: WORKDAYS}).calendars == {7: WORKDAYS}


def test_eight_weeks() -> None:
    """From Monday to the Sunday eight weeks later are 56 days; one less teaches nothing."""
    assert [Traded(weekdays=31, first=4, last=last).calendar for last in (4 + 54, 4 + 55)] == [OPEN, WORKDAYS]


@given(days=st.sets(st.integers(18_000, 18_120), min_size=1), spare=st.integers(0, 2))
def test_number_of_bars_tells(days: set[int], spare: int) -> None:
    """What is concluded from the number of bars alone is never wrong."""
    span = max(days) - min(days) + 1
    if is_surely_open(len(days), span - spare, span + 2 - spare):
        bars = {"id": np.full(len(days), 1), "day": np.array(sorted(days)).astype("M8[D]")}
        assert traded(bars)[1].calendar.is_always_open


def test_few_gaps_need_no_look() -> None:
    """A year with a dozen gaps, or less than eight weeks, are known to be open without looking at the days."""
    assert is_surely_open(353, 364, 367)
    assert is_surely_open(30, 40, 42)
    assert not is_surely_open(261, 364, 367)


# Daily bars


def test_missing_sessions_of_daily_bars() -> None:
    """Days without a bar are counted since the bar before, which may be before the stretch."""
    friday, monday, wednesday = (np.datetime64(day, "D") for day in ("2024-01-05", "2024-01-08", "2024-01-10"))
    bars = {"id": np.array([1, 1, 2, 3]), "day": np.array([monday, wednesday, monday, monday])}
    before = {"id": np.array([1, 2, 4]), "day": np.array([friday, friday - 1, friday])}
    counted = with_missing_sessions(bars, before, Sessions({1: WORKDAYS, 2: WORKDAYS, 3: WORKDAYS}))
    assert counted["count_missing_days"].tolist() == [0, 1, 1, 0]
    assert counted["is_missing_days"].tolist() == [False, True, True, False]


# Time


@pytest.mark.parametrize(
    ("since", "until", "elapsed"),
    [
        ("2024-01-05T21:00", "2024-01-07T21:00", timedelta(0)),  # Friday to Sunday
        ("2024-01-05T21:00", "2024-01-08T21:00", DAY),
        ("2024-01-05T21:00", "2024-01-08T01:00", timedelta(hours=4)),
        ("2024-01-04T21:00", "2024-01-05T20:00", timedelta(hours=23)),
        ("2024-01-06T21:00", "2024-01-09T21:00", 2 * DAY),  # from a closed day on
        ("2024-01-08T21:00", "2024-01-05T21:00", -3 * DAY),
    ],
)
def test_elapsed_time(since: str, until: str, elapsed: timedelta) -> None:
    """Closed days do not count; without any, all time does."""
    begin, end = (datetime.fromisoformat(f"{time}+00:00") for time in (since, until))
    assert WORKDAYS.elapsed(begin, end) == elapsed
    assert OPEN.elapsed(begin, end) == end - begin


def test_elapsed_time_in_a_zone() -> None:
    """A day starts in the time zone: midnight of Monday in Tokyo is Sunday in UTC."""
    tokyo = ZoneInfo("Asia/Tokyo")
    friday, monday = (datetime(2024, 1, day, tzinfo=tokyo).astimezone(UTC) for day in (5, 8))
    assert WORKDAYS.elapsed(friday, monday, tokyo) == DAY
