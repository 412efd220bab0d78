"""Timeframes: labels, families, the rows of ``dim_timeframe``, and what short forms pick."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import ALIGNED_ISO, ALIGNED_US, ANCHORED_ISO, ANCHORED_US, ROLLING, Alignment, Family, Scheme
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Dimension, Timeframe, Unit, dimension, nearest, parse, select
from refresh.errors import DimensionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

FAMILIES = [ROLLING, ALIGNED_US, ALIGNED_ISO, ANCHORED_US, ANCHORED_ISO]


def row_of(tf: str, quantity: int, unit: str, days: int, alignment: str, scheme: str | None = None) -> Dimension:
    """A row of ``dim_timeframe``, right or wrong."""
    return Dimension(tf, unit, quantity, days, alignment, scheme, is_enabled=True, sort_order=1)


def labels(timeframes: Sequence[Timeframe]) -> list[str]:
    """The labels, in order."""
    return [timeframe.tf for timeframe in timeframes]


@st.composite
def valid_timeframes(draw: st.DrawFn) -> Timeframe:
    """Any timeframe that the rules of bars.md allow."""
    unit, alignment = draw(st.sampled_from(Unit)), draw(st.sampled_from([Alignment.ALIGNED, Alignment.ANCHORED]))
    if unit is Unit.DAY:
        alignment = Alignment.ROLLING
    if unit is Unit.MONTH and alignment is Alignment.ANCHORED:
        return Timeframe(draw(st.sampled_from([1, 2, 3, 4, 6, 12])), unit, alignment)
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    return Timeframe(draw(st.integers(1, 2000)), unit, alignment, scheme)


# Labels and lengths


@pytest.mark.parametrize(
    ("timeframe", "tf", "short", "days_nominal"),
    [
        (Timeframe(7, Unit.DAY, Alignment.ROLLING), "7D", "7D", 7),
        (Timeframe(365, Unit.DAY, Alignment.ROLLING), "365D", "365D", 365),
        (Timeframe(2, Unit.WEEK, Alignment.ALIGNED, Scheme.US), "2W_CAL_US", "2W", 14),
        (Timeframe(1, Unit.WEEK, Alignment.ALIGNED, Scheme.ISO), "1W_CAL_ISO", "1W", 7),
        (Timeframe(4, Unit.WEEK, Alignment.ANCHORED, Scheme.ISO), "4W_CAL_ANCHOR_ISO", "4W", 28),
        (Timeframe(3, Unit.MONTH, Alignment.ALIGNED), "3M_CAL", "3M", 90),
        (Timeframe(12, Unit.MONTH, Alignment.ANCHORED), "12M_CAL_ANCHOR", "12M", 360),
        (Timeframe(1, Unit.YEAR, Alignment.ALIGNED), "1Y_CAL", "1Y", 365),
        (Timeframe(2, Unit.YEAR, Alignment.ANCHORED), "2Y_CAL_ANCHOR", "2Y", 730),
    ],
)
def test_label_and_length(timeframe: Timeframe, tf: str, short: str, days_nominal: int) -> None:
    """A timeframe spells its label and short form and knows its nominal days."""
    assert (timeframe.tf, timeframe.short, timeframe.days_nominal) == (tf, short, days_nominal)


# The defaults, written out from the table of bars.md

CALENDAR_UNITS = ("1M", "2M", "3M", "6M", "12M", "1Y")
DEFAULTS = {
    ROLLING: "2D 3D 4D 5D 7D 10D 14D 21D 28D 30D 45D 60D 90D 180D 365D",
    ALIGNED_US: "1W_CAL_US 2W_CAL_US 4W_CAL_US 1M_CAL 2M_CAL 3M_CAL 6M_CAL 12M_CAL 1Y_CAL",
    ALIGNED_ISO: "1W_CAL_ISO 2W_CAL_ISO 4W_CAL_ISO 1M_CAL 2M_CAL 3M_CAL 6M_CAL 12M_CAL 1Y_CAL",
    ANCHORED_US: "1W_CAL_ANCHOR_US 2W_CAL_ANCHOR_US 4W_CAL_ANCHOR_US 1M_CAL_ANCHOR 2M_CAL_ANCHOR 3M_CAL_ANCHOR "
    "6M_CAL_ANCHOR 12M_CAL_ANCHOR 1Y_CAL_ANCHOR",
    ANCHORED_ISO: "1W_CAL_ANCHOR_ISO 2W_CAL_ANCHOR_ISO 4W_CAL_ANCHOR_ISO 1M_CAL_ANCHOR 2M_CAL_ANCHOR 3M_CAL_ANCHOR "
    "6M_CAL_ANCHOR 12M_CAL_ANCHOR 1Y_CAL_ANCHOR",
}


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_defaults_of_each_family(family: Family) -> None:
    """The default timeframes of a family are those of bars.md, in its order."""
    assert labels([one for one in DEFAULT_TIMEFRAMES if one.belongs_to(family)]) == DEFAULTS[family].split()


def test_defaults_are_distinct_and_have_a_family() -> None:
    """No label stands twice among the defaults, and each belongs to at least one table."""
    assert set(labels(DEFAULT_TIMEFRAMES)) == {label for row in DEFAULTS.values() for label in row.split()}
    assert len(set(labels(DEFAULT_TIMEFRAMES))) == len(DEFAULT_TIMEFRAMES)


def test_default_periods() -> None:
    """The default periods are those of emas.md."""
    assert DEFAULT_PERIODS == (10, 14, 20, 30, 50, 100, 200)


def test_months_and_years_serve_both_schemes() -> None:
    """A month belongs to the US and the ISO table of its alignment, a week to one of them."""
    month, week = Timeframe(1, Unit.MONTH, Alignment.ALIGNED), Timeframe(1, Unit.WEEK, Alignment.ALIGNED, Scheme.US)
    assert [family for family in FAMILIES if month.belongs_to(family)] == [ALIGNED_US, ALIGNED_ISO]
    assert [family for family in FAMILIES if week.belongs_to(family)] == [ALIGNED_US]


# The rows of dim_timeframe


@settings(deadline=None)
@given(valid_timeframes(), st.integers(0, 99))
def test_a_row_becomes_its_timeframe(timeframe: Timeframe, sort_order: int) -> None:
    """The row of any valid timeframe parses back to that timeframe."""
    row = dimension(timeframe, sort_order)
    assert parse(row) == timeframe
    assert (row.sort_order, row.is_enabled) == (sort_order, True)


@settings(deadline=None)
@given(valid_timeframes(), valid_timeframes())
def test_a_label_names_one_timeframe(one: Timeframe, other: Timeframe) -> None:
    """Two timeframes have the same label only where they are the same."""
    assert (one.tf == other.tf) == (one == other)


def test_a_disabled_row_is_checked_too() -> None:
    """A row that is switched off still parses; who uses it decides."""
    row = replace(dimension(DEFAULT_TIMEFRAMES[0], 1), is_enabled=False)
    assert parse(row) == DEFAULT_TIMEFRAMES[0]


NINE_MONTHS = row_of("9M_CAL_ANCHOR", 9, "M", 270, "anchored")
BROKEN = [
    (NINE_MONTHS, ["anchored months", "9", "1, 2, 3, 4, 6 or 12"]),
    (row_of("24M_CAL_ANCHOR", 24, "M", 720, "anchored"), ["anchored months", "24"]),
    (row_of("0D", 0, "D", 0, "rolling"), ["tf_qty", "at least 1", "0"]),
    (row_of("0M_CAL_ANCHOR", 0, "M", 0, "anchored"), ["tf_qty", "at least 1"]),
    (row_of("-1D", -1, "D", -1, "rolling"), ["tf_qty", "at least 1", "-1"]),
    (row_of("5D_CAL", 5, "D", 5, "aligned"), ["rolling timeframes count days"]),
    (row_of("1W_US", 1, "W", 7, "rolling", "US"), ["rolling timeframes count days"]),
    (row_of("1W_CAL", 1, "W", 7, "aligned"), ["calendar_scheme", "US or ISO"]),
    (row_of("1M_CAL_US", 1, "M", 30, "aligned", "US"), ["calendar_scheme"]),
    (row_of("7D_US", 7, "D", 7, "rolling", "US"), ["calendar_scheme"]),
    (row_of("1Q_CAL", 1, "Q", 90, "aligned"), ["'Q'"]),
    (row_of("1M_CAL", 1, "M", 30, "sliding"), ["'sliding'"]),
    (row_of("1W_CAL_UK", 1, "W", 7, "aligned", "UK"), ["'UK'"]),
    (row_of("7d", 7, "D", 7, "rolling"), ["tf is '7d'", "'7D'"]),
    (row_of("1Y_CAL", 1, "Y", 366, "aligned"), ["tf_days_nominal", "366", "365"]),
]


@pytest.mark.parametrize(("row", "facts"), BROKEN, ids=[row.tf for row, _ in BROKEN])
def test_a_broken_row_is_refused(row: Dimension, facts: list[str]) -> None:
    """A row that breaks a rule is an error that names the row, what is wrong, and the way out."""
    with pytest.raises(DimensionError) as caught:
        parse(row)
    message = str(caught.value)
    assert message.startswith(f"dim_timeframe row {row.tf!r}: ")
    assert message.endswith("; correct or delete the row")
    assert [fact for fact in facts if fact not in message] == []


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (row_of("three quarters", 9, "M", 270, "anchored"), "9"),
        (row_of("1M_CAL", 1, "M", 30, "aligned", "US"), "US"),
        (row_of("1M_CAL", 0, "M", 30, "aligned"), "0"),
    ],
    ids=["label of its own", "scheme too many", "quantity 0"],
)
def test_a_broken_row_is_named_as_the_table_spells_it(row: Dimension, value: str) -> None:
    """The message names the row by its key, whatever its label should have been, and then the wrong value."""
    with pytest.raises(DimensionError) as caught:
        parse(row)
    name, _, fault = str(caught.value).partition(": ")
    assert name == f"dim_timeframe row {row.tf!r}"
    assert value in fault


# What names pick


@pytest.mark.parametrize(
    ("wanted", "picked"),
    [
        (["7D"], ["7D"]),
        (["7d"], ["7D"]),
        (["3M"], ["3M_CAL", "3M_CAL_ANCHOR"]),
        (["3m_cal"], ["3M_CAL"]),
        (["1w"], ["1W_CAL_US", "1W_CAL_ISO", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO"]),
        (["1W_Cal_Anchor_Iso"], ["1W_CAL_ANCHOR_ISO"]),
        (["12m", "1y"], ["12M_CAL", "1Y_CAL", "12M_CAL_ANCHOR", "1Y_CAL_ANCHOR"]),
        (["10d", "2D", "10D"], ["2D", "10D"]),
        ([], []),
    ],
)
def test_names_pick_timeframes(wanted: list[str], picked: list[str]) -> None:
    """Labels and short forms pick, in any case and order, each timeframe once and in the order of the table."""
    assert labels(select(wanted, DEFAULT_TIMEFRAMES)) == picked


@settings(deadline=None)
@given(st.lists(st.sampled_from(DEFAULT_TIMEFRAMES), max_size=6), st.randoms(use_true_random=False))
def test_labels_in_any_case_pick_themselves(wanted: list[Timeframe], random: Random) -> None:
    """Full labels pick exactly the timeframes that they name."""
    names = ["".join(random.choice([letter.lower(), letter]) for letter in one.tf) for one in wanted]
    assert select(names, DEFAULT_TIMEFRAMES) == tuple(one for one in DEFAULT_TIMEFRAMES if one in wanted)


@pytest.mark.parametrize(
    ("name", "near"),
    [("6W", "4W"), ("9m", "6M"), ("3M_CAL_ANCHR", "3M_CAL_ANCHOR"), ("366D", "365D"), ("1W_US", "1W_CAL_US")],
)
def test_a_name_that_picks_nothing(name: str, near: str) -> None:
    """A name that no timeframe answers to is an error with the option, the name and the nearest labels."""
    with pytest.raises(UsageError) as caught:
        select(["7d", name], DEFAULT_TIMEFRAMES)
    message = str(caught.value)
    assert message.startswith(f"--tfs {name}: no such timeframe")
    assert near in message.partition("nearest: ")[2].split(", ")


@pytest.mark.parametrize(
    ("name", "near"),
    [("9d", "5D, 7D, 10D"), ("400D", "90D, 180D, 365D"), ("3w", "1W, 2W, 4W"), ("8m", "3M, 6M, 12M")],
)
def test_the_nearest_lengths(name: str, near: str) -> None:
    """For a length that does not exist, the three of its unit that are nearest in days, the shortest first."""
    with pytest.raises(UsageError, match=f"nearest: {near}$"):
        select([name], DEFAULT_TIMEFRAMES)


def test_the_nearest_lengths_of_other_units() -> None:
    """Where no builder of the run counts in that unit, days decide: three weeks are 21 of them."""
    rolling = [one for one in DEFAULT_TIMEFRAMES if one.belongs_to(ROLLING)]
    with pytest.raises(UsageError, match=r"nearest: 14D, 21D, 28D$"):
        select(["3w"], rolling)


@pytest.mark.parametrize("name", ["", "D", "7", "07D", "7D ", "7D_CAL", "*"])
def test_a_name_is_never_guessed(name: str) -> None:
    """What is neither a label nor a short form picks nothing."""
    with pytest.raises(UsageError, match="no such timeframe"):
        select([name], DEFAULT_TIMEFRAMES)


def test_only_the_given_timeframes_are_offered() -> None:
    """The nearest labels are those of the builders being run, and no others."""
    rolling = [one for one in DEFAULT_TIMEFRAMES if one.belongs_to(ROLLING)]
    with pytest.raises(UsageError) as caught:
        select(["3M_CAL"], rolling)
    assert "CAL" not in str(caught.value).partition("nearest: ")[2]


@pytest.mark.parametrize(
    ("value", "valid", "said"),
    [
        ("7x", ["7D", "365D"], "nearest: 7D"),
        ("zzz", ["C", "A", "D", "B"], "nearest: A, B, C"),
        ("7x", [], "none is enabled"),
    ],
)
def test_nearest(value: str, valid: list[str], said: str) -> None:
    """The nearest spellings, or the first ones where none is near, or that there are none."""
    assert nearest(value, valid) == said
