"""Which assets are recomputed on which day, and the words of a finding."""

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
    table="cmc_ema_multi_tf_v2",
    id=52,
    tf="7D",
    period=10,
    time=datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC),
    expected="ema 1.5",
    found="ema None",
)


def days(number: int, first: date = DAY) -> list[date]:
    """Days in a row."""
    return [first + timedelta(days=day) for day in range(number)]


# The sample


@pytest.mark.parametrize("number", [5, 6, 1000])
def test_sample_of_all(number: int) -> None:
    """A sample of all assets, or more, has each asset once, in order."""
    assert sample((1, 52, 74, 825, 1027), number, DAY) == (1, 52, 74, 825, 1027)


@pytest.mark.parametrize("ids", [(), (1,), (1, 2, 3)], ids=len)
def test_sample_of_none(ids: tuple[int, ...]) -> None:
    """A sample of no assets is empty."""
    assert sample(ids, 0, DAY) == ()


@pytest.mark.parametrize("number", [0, 1, 5])
def test_sample_without_assets(number: int) -> None:
    """Without assets the sample is empty."""
    assert sample((), number, DAY) == ()


def test_days_follow_each_other() -> None:
    """Each day continues after the day before, and begins again at the end."""
    samples = [sample((10, 20, 30, 40, 50), 2, day) for day in days(6, date(1, 1, 5))]
    assert samples == [(10, 20), (30, 40), (10, 50), (20, 30), (40, 50), (10, 20)]


@given(size=st.integers(1, 60), number=st.integers(1, 60), day=st.dates(date(1970, 1, 1), date(2200, 1, 1)))
def test_all_come_round(size: int, number: int, day: date) -> None:
    """Each day has ``number`` assets, each once and in order; none waits longer than a round, none comes early."""
    ids = tuple(range(100, 100 + 3 * size, 3))
    rounds = math.ceil(size / number)
    samples = [sample(ids, number, date) for date in days(rounds, day)]
    assert {len(chosen) for chosen in samples} == {min(number, size)}
    assert all(chosen == tuple(sorted(set(chosen))) for chosen in samples)
    times = Counter(id for chosen in samples for id in chosen)
    assert set(times) == set(ids)
    assert max(times.values()) - min(times.values()) <= 1


@given(size=st.integers(1, 40), number=st.integers(1, 40))
def test_all_assets_come_equally_often(size: int, number: int) -> None:
    """Over as many days as there are assets, every asset has been recomputed as often as any other."""
    ids = tuple(range(size))
    times = Counter(id for day in days(size) for id in sample(ids, number, day))
    assert set(times.values()) == {min(number, size)}


def test_a_day_has_one_sample() -> None:
    """The sample of a day is always the same."""
    assert sample(range(100), 7, DAY) == sample(range(100), 7, DAY)


# The words of a finding


def test_words_name_everything() -> None:
    """Table, asset, timeframe, period, time, and both sides."""
    assert WRONG.words == (
        "cmc_ema_multi_tf_v2: id 52, tf 7D, period 10, from 2024-02-29 23:59:59Z on: expected ema 1.5, found ema None"
    )


@pytest.mark.parametrize(
    ("finding", "location"),
    [
        (replace(WRONG, period=None), "id 52, tf 7D, from 2024-02-29 23:59:59Z on"),
        (replace(WRONG, period=None, tf=None), "id 52, from 2024-02-29 23:59:59Z on"),
        (replace(WRONG, time=None), "id 52, tf 7D, period 10"),
        (replace(WRONG, time=None, tf=None, period=None), "id 52"),
    ],
    ids=["bars", "daily", "series", "asset"],
)
def test_words_leave_out_what_is_absent(finding: Finding, location: str) -> None:
    """A daily bar has no timeframe to name, a bar no period, a whole table no time."""
    assert finding.location == f"cmc_ema_multi_tf_v2: {location}"
