"""Values of options: what is shown of a value is read back as that value."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.options.declaration import Option
from refresh.options.request import OPTIONS
from refresh.options.values import PERCENT, read_span, show_span

UNITS = [timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]
WITH_DEFAULT = [option for option in OPTIONS if not option.is_switch and option.default not in {None, ()}]


@pytest.mark.parametrize(
    ("text", "span", "shown"),
    [
        ("90s", timedelta(seconds=90), "90s"),
        ("120s", timedelta(minutes=2), "2m"),
        ("10m", timedelta(minutes=10), "10m"),
        ("36h", timedelta(hours=36), "36h"),
        ("48h", timedelta(days=2), "2d"),
        ("1d", timedelta(days=1), "1d"),
        ("1.5h", timedelta(minutes=90), "90m"),
        ("0.25s", timedelta(milliseconds=250), "0.25s"),
        ("0m", timedelta(0), "0s"),
    ],
)
def test_lengths_of_time(text: str, span: timedelta, shown: str) -> None:
    """A length of time is a number and a unit, and is shown in the largest unit that is whole."""
    assert read_span(text) == span
    assert show_span(span) == shown
    assert read_span(shown) == span


@given(number=st.integers(0, 99_999), unit=st.sampled_from(UNITS))
def test_every_length_of_time_is_read_as_shown(number: int, unit: timedelta) -> None:
    """Whatever the length, what is shown of it means the same."""
    assert read_span(show_span(number * unit)) == number * unit


@pytest.mark.parametrize("text", ["", "1", "d", "1w", "1 d", "-1d", "1,5h", ".5h", "1.h", "1D", "1d1h", "1e3s", "nans"])
def test_no_length_of_time(text: str) -> None:
    """Anything else is refused, with examples of what is meant."""
    with pytest.raises(ArgumentTypeError) as caught:
        read_span(text)
    assert str(caught.value) == f"{text!r} is not a length of time such as 90s, 10m, 36h or 1d"


@given(percent=st.floats(0, 100))
def test_every_percentage_is_read_as_shown(percent: float) -> None:
    """Whatever the percentage, no digit of it is lost."""
    assert PERCENT.read(PERCENT.show(percent)) == percent


@pytest.mark.parametrize("option", WITH_DEFAULT, ids=lambda option: option.name)
def test_default_is_a_value(option: Option) -> None:
    """A default is a value that can be typed as well."""
    assert option.value.read(option.value.show(option.default)) == option.default
