"""Files of settings and variables of the environment with anything in them: they are read, or refused in one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs.effort import searched
from inputs.typed_words import SECRET, assert_ends_well, run_in
from programs import PROJECT

from refresh.errors import SettingsError
from refresh.options.environment import NAMES, settings
from refresh.wording import escaped

NOBODY = "http://127.0.0.1:1/"
KEYS = (
    *sorted(NAMES),
    *(
        "PGOPTIONS",
        "PGSSLMODE",
        "PGHOST",
        "'PGA=B'",
        "PG\0A",
        "'PG A'",
        "A",
        "B",
        "export A",
        "export",
        "1",
        "",
        "é",
        "#",
    ),
    *("REFRESH_DIR", "TARGET_DBURL", "'REFRESH_TZ'", "\ufeffREFRESH_TZ", "REFRESH_TZ ", " ALERT_LEVEL"),
)
VALUES = (
    *(
        "",
        "UTC",
        "error",
        "a\0b",
        "'a\n b'",
        '"a\nb"',
        "'",
        '"',
        "a 'b' # c",
        "#",
        "${A}",
        "${A}${A}",
        "${B:-x}",
        "${",
        "$A",
    ),
    *("${REFRESH_TZ}", "\\x00", '"\\u0000"', '"\\n"', "\x1b[2J", "\u202e", "\x85", "x" * 100_000, "=", "==", "\ufeff"),
)
lines = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(["=", "=", "=", " = ", ":", " ", ""]),
        st.sampled_from([*VALUES, *(value + SECRET for value in VALUES)]),
    ).map("".join),
    max_size=8,
)
ENDS = ("\n", "\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028")
URLS = (
    *(
        "x",
        "http://",
        "http://[",
        "http://127.0.0.1:99999",
        "http://.",
        "mailto://",
        "json://127.0.0.1:1/",
        "file:///etc",
    ),
    *("http://127.0.0.1:1\n", "http://127.0.0.1:1/%zz", "\udcff", "\x1b[2J", "{}", "%s", "127.0.0.1:1", "http:///x"),
    *("http://a..b/", "http://" + "a" * 70 + ".127.0.0.1.invalid.", "ftp://127.0.0.1:1/", "x" * 5_000, "\u039e://1"),
)


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file sets for libpq does not outlast a test."""
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)


def assert_read_or_refused(path: Path) -> None:
    """Fail unless a file is read, or refused in one line without a value of it."""
    before, started, problem = set(os.environ), time.monotonic(), ""
    try:
        settings({}, str(path))
    except SettingsError as error:
        problem = str(error)
    for name in set(os.environ) - before:
        del os.environ[name]
    assert "\n" not in escaped(problem)
    assert SECRET not in problem
    assert len(problem) < 1_000
    assert time.monotonic() - started < 5


@searched(15)
@given(lines=lines, end=st.sampled_from(ENDS), mark=st.sampled_from(["", "", "\ufeff"]))
def test_any_lines_of_settings(tmp_path: Path, lines: list[str], end: str, mark: str) -> None:
    """A file of any lines is read, or refused in one line that has nothing of a value in it."""
    path = tmp_path / "settings.env"
    path.write_text(mark + end.join(lines), encoding="utf-8", newline="")
    assert_read_or_refused(path)


@searched(15)
@given(data=st.binary(max_size=80), place=st.integers(0, 40))
def test_any_bytes_of_settings(tmp_path: Path, data: bytes, place: int) -> None:
    """So is a file of any bytes."""
    path = tmp_path / "settings.env"
    good = f"REFRESH_TZ=UTC\nTARGET_DB_URL='{SECRET}'\n".encode()
    path.write_bytes(good[:place] + data + good[place:])
    assert_read_or_refused(path)


channels = st.fixed_dictionaries(
    {},
    optional={
        "TELEGRAM_BOT_TOKEN": st.sampled_from([f"1:{SECRET}", f"{SECRET}\n", f"{SECRET}/../", f"\udcff{SECRET}"]),
        "TELEGRAM_CHAT_ID": st.sampled_from(["1", "-1", "@x", "\n", "\udcff", "x" * 5_000]),
        "TELEGRAM_API_URL": st.sampled_from([NOBODY, *(f"{url}{SECRET}" for url in URLS)]),
        "ALERT_URLS": st.lists(st.sampled_from([f"{url}{SECRET}" for url in URLS]), max_size=3).map(" ".join),
        "ALERT_LEVEL": st.sampled_from(["info", "INFO", "", "loud", "\udcff", "critical"]),
        "HEARTBEAT_URL": st.sampled_from([f"{url}{SECRET}" for url in URLS]),
        "REFRESH_TZ": st.sampled_from(["UTC", "Mars", "", "\udcff", "../UTC", "x" * 5_000, "Europe/Berlin"]),
        "REFRESH_CONFIG": st.sampled_from(["", ".", "missing", "\udcff", "x" * 300, os.devnull]),
        "PG_BIN_DIR": st.sampled_from(["", ".", "\udcff", "missing"]),
        "PGOPTIONS": st.sampled_from(["", "-c", "\udcff", "-c x=1"]),
    },
)


@pytest.mark.parametrize("words", [["--all"], ["--show-settings"]], ids="".join)
@searched(0.2)
@given(environ=channels)
def test_any_settings_of_a_process(tmp_path: Path, words: list[str], environ: dict[str, str]) -> None:
    """A program that cannot start says so, tells it to the channels that there are, and ends without a traceback."""
    environ.setdefault("TELEGRAM_API_URL", NOBODY)
    finished = run_in(tmp_path, [str(PROJECT / "run_daily_refresh.py"), *words], environ)
    assert_ends_well(finished)
    assert finished.returncode == (0 if words == ["--show-settings"] and not finished.stderr else 3)
