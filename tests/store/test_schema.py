"""Tables that are created, verified and never altered, on a real server."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, text
from statements import ask, execute

from refresh.catalog import BUILDERS, Group
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.errors import DimensionError, SchemaError, SettingsError
from refresh.store.database import connect, read_committed, transaction
from refresh.store.dimensions import read_dimensions
from refresh.store.schema import prepare
from refresh.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOTS = [leg.target for builder in BUILDERS for leg in builder.legs if builder.name != "1d" and not leg.formula]
EMAS = [leg.target for builder in BUILDERS for leg in builder.legs if builder.group is Group.EMAS]
KEYS = {
    "cmc_price_bars_1d": {("p", "id, timestamp"), ("u", "id, tf, bar_seq")},
    "cmc_price_bars_1d_state": {("p", "id")},
    "cmc_price_bars_1d_source_months": {("p", "id, month")},
    "cmc_price_bars_1d_rejects": set(),
    **{table: {("p", "id, timestamp, tf")} for table in SNAPSHOTS},
    **{f"{table}_state": {("p", "id, tf")} for table in SNAPSHOTS},
    **{table: {("p", "id, ts, tf, period")} for table in EMAS},
    **{f"{table}_state": {("p", "id, tf, periods")} for table in EMAS},
    "dim_timeframe": {("p", "tf")},
    "dim_period": {("p", "period")},
    "ema_alpha_lookup": {("p", "tf, period")},
    "refresh_settings": {("p", "name")},
    "refresh_restatements": set(),
    "refresh_runs": {("p", "run_id")},
    "refresh_steps": {("p", "run_id, builder")},
    "refresh_outcomes": {("p", "run_id, builder, id")},
}
INDEXES = {
    **{table: {("id, tf, timestamp", "(NOT is_partial_end)")} for table in SNAPSHOTS},
    "cmc_price_bars_1d_rejects": {("id, timestamp", None)},
}
ATTRIBUTES = """
    SELECT c.relname, c.oid, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attisdropped, a.attcollation,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 1, a.attnum
"""
BREAK = {
    "missing": 'ALTER TABLE cmc_price_bars_multi_tf DROP COLUMN "market_cap"',
    "missing and not NULL": 'ALTER TABLE cmc_price_bars_1d DROP COLUMN "bar_seq"',
    "missing and not NULL in a table with rows": 'ALTER TABLE dim_timeframe DROP COLUMN "sort_order"',
    "missing with a default": 'ALTER TABLE cmc_ema_multi_tf DROP COLUMN "ingested_at"',
    "missing text": 'ALTER TABLE cmc_price_bars_1d DROP COLUMN "src_name"',
    "missing array": 'ALTER TABLE cmc_ema_multi_tf_state DROP COLUMN "periods"',
    "narrower": "ALTER TABLE cmc_price_bars_1d ALTER COLUMN volume TYPE real",
    "wider": "ALTER TABLE cmc_price_bars_1d ALTER COLUMN close TYPE numeric",
    "text instead of a number": "ALTER TABLE cmc_price_bars_multi_tf ALTER COLUMN bar_seq TYPE text",
    "local time": "ALTER TABLE cmc_ema_multi_tf ALTER COLUMN ts TYPE timestamp",
    "other text": "ALTER TABLE dim_timeframe ALTER COLUMN alignment TYPE varchar(20)",
    "extra": "ALTER TABLE cmc_price_bars_1d ADD COLUMN venue text NOT NULL",
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def prepared(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database that has all tables."""
    engine = connect(prepared_url)
    yield engine
    engine.dispose()


def prepare_in(engine: Engine, tz: str = "UTC") -> None:
    """Prepare the tables as every program does: in a transaction that sees one state of the database."""
    with transaction(engine) as connection:
        prepare(connection, tz)


def problems(engine: Engine) -> dict[str, str]:
    """What is refused, by column, with the statement that mends it."""
    with pytest.raises(SchemaError) as caught:
        prepare_in(engine)
    assert "\n" not in str(caught.value)
    told = str(caught.value).removeprefix("the tables do not fit: ")
    parts = [part.partition(": ") for part in re.split(r"; (?=\w+\.\w+ is )", told)]
    return {what.partition(" ")[0]: statement for what, _, statement in parts}


def test_creates_every_table(engine: Engine) -> None:
    """An empty database gets every table, the default timeframes and the default periods."""
    prepare_in(engine)
    tables = {
        name for (name,) in ask(engine, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200")
    }
    assert tables == set(METADATA.tables)
    assert len(ask(engine, "SELECT FROM dim_timeframe WHERE is_enabled")) == len(DEFAULT_TIMEFRAMES)
    assert [period for (period,) in ask(engine, "SELECT period FROM dim_period ORDER BY 1")] == list(DEFAULT_PERIODS)


def test_keys(prepared: Engine) -> None:
    """Every table has its keys, and no table has one that is not listed here."""
    found: dict[str, set[tuple[str, str]]] = {table: set() for table in KEYS}
    query = """
        SELECT r.conrelid::regclass::text, r.contype::text, string_agg(a.attname, ', ' ORDER BY k.place)
        FROM pg_constraint r CROSS JOIN unnest(r.conkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON (a.attrelid, a.attnum) = (r.conrelid, k.attnum)
        WHERE r.contype IN ('p', 'u') AND r.connamespace = 2200 GROUP BY r.oid, 1, 2
    """
    for table, kind, columns in ask(prepared, query):
        if table in found:
            found[table].add((kind, columns))
    assert found == KEYS


def test_indexes(prepared: Engine) -> None:
    """Canonical snapshots and rejects are found by an index of their own."""
    query = """
        SELECT i.indrelid::regclass::text, string_agg(a.attname, ', ' ORDER BY k.place),
               pg_get_expr(i.indpred, i.indrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relnamespace = 2200
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON (a.attrelid, a.attnum) = (i.indrelid, k.attnum)
        WHERE NOT i.indisunique GROUP BY i.indexrelid, 1, 3
    """
    found: dict[str, set[tuple[str, str | None]]] = {}
    for table, columns, condition in ask(prepared, query):
        found.setdefault(table, set()).add((columns, condition))
    assert {table: found.get(table) for table in INDEXES} == INDEXES


def test_twice_is_a_no_op(prepared: Engine) -> None:
    """What is there is left as it is: no column, no row and no object is touched."""
    touched = "SELECT tf, xmin::text FROM dim_timeframe ORDER BY tf"
    before = ask(prepared, ATTRIBUTES), ask(prepared, touched)
    prepare_in(prepared)
    assert (ask(prepared, ATTRIBUTES), ask(prepared, touched)) == before


def test_two_at_once(engine: Engine) -> None:
    """Of two programs that meet an empty database at the same time one creates the tables and both go on."""
    ready = Barrier(2)

    def both(other: Engine) -> None:
        with read_committed(other) as connection:
            ready.wait(10)
            prepare(connection)

    engines = [engine, connect(engine.url.render_as_string(hide_password=False))]
    with ThreadPoolExecutor(2) as pool:
        for ended in [pool.submit(both, one) for one in engines]:
            ended.result()
    engines[1].dispose()
    assert len(ask(engine, "SELECT FROM dim_timeframe")) == len(DEFAULT_TIMEFRAMES)


def test_one_dropped_table_is_created_again(prepared: Engine) -> None:
    """A table that the user dropped comes back, and the others are left as they are."""
    execute(prepared, "DROP TABLE cmc_ema_multi_tf_v2")
    before = ask(prepared, ATTRIBUTES)
    prepare_in(prepared)
    after = ask(prepared, ATTRIBUTES)
    assert [row for row in after if row[0] not in {"cmc_ema_multi_tf_v2", "cmc_ema_multi_tf_v2_pkey"}] == before


@pytest.mark.parametrize("statement", BREAK.values(), ids=BREAK)
def test_statement_mends_the_table(prepared: Engine, statement: str) -> None:
    """A column that does not fit is refused by name, and the statement that comes with it is all that is needed."""
    execute(prepared, statement)
    ((column, mending),) = problems(prepared).items()
    assert column.split(".")[0] in statement
    assert column.split(".")[1] in statement
    execute(prepared, mending)
    prepare_in(prepared)


def test_missing_column_of_a_table_with_rows(prepared: Engine) -> None:
    """Rows that stand in the table do not keep the statement from mending it."""
    execute(
        prepared,
        "INSERT INTO cmc_ema_multi_tf_state (id, tf, periods, close_sum) VALUES (1, '7D', '{10}', 0)",
        "ALTER TABLE cmc_ema_multi_tf_state DROP COLUMN close_sum",
    )
    execute(prepared, *problems(prepared).values())
    prepare_in(prepared)


def test_every_problem_at_once(prepared: Engine) -> None:
    """One error lists whatever does not fit, in all tables."""
    execute(prepared, *(BREAK[what] for what in ("missing", "narrower", "extra", "missing array")))
    found = problems(prepared)
    assert set(found) == {
        "cmc_price_bars_multi_tf.market_cap",
        "cmc_price_bars_1d.volume",
        "cmc_price_bars_1d.venue",
        "cmc_ema_multi_tf_state.periods",
    }
    execute(prepared, *found.values())
    prepare_in(prepared)


@pytest.mark.parametrize(
    "column",
    ["note text", "venue text NOT NULL DEFAULT 'x'", "place bigint GENERATED ALWAYS AS IDENTITY"],
)
def test_columns_of_the_users_are_welcome(prepared: Engine, column: str) -> None:
    """A column that an insert need not name is no problem."""
    execute(prepared, f"ALTER TABLE cmc_price_bars_1d ADD COLUMN {column}")
    prepare_in(prepared)


def test_a_refusal_changes_nothing(prepared: Engine) -> None:
    """Where a table does not fit, neither it nor any other is altered, created or dropped."""
    execute(prepared, BREAK["narrower"], "DROP TABLE cmc_ema_multi_tf_v2", "CREATE TABLE of_the_user (id int NOT NULL)")
    before = ask(prepared, ATTRIBUTES)
    problems(prepared)
    assert ask(prepared, ATTRIBUTES) == before


def test_tables_of_the_users_stay(engine: Engine) -> None:
    """Creating our tables touches none that was there."""
    execute(engine, "CREATE TABLE of_the_user (id int NOT NULL)", "CREATE TABLE dim_asset (id int, name varchar(9))")
    before = ask(engine, ATTRIBUTES)
    prepare_in(engine)
    assert [row for row in ask(engine, ATTRIBUTES) if row[0] in {"of_the_user", "dim_asset"}] == before


def test_disabled_timeframe_stays_disabled(prepared: Engine) -> None:
    """Defaults are inserted only where they are absent; what the user chose stays."""
    execute(
        prepared,
        "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '7D'",
        "UPDATE dim_period SET is_enabled = false WHERE period = 10",
        "DELETE FROM dim_timeframe WHERE tf = '14D'",
    )
    prepare_in(prepared)
    with prepared.connect() as connection:
        dimensions = read_dimensions(connection)
    assert "7D" not in {timeframe.tf for timeframe in dimensions.timeframes}
    assert 10 not in dimensions.periods
    assert "14D" in {timeframe.tf for timeframe in dimensions.timeframes}


def test_timeframes_and_periods_of_the_users(prepared: Engine) -> None:
    """Rows that the user adds are taken in the place that their sort order gives them."""
    execute(
        prepared,
        "INSERT INTO dim_timeframe VALUES ('9D', 'D', 9, 9, 'rolling', NULL, true, 0)",
        "INSERT INTO dim_period VALUES (5, true, 0)",
    )
    with prepared.connect() as connection:
        dimensions = read_dimensions(connection)
    assert dimensions.timeframes[0].tf == "9D"
    assert dimensions.periods == (5, *DEFAULT_PERIODS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("'9M_CAL_ANCHOR', 'M', 9, 270, 'anchored', NULL, true, 99", "'9M_CAL_ANCHOR'.*months"),
        ("'9M_CAL_ANCHOR', 'M', 9, 270, 'anchored', NULL, false, 99", "'9M_CAL_ANCHOR'.*months"),
        ("'9Q', 'Q', 9, 270, 'anchored', NULL, true, 99", "'9Q'.*'Q'"),
        ("'8D', 'D', 8, 9, 'rolling', NULL, true, 99", "'8D'.*tf_days_nominal.*9.*8"),
        ("'8d', 'D', 8, 8, 'rolling', NULL, true, 99", "'8d'.*tf is '8d'.*'8D'"),
        ("'3W_CAL', 'W', 3, 21, 'aligned', NULL, true, 99", "'3W_CAL'.*calendar_scheme US or ISO"),
    ],
)
def test_bad_timeframe_is_refused(prepared: Engine, row: str, message: str) -> None:
    """A timeframe that breaks the rules of its family is refused by its name, even a disabled one."""
    execute(prepared, f"INSERT INTO dim_timeframe VALUES ({row})")
    with prepared.connect() as connection, pytest.raises(DimensionError, match=f"dim_timeframe row {message}"):
        read_dimensions(connection)


@pytest.mark.parametrize("column", ["base_unit", "tf_qty", "tf_days_nominal", "alignment"])
def test_timeframe_without_a_value(prepared: Engine, column: str) -> None:
    """A row that lacks what a timeframe is made of is refused by its name, and does not crash the program."""
    execute(
        prepared,
        f"ALTER TABLE dim_timeframe ALTER COLUMN {column} DROP NOT NULL",
        f"UPDATE dim_timeframe SET {column} = NULL WHERE tf = '7D'",
    )
    with prepared.connect() as connection, pytest.raises(DimensionError, match="dim_timeframe row '7D'"):
        read_dimensions(connection)


@pytest.mark.parametrize("period", [0, -10])
def test_bad_period_is_refused(prepared: Engine, period: int) -> None:
    """A period below 1 is refused by its number."""
    execute(prepared, f"INSERT INTO dim_period VALUES ({period}, true, 99)")
    with prepared.connect() as connection, pytest.raises(DimensionError, match=f"dim_period row {period}:"):
        read_dimensions(connection)


def test_other_time_zone_is_refused(engine: Engine) -> None:
    """Days cut by one time zone are not mixed with days cut by another; the message names the one to use."""
    prepare_in(engine, "Asia/Tokyo")
    with pytest.raises(SettingsError, match=r"--tz UTC: .* built with Asia/Tokyo; use --tz Asia/Tokyo, or drop"):
        prepare_in(engine, "UTC")
    prepare_in(engine, "Asia/Tokyo")


def test_dropped_tables_take_another_time_zone(engine: Engine) -> None:
    """Once the tables are dropped, another time zone is taken."""
    prepare_in(engine, "Asia/Tokyo")
    execute(engine, f"DROP TABLE {', '.join(METADATA.tables)} CASCADE")
    prepare_in(engine, "UTC")
    assert ask(engine, "SELECT value FROM refresh_settings WHERE name = 'tz'") == [("UTC",)]


def test_preparing_can_be_rolled_back(engine: Engine) -> None:
    """A transaction that is rolled back leaves no table behind."""
    with transaction(engine) as connection:
        prepare(connection)
        connection.rollback()
    assert ask(engine, "SELECT FROM pg_class WHERE relnamespace = 2200") == []


def test_tables_of_another_schema_are_not_ours(engine: Engine) -> None:
    """A table of the same name in another schema is neither verified nor taken for ours."""
    execute(engine, "CREATE SCHEMA other", "CREATE TABLE other.dim_period (nothing text NOT NULL)")
    prepare_in(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM public.dim_period")).scalar() == len(DEFAULT_PERIODS)
