"""Timeframes, periods, assets and settings of any value: a refusal that names the row, or tables that are right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from databases import database
from hypothesis import given
from hypothesis import strategies as st
from inputs.effort import searched
from inputs.typed_words import assert_ends_well, run_in
from prices import fill
from programs import PROJECT
from refreshing import enable, open_scopes, refresh
from sqlalchemy import URL, Engine
from statements import address, ask, execute

from refresh.core.timeframe import Timeframe, Unit
from refresh.errors import RefreshError
from refresh.families import Alignment, Scheme
from refresh.records import Status
from refresh.store.database import connect, read_committed
from refresh.store.schema import migrate
from refresh.validate.validation import validate
from refresh.wording import escaped

KEYS = {"dim_timeframe": "tf", "dim_period": "period", "dim_asset": "id", "refresh_settings": "name"}
TABLES = tuple(KEYS)
LARGEST, SMALLEST = 2**31 - 1, -(2**31)
numbers = st.sampled_from([1, 2, 3, 5, 12, 13, 400, 3_000, 1_000_000, 1_000_001, 0, -1, LARGEST, SMALLEST, None])
TEXTS = (
    *(
        "",
        " ",
        "1D",
        "2D",
        "2d",
        "02D",
        "1W_CAL_US",
        "7D; DROP TABLE dim_asset",
        "\u0663D",
        "x" * 5_000,
        "a\nb",
        "\x1b[2J",
    ),
    *("{}", "%s", "%(id)s", ":tf", "\u202e", "NULL", None),
)
CALENDARS = (
    *(
        "auto",
        "AUTO ",
        "",
        " ",
        "24/7",
        "24/5",
        "Mon-Fri",
        "mon - fri",
        "Fri-Mon",
        "Mon-Mon",
        "Mon,Mon",
        "Mon,",
        "-",
        ",",
    ),
    *(
        "Mon-Fri (learned)",
        "XNYS",
        "xnys",
        "XXXX",
        "NULL",
        "x" * 5_000,
        "a\nb",
        "../XNYS",
        "\u202e",
        "Mon\x1b[2J",
        "{}",
    ),
)
SETTINGS = {
    "tz": ("UTC", "utc", "Mars", "", " ", "Europe/Berlin", "../UTC", "a\nb", "x" * 5_000, "posixrules"),
    "fold": (
        "all",
        "ALL",
        "",
        " ",
        "1",
        "1,2",
        "1 2",
        "1,",
        "x",
        "-1",
        "1.5",
        "9" * 12,
        "9" * 5_000,
        "\u0663",
        "1_0",
        "a\nb",
    ),
    "schema": ("1", "2", "3", "0", "-1", "", "x", "9" * 5_000, "\u0663", "\u00b2", "1.0", "a\nb"),
    "strange": ("x",),
}


@st.composite
def timeframe_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row of a timeframe: of any values, or one whose label and days follow from the others."""
    quantity = draw(numbers)
    unit, alignment = (
        draw(st.sampled_from([*Unit, "Q", "", None])),
        draw(st.sampled_from([*Alignment, "sliding", None])),
    )
    scheme = draw(st.sampled_from([None, *Scheme, "UK", ""]))
    row = {"tf": draw(st.sampled_from(TEXTS)), "tf_days_nominal": draw(numbers), "tf_qty": quantity}
    if draw(st.booleans()) and isinstance(unit, Unit) and isinstance(alignment, Alignment) and quantity:
        with suppress(ValueError, AttributeError):
            built = Timeframe(quantity, unit, alignment, scheme if isinstance(scheme, Scheme) else None)
            row |= {"tf": built.tf, "tf_days_nominal": min(max(built.days_nominal, SMALLEST), LARGEST)}
    row |= {"base_unit": getattr(unit, "value", unit), "alignment": getattr(alignment, "value", alignment)}
    row |= {"calendar_scheme": getattr(scheme, "value", scheme)}
    return row | {"is_enabled": draw(st.sampled_from([True, True, False, None])), "sort_order": draw(numbers)}


periods = st.fixed_dictionaries(
    {"period": numbers, "is_enabled": st.sampled_from([True, True, False, None]), "sort_order": numbers}
)
assets = st.fixed_dictionaries(
    {
        "id": st.sampled_from([1, 2, 3, 0, SMALLEST, LARGEST]),
        "symbol": st.sampled_from(TEXTS),
        "name": st.sampled_from(TEXTS),
        "calendar": st.sampled_from([*CALENDARS, None]),
    }
)
remembered = st.sampled_from([{"name": name, "value": value} for name in SETTINGS for value in SETTINGS[name]])
rows = st.one_of(
    st.tuples(st.just("dim_timeframe"), timeframe_rows()),
    st.tuples(st.just("dim_period"), periods),
    st.tuples(st.just("dim_asset"), assets),
    st.tuples(st.just("refresh_settings"), remembered),
)


@pytest.fixture(scope="module")
def loose(server: URL, template: str) -> Iterator[Engine]:
    """A database with a hundred days of two assets, whose tables for users have keys, and no conditions."""
    with database(server, template) as url, connect(url) as engine:
        enable(engine, ["2D", "1W_CAL_ISO", "1M_CAL_ANCHOR"], [10])
        for id in (1, 2):
            fill(engine, id, "2024-01-01", "2024-04-09")
        for table in TABLES:
            execute(engine, *(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"' for name in conditions(engine, table)))
            for (column,) in ask(engine, NOT_NULL, table=table):
                execute(engine, f"ALTER TABLE {table} ALTER {column} DROP NOT NULL")
            execute(engine, f"CREATE TABLE former_{table} AS SELECT * FROM {table}")
        yield engine


NOT_NULL = """SELECT quote_ident(attname) FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attnotnull AND attnum > 0
    AND attnum <> ALL (SELECT unnest(indkey) FROM pg_index WHERE indrelid = attrelid AND indisprimary)"""


def conditions(engine: Engine, table: str) -> list[str]:
    """The names of the keys and conditions of a table."""
    query = "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype NOT IN ('n', 'p')"
    return [name for (name,) in ask(engine, query, table=table)]


@searched(0.6)
@given(written=st.lists(rows, min_size=1, max_size=3))
def test_any_rows_of_the_user(loose: Engine, written: list[tuple[str, dict[str, Any]]]) -> None:
    """A refresh refuses what its tables say in one line with a way out, or leaves tables that are right."""
    restore(loose)
    for table, row in written:
        write(loose, table, row)
    try:
        with read_committed(loose) as connection:
            migrate(connection)
        outcomes = refresh(loose, is_prepared=True)
    except RefreshError as error:
        assert_helpful(str(error))
        return
    for outcome in outcomes:
        if outcome.status is not Status.DONE:
            assert_helpful(outcome.error or "")
    if all(outcome.status is Status.DONE for outcome in outcomes):
        assert not refresh(loose, is_prepared=True)
        assert not validate(loose, open_scopes(loose, is_prepared=True), [1, 2], 2, date(2030, 1, 1)).findings


def restore(engine: Engine) -> None:
    """Undo what was written to the user's tables."""
    for table in TABLES:
        execute(engine, f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM former_{table}")


def write(engine: Engine, table: str, row: dict[str, Any]) -> None:
    """Write a row in the place of the one with its key. A row without a key is none."""
    key = KEYS[table]
    if row[key] is not None:
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        execute(
            engine,
            f"DELETE FROM {table} WHERE {key} = :{key}",
            f"INSERT INTO {table} ({names}) VALUES ({values})",
            **row,
        )


def assert_helpful(message: str) -> None:
    """Fail unless a refusal is one line that ends and names a table of the user's."""
    assert any(table in message for table in (*TABLES, "--tz", "calendar")), message
    assert "\n" not in escaped(message)
    assert len(message) < 1_000, message


@searched(0.2)
@given(setting=remembered, words=st.sampled_from([["--all"], ["--all", "--dry-run"], ["--validate"], ["--check"]]))
def test_any_setting_of_a_process(loose: Engine, tmp_path: Path, setting: dict[str, Any], words: list[str]) -> None:
    """A program that reads such a setting ends, with a documented exit code and without a traceback."""
    restore(loose)
    write(loose, "refresh_settings", setting)
    program = [str(PROJECT / "run_daily_refresh.py"), *words]
    assert_ends_well(run_in(tmp_path, program, {"TARGET_DB_URL": address(loose)}))
