"""A price table with every value that its types admit: good days are bars, bad rows are rejects, and that is all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from databases import database
from hypothesis import given
from hypothesis import strategies as st
from inputs.effort import searched
from inputs.hostile_rows import COLUMNS, GOOD, GOOD_DAYS, Row, differences, good_row, hostile_rows
from inputs.typed_words import assert_ends_well, run_in
from programs import PROJECT, page_data
from refreshing import enable, moved, open_scopes, refresh
from sqlalchemy import URL, Engine
from statements import address, ask, execute

from refresh.catalog import SOURCE
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import METADATA
from refresh.validate.validation import validate

FEW = ("2D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR")
KEPT = {"dim_timeframe", "dim_period", "refresh_settings", "refresh_calendars"}
NUMBERS = ("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")
BARE = (
    f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey",
    f'ALTER TABLE {SOURCE} ALTER id DROP NOT NULL, ALTER "timestamp" DROP NOT NULL',
)
NUMERIC = (
    f"ALTER TABLE {SOURCE} ALTER id TYPE int8",
    *(f"ALTER TABLE {SOURCE} ALTER {n} TYPE numeric" for n in NUMBERS),
)
TABLES = {"as created": (), "without key and conditions": BARE, "numeric": (*BARE, *NUMERIC)}
"""What is done to the price table before rows are written to it."""

WITHOUT_SNAPSHOT = """SELECT id, "timestamp" FROM cmc_price_bars_1d EXCEPT
    SELECT id, "timestamp" FROM cmc_price_bars_multi_tf WHERE tf = '2D'"""


@pytest.fixture(scope="module", params=TABLES)
def source(request: pytest.FixtureRequest, server: URL, template: str) -> Iterator[tuple[Engine, str]]:
    """A database for all rows, one example after the other, and the kind of its price table."""
    with database(server, template) as url, connect(url) as engine:
        enable(engine, FEW, [10])
        execute(engine, *TABLES[request.param])
        yield engine, request.param


def fill(engine: Engine, rows: Sequence[Row]) -> None:
    """Empty every table but those of the user's settings, and write good days and other rows."""
    tables = [name for name in METADATA.tables if name not in KEPT]
    execute(engine, *(f"DELETE FROM {name}" for name in (*tables, SOURCE)))
    good = [good_row(id, day) for id in GOOD for day in range(GOOD_DAYS)]
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    values = ", ".join(f"({row.inserted})" for row in (*good, *rows))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {SOURCE} ({columns}) VALUES {values}")


@searched(0.4)
@given(data=st.data())
def test_any_rows(source: tuple[Engine, str], data: st.DataObject) -> None:
    """Bars and rejects are those of the documents, the next refresh writes nothing, and a validation finds nothing."""
    engine, kind = source
    rows = data.draw(hostile_rows(numerics=kind == "numeric", nulls=kind != "as created"))
    fill(engine, rows)
    outcomes = refresh(engine, is_prepared=True)
    failed = [outcome for outcome in outcomes if outcome.status is not Status.DONE]
    assert not failed
    assert differences(engine, numerics=kind == "numeric") == {}
    assert ask(engine, WITHOUT_SNAPSHOT) == []
    before = moved(engine)
    assert not refresh(engine, is_prepared=True)
    assert moved(engine) == before
    ids = [id for (id,) in ask(engine, "SELECT DISTINCT id FROM cmc_price_bars_1d")]
    assert not validate(engine, open_scopes(engine, is_prepared=True), ids, len(ids), date(2030, 1, 1)).findings


LOOKS = (["--all", "--dry-run"], ["--explain", "1"], ["--explain", "-2147483648"], ["--digest"], ["--metrics", "-"])
"""What is asked of the program after a refresh."""


@pytest.mark.parametrize("source", ["numeric"], indirect=True)
@searched(0.1)
@given(data=st.data())
def test_any_rows_of_a_process(source: tuple[Engine, str], tmp_path: Path, data: st.DataObject) -> None:
    """So it is with the program itself, whose page, plan, explanations and metrics show such rows."""
    engine, kind = source
    fill(engine, data.draw(hostile_rows(numerics=kind == "numeric", nulls=kind != "as created")))
    url = {"TARGET_DB_URL": address(engine)}
    program = str(PROJECT / "run_daily_refresh.py")
    finished = run_in(tmp_path, [program, "--all", "--validate", "--sample", "all", "--html", "page.html"], url)
    assert_ends_well(finished)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert differences(engine, numerics=kind == "numeric") == {}
    assert page_data(tmp_path / "page.html")
    before = moved(engine)
    assert_ends_well(run_in(tmp_path, [program, *data.draw(st.sampled_from(LOOKS))], url))
    assert run_in(tmp_path, [program, "--all"], url).returncode == 0
    assert moved(engine) == before
