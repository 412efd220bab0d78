"""Addresses of databases of any text and any bytes: an address, or a refusal of one line that repeats none of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs.effort import searched
from inputs.typed_words import SECRET, assert_ends_well, run_in
from programs import PROJECT
from sqlalchemy import URL, text

from refresh.errors import RefreshError, SettingsError
from refresh.store.address import read_address
from refresh.store.database import connect
from refresh.wording import escaped

SHAPES = (
    "{}",
    "postgresql://{}",
    "postgresql://u:{}@127.0.0.1:1/x",
    "postgresql://127.0.0.1:1/{}",
    "host=127.0.0.1 {}",
)
WITH_PASSWORD = (
    "postgresql://u:{}@127.0.0.1:1/x",
    "postgresql://127.0.0.1:1/x?password={}",
    "host=127.0.0.1 port=1 password={}",
)
PARAMETERS = (
    *("application_name", "fallback_application_name", "client_encoding", "connect_timeout", "options", "keepalives"),
    *("keepalives_idle", "tcp_user_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert", "gssencmode", "passfile"),
    *("target_session_attrs", "replication", "service", "channel_binding", "requirepeer", "user", "password", "ssl"),
)  # fmt: skip
VALUES = (
    *("", "0", "1", "-1", "2", "9" * 30, "abc", "disable", "require", "verify-full", "UTF8", "UTF-8", "LATIN1"),
    *("SQL_ASCII", "EUC_JP", "WIN1252", "utf16", "database", "true", "read-write", "standby", "primary", "any"),
    *("/dev/null", "/dev/zero", "x\ty"),
    *("-c search_path=nowhere", "-c statement_timeout=1", "-c default_transaction_read_only=on", "-c datestyle=German"),
    *("-c timezone=Mars", "-c lc_messages=C", "-c extra_float_digits=-15", "-c bytea_output=escape", "-c role=nobody"),
    *("-c standard_conforming_strings=off", "-c intervalstyle=iso_8601", "-c idle_session_timeout=1", "%s %", "\u039e"),
    *("a'b", 'a"b', "a\\b", "x" * 3_000, "\x1b[2J", "\u202e", "a b", "-c", "--", "-c jit=on -c geqo=off"),
)  # fmt: skip
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=40) | st.lists(
    st.sampled_from(
        [":", "/", "@", "?", "=", "&", "%", "[", "]", ",", "host", "1", "%00", "%zz", "\udcff", "::1", " "]
    ),
    max_size=8,
).map("".join)


@searched(25)
@given(shape=st.sampled_from(SHAPES), inner=any_text)
def test_any_text(shape: str, inner: str) -> None:
    """Any text is an address whose parameters libpq knows, or is refused without a word of it."""
    problem = ""
    try:
        shown = read_address(shape.format(inner)).shown
    except SettingsError as error:
        shown, problem = "postgresql://", str(error)
    assert shown.startswith("postgresql://")
    assert escaped(problem) == problem
    assert len(problem) < 300


@searched(2)
@given(parameters=st.dictionaries(st.sampled_from(PARAMETERS), st.sampled_from(VALUES), min_size=1, max_size=3))
def test_any_parameters(server: URL, parameters: dict[str, str]) -> None:
    """A database that is named with any parameters of libpq answers, or is refused in one line, and soon."""
    address = f"postgresql://postgres:{SECRET}@{server.host}:{server.port}/postgres?"
    pairs = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
    started, problem = time.monotonic(), ""
    try:
        with connect(address + pairs) as engine, engine.connect() as connection:
            assert connection.execute(text("SELECT 'ö', 1.5::float8, now() IS NOT NULL")).one() == ("ö", 1.5, True)
    except RefreshError as error:
        problem = str(error)
    assert "\n" not in escaped(problem)
    assert SECRET not in problem
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("program", ["run_daily_refresh.py", "refresh.load", "refresh.builder"])
@searched(0.1)
@given(inner=st.binary(min_size=1, max_size=20), shape=st.sampled_from(WITH_PASSWORD))
def test_any_bytes_of_the_environment(tmp_path: Path, program: str, inner: bytes, shape: str) -> None:
    """Whatever bytes TARGET_DB_URL has, a program says in a line that it cannot start."""
    address = shape.format(SECRET + os.fsdecode(inner.replace(b"\0", b"")))
    words = {
        "run_daily_refresh.py": [str(PROJECT / program), "--check"],
        "refresh.load": ["-m", program, "x.csv", "--id", "1"],
        "refresh.builder": ["-m", program, "bars.1d"],
    }[program]
    (tmp_path / "x.csv").write_text("date,open,high,low,close\n2024-01-01,1,2,1,1\n", encoding="utf-8")
    finished = run_in(tmp_path, words, {"TARGET_DB_URL": address})
    assert_ends_well(finished)
    assert finished.returncode == 3
