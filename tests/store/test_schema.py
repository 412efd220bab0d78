"""Tables that are created, verified and never altered, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text
from statements import ask, execute

from refresh.catalog import legs
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.errors import SchemaError, SettingsError
from refresh.store.database import connect, read_committed, transaction
from refresh.store.reader_views import READER_VIEWS
from refresh.store.schema import looking, prepare
from refresh.store.tables import METADATA

SNAPSHOTS = [leg.target for _, leg in legs() if leg.shape.has_timeframes and not leg.averages]
EMAS = [leg.target for _, leg in legs() if leg.averages]
KEYS = {
    "cmc_price_bars_1d": {("p", "id, timestamp"), ("u", "id, tf, bar_seq")},
    "cmc_price_bars_1d_state": {("p", "id")},
    "cmc_price_bars_1d_source_months": {("p", "id, month")},
    "cmc_price_bars_1d_rejects": {("p", "number")},
    **{table: {("p", "id, timestamp, tf")} for table in SNAPSHOTS},
    **{f"{table}_state": {("p", "id, tf")} for table in SNAPSHOTS},
    **{f"{table}_packed": {("p", "id, ts, shelf")} for table in EMAS},
    **{f"{table}_series": {("p", "tf, period"), ("u", "shelf, place")} for table in EMAS},
    **{f"{table}_state": {("p", "id, tf, periods")} for table in EMAS},
    "dim_timeframe": {("p", "tf")},
    "dim_period": {("p", "period")},
    "dim_asset": {("p", "id")},
    "refresh_calendars": {("p", "calendar")},
    "ema_alpha_lookup": {("p", "tf, period")},
    "refresh_settings": {("p", "name")},
    "refresh_restatements": {("p", "number")},
    "refresh_runs": {("p", "run_id")},
    "refresh_steps": {("p", "run_id, builder")},
    "refresh_outcomes": {("p", "run_id, builder, id")},
    "refresh_validations": {("p", "run_id")},
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
    "missing with a default": 'ALTER TABLE cmc_price_bars_multi_tf DROP COLUMN "ingested_at"',
    "missing text": 'ALTER TABLE cmc_price_bars_1d DROP COLUMN "src_name"',
    "missing array": 'ALTER TABLE cmc_ema_multi_tf_state DROP COLUMN "periods"',
    "narrower": "ALTER TABLE cmc_price_bars_1d ALTER COLUMN volume TYPE real",
    "wider": "ALTER TABLE cmc_price_bars_1d ALTER COLUMN close TYPE numeric",
    "text instead of a number": "ALTER TABLE cmc_price_bars_multi_tf ALTER COLUMN bar_seq TYPE text",
    "local time": "ALTER TABLE cmc_price_bars_multi_tf_state ALTER COLUMN seen_ts TYPE timestamp",
    "other text": "ALTER TABLE dim_timeframe ALTER COLUMN alignment TYPE varchar(20)",
    "extra": "ALTER TABLE cmc_price_bars_1d ADD COLUMN venue text NOT NULL",
}
WITHOUT_READERS = f"DROP VIEW {', '.join(READER_VIEWS)}"
"""PostgreSQL lets nobody change a column that a view shows: who does drops the views first, and a run creates them."""


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    with connect(database_url) as engine:
        yield engine


@pytest.fixture
def prepared(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database that has all tables."""
    with connect(prepared_url) as engine:
        yield engine


def prepare_in(engine: Engine, tz: str = "UTC") -> None:
    """Prepare the tables in a transaction that sees one state of the database."""
    with transaction(engine) as connection:
        prepare(connection, tz)


def problems(engine: Engine) -> dict[str, str]:
    """What is refused, by column, with the statement that mends it."""
    with pytest.raises(SchemaError) as caught:
        prepare_in(engine)
    assert "\n" not in str(caught.value)
    refused = str(caught.value).removeprefix("the tables do not fit: ")
    statements: dict[str, str] = {}
    for part in re.split(r"; (?=\w+(?:\.\w+)? is )", refused):
        problem, _, statement = part.partition(": ")
        column = problem.partition(" ")[0]
        statements[column] = statement
    return statements


def test_creates_every_table(engine: Engine) -> None:
    """An empty database gets every table, the default timeframes and the default periods."""
    prepare_in(engine)
    tables = ask(engine, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200")
    assert {name for (name,) in tables} == set(METADATA.tables)
    assert len(ask(engine, "SELECT FROM dim_timeframe WHERE is_enabled")) == len(DEFAULT_TIMEFRAMES)
    assert [period for (period,) in ask(engine, "SELECT period FROM dim_period ORDER BY 1")] == list(DEFAULT_PERIODS)


def test_keys(prepared: Engine) -> None:
    """Every table has its keys, and no table has one that is not listed here."""
    keys: dict[str, set[tuple[str, str]]] = {table: set() for table in KEYS}
    query = """
        SELECT r.conrelid::regclass::text, r.contype::text, string_agg(a.attname, ', ' ORDER BY k.position)
        FROM pg_constraint r CROSS JOIN unnest(r.conkey) WITH ORDINALITY AS k(attnum, position)
        JOIN pg_attribute a ON (a.attrelid, a.attnum) = (r.conrelid, k.attnum)
        WHERE r.contype IN ('p', 'u') AND r.connamespace = 2200 GROUP BY r.oid, 1, 2
    """
    for table, kind, columns in ask(prepared, query):
        if table in keys:
            keys[table].add((kind, columns))
    assert keys == KEYS
    assert set(KEYS) == set(METADATA.tables)


def test_indexes(prepared: Engine) -> None:
    """Canonical snapshots and rejects have an index of their own."""
    query = """
        SELECT i.indrelid::regclass::text, string_agg(a.attname, ', ' ORDER BY k.position),
               pg_get_expr(i.indpred, i.indrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relnamespace = 2200
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
        JOIN pg_attribute a ON (a.attrelid, a.attnum) = (i.indrelid, k.attnum)
        WHERE NOT i.indisunique GROUP BY i.indexrelid, 1, 3
    """
    indexes: dict[str, set[tuple[str, str | None]]] = {}
    for table, columns, condition in ask(prepared, query):
        indexes.setdefault(table, set()).add((columns, condition))
    assert {table: indexes.get(table) for table in INDEXES} == INDEXES


def test_preparing_twice_changes_nothing(prepared: Engine) -> None:
    """What exists is left as it is: no column, no row and no object is touched."""
    versions = "SELECT tf, xmin::text FROM dim_timeframe ORDER BY tf"
    before = ask(prepared, ATTRIBUTES), ask(prepared, versions)
    prepare_in(prepared)
    assert (ask(prepared, ATTRIBUTES), ask(prepared, versions)) == before


def test_two_processes_prepare_together(engine: Engine) -> None:
    """Of two programs that meet an empty database at the same time one creates the tables and both go on."""
    ready = Barrier(2)

    def meet(meeting: Engine) -> None:
        with read_committed(meeting) as connection:
            ready.wait(10)
            prepare(connection)

    url = engine.url.render_as_string(hide_password=False)
    with connect(url) as other, ThreadPoolExecutor(2) as pool:
        for meeting in [pool.submit(meet, engine), pool.submit(meet, other)]:
            meeting.result()
    assert len(ask(engine, "SELECT FROM dim_timeframe")) == len(DEFAULT_TIMEFRAMES)


def test_dropped_table_is_created_again(prepared: Engine) -> None:
    """A table that the user dropped comes back, and the others are left as they are."""
    execute(prepared, "DROP TABLE cmc_price_bars_multi_tf_cal_us CASCADE")
    before = ask(prepared, ATTRIBUTES)
    prepare_in(prepared)
    after = ask(prepared, ATTRIBUTES)
    created = {
        f"cmc_price_bars_multi_tf_cal_us{suffix}" for suffix in ("", "_pkey", "_canonical", "_closed", "_latest")
    }
    created.add("cmc_ema_multi_tf_cal_us_with_bars")
    assert [row for row in after if row[0] not in created] == before


@pytest.mark.parametrize("dropped", ["TABLE cmc_ema_multi_tf_v2_packed CASCADE", "VIEW cmc_ema_multi_tf_v2"])
def test_dropped_averages_are_created_again(prepared: Engine, dropped: str) -> None:
    """A view comes back as it was, with its table if that is gone too."""
    before = _attributes(prepared)
    execute(prepared, f"DROP {dropped}")
    assert _attributes(prepared) != before
    prepare_in(prepared)
    assert _attributes(prepared) == before


def _attributes(engine: Engine) -> list[tuple[Any, ...]]:
    """The attributes of all relations, whichever they were in the life of the database."""
    return [(row[0], *row[2:]) for row in ask(engine, ATTRIBUTES)]


@pytest.mark.parametrize("statement", BREAK.values(), ids=BREAK)
def test_statement_mends_the_table(prepared: Engine, statement: str) -> None:
    """A column that does not fit is refused by name, with the one statement that mends it."""
    execute(prepared, WITHOUT_READERS, statement)
    mending = problems(prepared)
    table, _, column = next(iter(mending)).partition(".")
    assert table in statement
    assert column in statement
    assert {name.partition(".")[0] for name in mending} == {table}
    execute(prepared, *mending.values())
    prepare_in(prepared)


def test_missing_column_of_a_table_with_rows(prepared: Engine) -> None:
    """The statement mends a table that has rows as well."""
    execute(
        prepared,
        "INSERT INTO cmc_ema_multi_tf_state (id, tf, periods, close_sum) VALUES (1, '7D', '{10}', 0)",
        "ALTER TABLE cmc_ema_multi_tf_state DROP COLUMN close_sum",
    )
    execute(prepared, *problems(prepared).values())
    prepare_in(prepared)


def test_every_problem_at_once(prepared: Engine) -> None:
    """One error lists whatever does not fit, in all tables."""
    execute(prepared, WITHOUT_READERS, *(BREAK[what] for what in ("missing", "narrower", "extra", "missing array")))
    refused = problems(prepared)
    assert set(refused) == {
        "cmc_price_bars_multi_tf.market_cap",
        "cmc_price_bars_1d.volume",
        "cmc_price_bars_1d.venue",
        "cmc_ema_multi_tf_state.periods",
        "cmc_ema_multi_tf_state",
    }
    execute(prepared, *refused.values())
    prepare_in(prepared)


@pytest.mark.parametrize(
    "column",
    ["note text", "venue text NOT NULL DEFAULT 'x'", "number bigint GENERATED ALWAYS AS IDENTITY"],
)
def test_columns_of_the_user(prepared: Engine, column: str) -> None:
    """A column that an insert need not name is accepted."""
    execute(prepared, f"ALTER TABLE cmc_price_bars_1d ADD COLUMN {column}")
    prepare_in(prepared)


def test_refusal_changes_nothing(prepared: Engine) -> None:
    """If a table does not fit, neither it nor any other is altered, created or dropped."""
    execute(
        prepared,
        WITHOUT_READERS,
        BREAK["narrower"],
        "DROP VIEW cmc_ema_multi_tf_v2",
        "CREATE TABLE of_the_user (id int NOT NULL)",
    )
    before = ask(prepared, ATTRIBUTES)
    problems(prepared)
    assert ask(prepared, ATTRIBUTES) == before


def test_tables_of_the_user_stay(engine: Engine) -> None:
    """Creating our tables touches none of the user's."""
    execute(engine, "CREATE TABLE of_the_user (id int NOT NULL)", "CREATE TABLE dim_coin (id int, name varchar(9))")
    before = ask(engine, ATTRIBUTES)
    prepare_in(engine)
    assert [row for row in ask(engine, ATTRIBUTES) if row[0] in {"of_the_user", "dim_coin"}] == before


def test_other_time_zone_is_refused(engine: Engine) -> None:
    """Days of one time zone are not mixed with days of another; the message names the one to use."""
    prepare_in(engine, "Asia/Tokyo")
    with pytest.raises(SettingsError, match=r"--tz UTC: .* built with Asia/Tokyo; use --tz Asia/Tokyo, or change"):
        prepare_in(engine, "UTC")
    prepare_in(engine, "Asia/Tokyo")


def test_dropped_tables_take_another_time_zone(engine: Engine) -> None:
    """Once the tables are dropped, another time zone is accepted."""
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


UNDO = {
    "primary key": "ALTER TABLE cmc_ema_multi_tf_packed DROP CONSTRAINT cmc_ema_multi_tf_packed_pkey",
    "unique key": "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT cmc_price_bars_1d_id_tf_bar_seq_key",
    "index": "DROP INDEX cmc_price_bars_multi_tf_canonical",
    "index of other rows": "DROP INDEX refresh_outcomes_latest; "
    "CREATE INDEX ON refresh_outcomes (builder, id, noted_at)",
    "default": "ALTER TABLE cmc_price_bars_1d ALTER ingested_at DROP DEFAULT",
    "key that may be NULL": "ALTER TABLE cmc_price_bars_1d_state DROP CONSTRAINT cmc_price_bars_1d_state_pkey; "
    "ALTER TABLE cmc_price_bars_1d_state ALTER id DROP NOT NULL",
}


@pytest.mark.parametrize("statement", UNDO.values(), ids=UNDO)
def test_keys_indexes_and_defaults_are_verified(prepared: Engine, statement: str) -> None:
    """What is missing is named, with the statement that mends it."""
    execute(prepared, statement)
    mending = problems(prepared)
    assert {name.partition(".")[0] in statement for name in mending} == {True}
    execute(prepared, *mending.values())
    prepare_in(prepared)


def test_invalid_index(prepared: Engine) -> None:
    """An index that was never finished is named."""
    name = "cmc_price_bars_multi_tf_canonical"
    execute(prepared, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    assert problems(prepared) == {"cmc_price_bars_multi_tf": f"REINDEX INDEX {name}"}
    execute(prepared, f"REINDEX INDEX {name}")
    prepare_in(prepared)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER INDEX cmc_price_bars_multi_tf_canonical RENAME TO mine",
        "CREATE INDEX ON cmc_ema_multi_tf_packed (ts)",
        "ALTER TABLE cmc_ema_multi_tf_packed RENAME CONSTRAINT cmc_ema_multi_tf_packed_pkey TO mine",
    ],
)
def test_names_and_indexes_of_the_user(prepared: Engine, statement: str) -> None:
    """Other names and further indexes are accepted."""
    execute(prepared, statement)
    prepare_in(prepared)
    found = "SELECT FROM pg_indexes WHERE indexname IN ('mine', 'cmc_ema_multi_tf_packed_ts_idx')"
    assert len(ask(prepared, found)) == 1


@pytest.mark.parametrize("table", ["cmc_price_bars_1d_rejects", "refresh_restatements"])
def test_key_of_former_tables(prepared: Engine, table: str) -> None:
    """A table that was made without a key gets one, and its rows are numbered."""
    execute(prepared, f"ALTER TABLE {table} DROP number")
    columns = "id, run_id, reason, " + ("copy" if "rejects" in table else "first_day, last_day, rows_changed")
    values = "7, 'r', 'why', " + ("n" if "rejects" in table else "'2024-01-01', '2024-01-01', n")
    execute(prepared, f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, 3) AS n")
    with looking(prepared) as connection:
        assert connection.execute(text(f"SELECT count(*), max(number) FROM {table}")).one() == (3, None)
    prepare_in(prepared)
    assert ask(prepared, f"SELECT number FROM {table} ORDER BY 1") == [(1,), (2,), (3,)]
    prepare_in(prepared)


def test_key_that_counts_no_more(prepared: Engine) -> None:
    """A number that the user made a plain column is named, with the statement that mends it."""
    execute(prepared, "ALTER TABLE refresh_restatements ALTER COLUMN number DROP IDENTITY")
    execute(prepared, *problems(prepared).values())
    prepare_in(prepared)
    assert ask(prepared, "SELECT attidentity FROM pg_attribute WHERE attname = 'number' AND attnum > 0")


def test_name_that_is_taken(prepared: Engine) -> None:
    """A view in the place of a table is a plain error."""
    execute(prepared, "DROP TABLE refresh_steps CASCADE", "CREATE VIEW refresh_steps AS SELECT 1 AS id")
    with pytest.raises(SchemaError, match="refresh_steps is a view, not a table: ALTER TABLE"):
        prepare_in(prepared)


def test_view_that_was_changed(prepared: Engine) -> None:
    """A view of ours with another definition is refused; once dropped it is created again."""
    execute(
        prepared,
        "CREATE OR REPLACE VIEW refresh_last_good AS SELECT id, builder, run_id, noted_at AS done_at, "
        "rows, reason FROM refresh_outcomes",
    )
    with pytest.raises(SchemaError, match="refresh_last_good is another view: DROP VIEW refresh_last_good"):
        prepare_in(prepared)
    execute(prepared, "DROP VIEW refresh_last_good")
    prepare_in(prepared)
    assert ask(prepared, "SELECT pg_get_viewdef('refresh_last_good') LIKE '%DISTINCT ON%'") == [(True,)]


def test_columns_of_ours_are_added(prepared: Engine) -> None:
    """Tables that are ours alone get columns that have a default or may be NULL; the others keep their error."""
    execute(prepared, "ALTER TABLE cmc_ema_multi_tf_state DROP version", "ALTER TABLE refresh_runs DROP summary")
    prepare_in(prepared)
    query = "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:name AS regclass) AND attname = :column"
    for name, column in (("cmc_ema_multi_tf_state", "version"), ("refresh_runs", "summary")):
        assert ask(prepared, query, name=name, column=column) == [(column,)]
