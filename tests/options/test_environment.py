"""What the environment gives, and what no message repeats of it."""

from __future__ import annotations

import traceback

import pytest

from refresh.errors import SettingsError, UsageError
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import Request

ADDRESS = "postgresql://user:s3cret/pa ss@w0rd@host/prices?password=s3cret"


def test_environment() -> None:
    """The environment gives what was not typed, and that counts as given."""
    environ = {"TARGET_DB_URL": "postgresql://host/prices", "REFRESH_TZ": "Asia/Tokyo", "REFRESH_LOG_DIR": "logs"}
    request = parse(Program.BARS, [], environ)
    assert (request.db_url, request.tz, request.log_dir) == ("postgresql://host/prices", "Asia/Tokyo", "logs")
    assert request.given == request.from_environment == {"db_url", "tz", "log_dir"}
    typed = parse(Program.BARS, ["--tz", "UTC", "--log-dir", "mine"], environ)
    assert (typed.db_url, typed.tz, typed.log_dir) == ("postgresql://host/prices", "UTC", "mine")
    assert typed.from_environment == {"db_url"}


def test_environment_of_a_builder() -> None:
    """A builder that runs by itself takes from the environment what its options could say."""
    environ = {"REFRESH_TZ": "Asia/Tokyo", "REFRESH_LOG_DIR": "logs"}
    request = parse(Program.BUILDER, ["bars.1d"], environ)
    assert (request.tz, request.log_dir) == ("Asia/Tokyo", Request().log_dir)


def test_bad_environment() -> None:
    """A setting that cannot be used is named, unless the command line says it better."""
    environ = {"REFRESH_TZ": "Mars/Phobos"}
    with pytest.raises(SettingsError, match=r"^REFRESH_TZ: 'Mars/Phobos' is not a time zone name such as UTC"):
        parse(Program.BARS, [], environ)
    assert parse(Program.BARS, ["--tz", "UTC"], environ).tz == "UTC"
    assert parse(Program.BARS, [], {"REFRESH_TZ": ""}) == Request()


@pytest.mark.parametrize(
    "arguments",
    [
        [ADDRESS],
        ["--dburl", ADDRESS],
        [f"--db_url={ADDRESS}"],
        [f"--quiet={ADDRESS}"],
        ["--db-url", ADDRESS, ADDRESS],
        ["--db-url", ADDRESS, "--ids", ADDRESS],
        ["--tz", ADDRESS],
        ["--db-url", ADDRESS, "--jobs", "0"],
        ["--db-url", ADDRESS, "--detect", "lookback"],
    ],
)
def test_no_message_repeats_an_address(arguments: list[str]) -> None:
    """Neither the message nor its traceback repeats the address of a database, wherever it was typed."""
    with pytest.raises(UsageError) as caught:
        parse(Program.BARS, arguments)
    shown = "".join(traceback.format_exception(caught.value, limit=0))
    for part in ("s3cret", "pa ss", "w0rd", "host/prices"):
        assert part not in shown
    assert str(caught.value) in shown
