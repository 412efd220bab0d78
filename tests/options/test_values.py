"""Values of options: what is shown of a value is read back as that value."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.errors import RefreshError, SettingsError, UsageError
from refresh.options.declaration import Option, Program
from refresh.options.load_request import options_of
from refresh.options.parsing import parse, parse_load
from refresh.options.request import OPTIONS
from refresh.options.values import PERCENT, read_span, show_span
from refresh.wording import escaped

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


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--db-url", "", "the address is empty; leave the option out to use TARGET_DB_URL"),
        ("--lookback-days", "1000000", "'1000000' is more than 365,250 days, which are 1,000 years"),
        ("--keep-logs", "1000000", "'1000000' is more than 365,250 days, which are 1,000 years"),
        ("--max-lag", "999999999d", "'999999999d' is more than 365,250d, which are 1,000 years"),
        (
            "--timeout",
            "9" * 400 + "d",
            f"'{'9' * 80}'... (401 characters) is more than 365,250d, which are 1,000 years",
        ),
        ("--wait-lock", "9000000h", "'9000000h' is more than 365,250d, which are 1,000 years"),
        ("--jobs", "1000001", "'1000001' is more than 1,000,000"),
        ("--retries", "99999999999", "'99999999999' is more than 1,000,000"),
        ("--ids", "9" * 5000, f"'{'9' * 80}'... (5,000 characters) is not a list of ids or symbols such as 1,52,BTC"),
        ("--explain", "9" * 19, f"'{'9' * 19}' is not the id of one asset such as 825"),
        ("--restate-limit", "nan", "'nan' is not a percentage from 0 to 100"),
        ("--log-dir", "/logs/\udcff", r"'/logs/\udcff' is no text in UTF-8"),
        ("--json", "a\0b", r"'a\x00b' is no text in UTF-8"),
        ("--db-url", "postgresql://me:secret\udcff@host/x", "the address is no text in UTF-8"),
    ],
)
def test_odd_values(option: str, text: str, message: str) -> None:
    """A value that could not be used is a usage error that names it and the bound."""
    with pytest.raises(UsageError) as caught:
        parse(Program.DAILY, ["--all", f"{option}={text}"])
    assert str(caught.value) == f"{option}: {message} (see --help)"


def test_long_values_take_no_time() -> None:
    """As many digits as one argument can have are refused at once."""
    started = time.monotonic()
    with pytest.raises(UsageError):
        parse(Program.DAILY, ["--all", "--explain", "1" * 100_000])
    assert time.monotonic() - started < 2


PIECES = ["9" * 30, "1" * 5000, "-", "nan", "inf", "1e400", "0", "1", ",", ":", "/", "..", "d", "h", "s", "all", "UTC"]
SIGNS = ["\0", "\x1b[2J", "\x85", "\u202e", "\udcff", "\n", " ", "\u0663", "\u00b2", "{", "%"]
TEXTS = st.lists(st.sampled_from(PIECES + SIGNS), min_size=1, max_size=4).map("".join) | st.text(
    st.characters(codec=None, exclude_categories=()), max_size=30
)


@settings(deadline=None, max_examples=300)
@given(program=st.sampled_from(sorted(Program, key=str)), data=st.data(), text=TEXTS)
def test_any_value_of_any_option(program: Program, data: st.DataObject, text: str) -> None:
    """Whatever is typed is read, or is a usage error of one line; what is read is shown and read again as itself."""
    options = [option for option in options_of(program) if not option.is_switch]
    option = data.draw(st.sampled_from(options))
    arguments = [text] if option.is_positional else [f"{option.flag}={text}"]
    read = partial(parse_load, program=program) if program.whole is Program.LOAD else partial(parse, program)
    request, error = outcome(lambda: read(arguments), UsageError)
    if error:
        assert "\n" not in escaped(error)
        return
    value = getattr(request, option.name)
    if value is not None and not option.is_positional:
        assert option.value.read(option.value.show(value)) == value


@settings(deadline=None, max_examples=300)
@given(option=st.sampled_from([option for option in OPTIONS if option.environment]), text=TEXTS)
def test_any_value_of_the_environment(option: Option, text: str) -> None:
    """The same for values of the environment, which are errors of a setting."""
    _, error = outcome(lambda: parse(Program.BARS, [], {option.environment: text}), SettingsError)
    if error:
        assert error.startswith(f"{option.environment}: ")
        assert escaped(error) == error
        assert not option.is_secret or not text.strip() or text not in error


def outcome(read: Callable[[], Any], expected: type[RefreshError]) -> tuple[Any, str]:
    """What is read, and the message if that is impossible for an expected reason."""
    try:
        return read(), ""
    except expected as error:
        return None, str(error)
