"""Which assets are computed anew on which day, and how findings are told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.validate.finding import Finding, sample

DAY = date(2024, 3, 1)
WRONG = Finding(
    "cmc_ema_multi_tf_v2",
    52,
    "7D",
    10,
    datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC),
    "ema 1.5",
    "ema None",
)


def days(number: int, first: date = DAY) -> list[date]:
    """So many days in a row."""
    return [first + timedelta(days=day) for day in range(number)]


# The sample


@pytest.mark.parametrize("number", [5, 6, 1000])
def test_as_many_as_there_are_is_everybody(number: int) -> None:
    """Who asks for all of them, or more, gets each once, in order."""
    assert sample((1, 52, 74, 825, 1027), number, DAY) == (1, 52, 74, 825, 1027)


@pytest.mark.parametrize("ids", [(), (1,), (1, 2, 3)], ids=len)
def test_none_is_nobody(ids: tuple[int, ...]) -> None:
    """Who asks for none gets none."""
    assert sample(ids, 0, DAY) == ()


@pytest.mark.parametrize("number", [0, 1, 5])
def test_nobody_to_choose_from(number: int) -> None:
    """Without assets there is no sample."""
    assert sample((), number, DAY) == ()


def test_days_follow_each_other() -> None:
    """Each day goes on where the one before ended, and begins again at the end."""
    found = [sample((10, 20, 30, 40, 50), 2, day) for day in days(6, date(1, 1, 5))]
    assert found == [(10, 20), (30, 40), (10, 50), (20, 30), (40, 50), (10, 20)]


@given(size=st.integers(1, 60), number=st.integers(1, 60), day=st.dates(date(1970, 1, 1), date(2200, 1, 1)))
def test_all_come_round(size: int, number: int, day: date) -> None:
    """Each day as many as asked for, each once and in order; nobody waits longer than it takes, nobody comes early."""
    ids = tuple(range(100, 100 + 3 * size, 3))
    rounds = math.ceil(size / number)
    found = [sample(ids, number, each) for each in days(rounds, day)]
    assert {len(each) for each in found} == {min(number, size)}
    assert all(each == tuple(sorted(set(each))) for each in found)
    often = Counter(id for each in found for id in each)
    assert set(often) == set(ids)
    assert max(often.values()) - min(often.values()) <= 1


@given(size=st.integers(1, 40), number=st.integers(1, 40))
def test_everybody_comes_equally_often(size: int, number: int) -> None:
    """Over as many days as there are assets, each has been computed anew as often as any other."""
    ids = tuple(range(size))
    often = Counter(id for day in days(size) for id in sample(ids, number, day))
    assert set(often.values()) == {min(number, size)}


def test_a_day_has_one_sample() -> None:
    """Asked twice on one day, the answer is the same."""
    assert sample(range(100), 7, DAY) == sample(range(100), 7, DAY)


# The words of a finding


def test_words_name_everything() -> None:
    """Table, asset, timeframe, period, time, and both sides."""
    assert WRONG.words == (
        "cmc_ema_multi_tf_v2: id 52, tf 7D, period 10, from 2024-02-29 23:59:59Z on: expected ema 1.5, found ema None"
    )


@pytest.mark.parametrize(
    ("finding", "place"),
    [
        (replace(WRONG, period=None), "id 52, tf 7D, from 2024-02-29 23:59:59Z on"),
        (replace(WRONG, period=None, tf=None), "id 52, from 2024-02-29 23:59:59Z on"),
        (replace(WRONG, at=None), "id 52, tf 7D, period 10"),
        (replace(WRONG, at=None, tf=None, period=None), "id 52"),
    ],
    ids=["bars", "daily", "series", "asset"],
)
def test_words_leave_out_what_there_is_not(finding: Finding, place: str) -> None:
    """A daily bar has no timeframe to name, a bar no period, a whole table no time."""
    assert finding.place == f"cmc_ema_multi_tf_v2: {place}"
