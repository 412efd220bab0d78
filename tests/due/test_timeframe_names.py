"""Which timeframes a name selects, and the error for an unknown name."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe
from refresh.due.series import select
from refresh.errors import UsageError
from refresh.families import ROLLING

ROLLING_TIMEFRAMES = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.belongs_to(ROLLING)]


def nearest_to(name: str, timeframes: Sequence[Timeframe] = DEFAULT_TIMEFRAMES) -> str:
    """What the error for an unknown name offers."""
    with pytest.raises(UsageError) as caught:
        select(["7d", name], timeframes)
    message = str(caught.value)
    assert message.startswith(f"--tfs {name}: no such timeframe in the builders being run; nearest: ")
    return message.partition("nearest: ")[2]


@pytest.mark.parametrize(
    ("wanted", "selected"),
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
def test_names_select_timeframes(wanted: list[str], selected: list[str]) -> None:
    """Labels and short forms select, in any case and order, each timeframe once and in the order of the table."""
    assert [timeframe.tf for timeframe in select(wanted, DEFAULT_TIMEFRAMES)] == selected


@settings(deadline=None)
@given(st.lists(st.sampled_from(DEFAULT_TIMEFRAMES), max_size=6), st.randoms(use_true_random=False))
def test_labels_in_any_case_select_themselves(wanted: list[Timeframe], random: Random) -> None:
    """Full labels select exactly the timeframes that they name."""
    names = [in_any_case(timeframe.tf, random) for timeframe in wanted]
    assert select(names, DEFAULT_TIMEFRAMES) == tuple(
        timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe in wanted
    )


def in_any_case(label: str, random: Random) -> str:
    """A label, each letter in either case."""
    return "".join(random.choice([letter.lower(), letter]) for letter in label)


@pytest.mark.parametrize(
    ("name", "near"),
    [("6W", "4W"), ("9m", "6M"), ("3M_CAL_ANCHR", "3M_CAL_ANCHOR"), ("366D", "365D"), ("1W_US", "1W_CAL_US")],
)
def test_a_name_that_selects_nothing(name: str, near: str) -> None:
    """A name of no timeframe is an error with the option, the name and the nearest labels."""
    assert near in nearest_to(name).split(", ")


@pytest.mark.parametrize(
    ("name", "near"),
    [("9d", "5D, 7D, 10D"), ("400D", "90D, 180D, 365D"), ("3w", "1W, 2W, 4W"), ("8m", "3M, 6M, 12M")],
)
def test_the_nearest_lengths(name: str, near: str) -> None:
    """For a length that does not exist, the three of its unit that are nearest in days, the shortest first."""
    assert nearest_to(name) == near


def test_the_nearest_lengths_of_other_units() -> None:
    """If no builder of the run counts in that unit, days decide: three weeks are 21 of them."""
    assert nearest_to("3w", ROLLING_TIMEFRAMES) == "14D, 21D, 28D"


@pytest.mark.parametrize("name", ["", "D", "7", "07D", "7D ", "7D_CAL", "*"])
def test_a_name_is_never_guessed(name: str) -> None:
    """What is neither a label nor a short form selects nothing."""
    with pytest.raises(UsageError, match="no such timeframe"):
        select([name], DEFAULT_TIMEFRAMES)


def test_only_the_given_timeframes_are_offered() -> None:
    """The nearest labels are those of the builders being run, and no others."""
    assert "CAL" not in nearest_to("3M_CAL", ROLLING_TIMEFRAMES)


def test_the_option_is_named() -> None:
    """The error names the option that was typed."""
    with pytest.raises(UsageError, match=r"^--tf-period-combos 6W: no such timeframe"):
        select(["6W"], DEFAULT_TIMEFRAMES, option="--tf-period-combos")
