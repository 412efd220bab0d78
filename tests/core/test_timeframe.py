"""Timeframes: labels, lengths, families, the defaults, and the rules."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from core.timeframes import valid_timeframes
from hypothesis import given, settings

from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe, Unit, broken_rule
from refresh.families import ALIGNED_ISO, ALIGNED_US, ANCHORED_ISO, ANCHORED_US, ROLLING, Alignment, Family, Scheme

FAMILIES = [ROLLING, ALIGNED_US, ALIGNED_ISO, ANCHORED_US, ANCHORED_ISO]


def labels(timeframes: Iterable[Timeframe]) -> list[str]:
    """The labels, in order."""
    return [timeframe.tf for timeframe in timeframes]


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
    """A timeframe has a label, a short form and a number of nominal days."""
    assert (timeframe.tf, timeframe.short, timeframe.days_nominal) == (tf, short, days_nominal)


@settings(deadline=None)
@given(valid_timeframes(), valid_timeframes())
def test_a_label_names_a_single_timeframe(first: Timeframe, second: Timeframe) -> None:
    """Two timeframes have the same label only if they are the same."""
    assert (first.tf == second.tf) == (first == second)


# The defaults, written out from the table of bars.md

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
    own = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.belongs_to(family)]
    assert labels(own) == DEFAULTS[family].split()


def test_defaults_are_distinct_and_have_a_family() -> None:
    """No label is twice among the defaults, and each belongs to at least one table."""
    assert set(labels(DEFAULT_TIMEFRAMES)) == set(" ".join(DEFAULTS.values()).split())
    assert len(set(labels(DEFAULT_TIMEFRAMES))) == len(DEFAULT_TIMEFRAMES)


def test_default_periods() -> None:
    """The default periods are those of emas.md."""
    assert DEFAULT_PERIODS == (10, 14, 20, 30, 50, 100, 200)


def test_months_and_years_serve_both_schemes() -> None:
    """A month belongs to the US and the ISO table of its alignment, a week to one of them."""
    month = Timeframe(1, Unit.MONTH, Alignment.ALIGNED)
    week = Timeframe(1, Unit.WEEK, Alignment.ALIGNED, Scheme.US)
    assert [family for family in FAMILIES if month.belongs_to(family)] == [ALIGNED_US, ALIGNED_ISO]
    assert [family for family in FAMILIES if week.belongs_to(family)] == [ALIGNED_US]


# Rules


@settings(deadline=None)
@given(valid_timeframes())
def test_a_valid_timeframe_breaks_no_rule(timeframe: Timeframe) -> None:
    """What bars.md allows keeps every rule, and so does every default."""
    assert broken_rule(timeframe) is None
    assert [broken_rule(default) for default in DEFAULT_TIMEFRAMES] == [None] * len(DEFAULT_TIMEFRAMES)


@pytest.mark.parametrize(
    ("timeframe", "rule"),
    [
        (Timeframe(0, Unit.DAY, Alignment.ROLLING), "tf_qty is 0 but must be at least 1"),
        (Timeframe(0, Unit.MONTH, Alignment.ANCHORED), "tf_qty is 0 but must be at least 1"),
        (Timeframe(-1, Unit.DAY, Alignment.ROLLING), "tf_qty is -1 but must be at least 1"),
        (Timeframe(5, Unit.DAY, Alignment.ALIGNED), "rolling timeframes count days, and only they do"),
        (Timeframe(1, Unit.WEEK, Alignment.ROLLING, Scheme.US), "rolling timeframes count days, and only they do"),
        (Timeframe(1, Unit.WEEK, Alignment.ALIGNED), "calendar weeks need calendar_scheme US or ISO"),
        (Timeframe(1, Unit.MONTH, Alignment.ALIGNED, Scheme.US), "other units none"),
        (Timeframe(7, Unit.DAY, Alignment.ROLLING, Scheme.US), "other units none"),
        (Timeframe(9, Unit.MONTH, Alignment.ANCHORED), "divide 12 and 9 does not (use 1, 2, 3, 4, 6 or 12"),
        (Timeframe(24, Unit.MONTH, Alignment.ANCHORED), "divide 12 and 24 does not"),
    ],
    ids=str,
)
def test_a_broken_rule_is_named(timeframe: Timeframe, rule: str) -> None:
    """A timeframe that breaks a rule of its family says which, with the wrong value."""
    words = broken_rule(timeframe)
    assert words is not None
    assert rule in words
