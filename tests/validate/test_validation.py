"""Whatever is wrong in whichever column of whichever table: building it anew finds it, and names where it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import pytest
from conftest import database
from refreshing import NOW, TARGETS, moved, refresh
from sqlalchemy import URL, Column, Connection, Engine, make_url, text

from refresh.catalog import BUILDERS, SOURCE
from refresh.validate.finding import Finding, Validity
from refresh.options.request import Request
from refresh.records import Status
from refresh.validate import shadow
from refresh.due import survey
from refresh.store.database import connect, transaction
from refresh.store.tables import METADATA
from refresh.validate.validation import build_shadow, validate

IDS = (1, 2)
TODAY = date(2030, 1, 1)
TFS = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
PERIODS = [1, 2, 3]
FILL = f"""
    INSERT INTO {SOURCE} (id, name, "timestamp", timeopen, timeclose, timehigh, open, high, low, close, volume,
                          marketcap, source_file, load_ts)
    SELECT asset, 'Asset ' || asset, at, at - interval '1 day - 1 ms', at,
           CASE WHEN n % 3 > 0 THEN at - interval '5 hours' END, value, CASE WHEN n % 10 = 4 THEN 1 ELSE value + 7 END,
           value - 7, value + sin(n), CASE WHEN n % 4 > 0 THEN 1000 + n END, CASE WHEN n % 5 > 0 THEN 5000 + n END,
           CASE WHEN n % 6 > 0 THEN 'a.csv' END, CASE WHEN n % 7 > 0 THEN at END
    FROM unnest(CAST(:assets AS int[])) AS asset CROSS JOIN generate_series(asset * 3, 75) AS n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-07 23:59:59.999Z' + n * interval '1 day' AS at,
                               50 + 20 * cos(n * asset / 9.0) AS value) AS made
    WHERE n NOT IN (19, 20, 33, 47, 72)
"""
"""Some seventy days of a few assets, with gaps, and with values that have to be repaired or are absent."""

VALUE_COLUMNS = [
    pytest.param(table, column.name, id=f"{table.removeprefix('cmc_')}-{column.name}")
    for table in TARGETS
    for column in METADATA.tables[table].columns
    if column.name != "ingested_at"
]
CHANGES = {
    "INTEGER": ['"{0}" + 1000'],
    "BIGINTEGER": ['"{0}" + 1000'],
    "BOOLEAN": ['NOT "{0}"'],
    "DATE": ['"{0}" + 1', "NULL"],
    "DATETIME": ["\"{0}\" + interval '1 microsecond'", "\"{0}\" + interval '1 second'", "NULL"],
    "TEXT": ["\"{0}\" || ' '", "NULL"],
    "DOUBLE": [":next", ":last", "'NaN'", "'infinity'", "NULL"],
}
"""What becomes of a value, by the type of its column."""
APPEARANCES = {"DATE": "'2024-01-01'", "DATETIME": "'2024-01-01Z'", "TEXT": "''", "DOUBLE": "0"}
"""What becomes of a NULL."""


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database in which every table was built and is right."""
    with database(server, template) as url:
        engine = connect(url)
        with engine.begin() as connection:
            connection.execute(text(FILL), {"assets": list(IDS)})
            connection.execute(text("UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)"), {"tfs": TFS})
            connection.execute(text("UPDATE dim_period SET is_enabled = false"))
            connection.execute(text("INSERT INTO dim_period SELECT unnest(CAST(:p AS int[])), true, 0"), {"p": PERIODS})
        assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
        engine.dispose()
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def anew(server: URL, built: str) -> Iterator[Connection]:
    """A transaction in which every asset was built anew; each test puts back what it changes."""
    with database(server, built) as url:
        engine = connect(url)
        with transaction(engine) as connection:
            build_shadow(connection, survey.open_scopes(connection, BUILDERS, Request(), NOW), IDS)
            yield connection
            connection.rollback()
        engine.dispose()


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on the test's own copy of the database."""
    with database(server, built) as url:
        engine = connect(url)
        yield engine
        engine.dispose()


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A block that leaves nothing behind."""
    point = connection.begin_nested()
    try:
        yield
    finally:
        point.rollback()


def judged(connection: Connection, table: str) -> list[Finding]:
    """What is found in a table that was built anew."""
    scopes = survey.open_scopes(connection, BUILDERS, Request(), NOW)
    of = ((scope, leg) for scope in scopes for leg in scope.builder.legs if leg.target == table)
    scope, leg = next(of)
    return list(shadow.differences(connection, leg, scope.of(leg), IDS))


def kind(column: Column[Any]) -> str:
    """The type of a column, in one word."""
    return type(column.type).__name__.upper()


def time_of(table: str) -> str:
    """The column that holds the time of a table's rows."""
    return "ts" if "ts" in METADATA.tables[table].columns else "timestamp"


def last_row(connection: Connection, table: str, condition: str) -> Any:
    """The last row of an asset for which something holds, and where it lies; ``None`` where there is no such row."""
    period = "period" if "period" in METADATA.tables[table].columns else "NULL::int AS period"
    query = f"""SELECT ctid::text AS place, id, tf, "{time_of(table)}" AS at, {period} FROM public.{table}
                WHERE {condition} ORDER BY "{time_of(table)}" DESC, id, tf LIMIT 1"""
    return connection.execute(text(query)).first()


def told(connection: Connection, table: str, column: str, condition: str) -> tuple[str, Any]:
    """How a finding tells of one value of a row, and the value."""
    query = f'SELECT to_jsonb("{column}"), "{column}" FROM public.{table} WHERE {condition}'
    shown, value = connection.execute(text(query)).one()
    return f"{column} {shown}", value


def check_flip(connection: Connection, table: str, column: str, row: Any, change: str) -> None:
    """Change one value of a row: that is found, and nothing else."""
    expected, value = told(connection, table, column, f"ctid = '{row.place}'")
    near = {"next": math.inf, "last": -math.inf}
    given = {name: math.nextafter(value, end) for name, end in near.items() if f":{name}" in change}
    place = (table, row.id, row.tf, row.period, row.at)
    query = f"""UPDATE public.{table} SET "{column}" = {change.format(column)} WHERE ctid = '{row.place}'
                RETURNING to_jsonb("{column}") AS shown"""
    with undone(connection):
        changed = connection.execute(text(query), given).one()
        found = judged(connection, table)
    if column in METADATA.tables[table].primary_key.columns:
        other = [finding for finding in found if finding != Finding(*place, "a row", "none")]
        assert len(found) == len(other) + 1
        assert [(one.expected, one.found) for one in other] == [("no row", "a row")] * (column == time_of(table))
    else:
        assert found == [Finding(*place, expected, f"{column} {changed.shown}")]
        assert found[0].expected != found[0].found


# Values


@pytest.mark.parametrize(("table", "column"), VALUE_COLUMNS)
def test_every_flip_is_found(anew: Connection, table: str, column: str) -> None:
    """One wrong value, a NULL in its place or a value in place of a NULL is one finding with both of its sides."""
    of = METADATA.tables[table].columns[column]
    row = last_row(anew, table, f'"{column}" IS NOT NULL')
    changes = [change for change in CHANGES[kind(of)] if of.nullable or change != "NULL"]
    assert row
    for change in changes:
        check_flip(anew, table, column, row, change)
    blank = last_row(anew, table, f'"{column}" IS NULL') if of.nullable else None
    if blank:
        check_flip(anew, table, column, blank, APPEARANCES[kind(of)])


def test_every_kind_of_row_is_there(anew: Connection) -> None:
    """The database has bars that closed and bars that form, EMAs on and between closes, gaps and repairs."""
    for table in TARGETS:
        kinds = [name for name in ("roll", "is_partial_end", "is_missing_days") if name in METADATA.tables[table].c]
        if table.endswith("_1d"):
            kinds = ["repaired_high", "repaired_timehigh", "is_missing_days"]
        for name in kinds:
            query = text(f"SELECT count(DISTINCT {name}) FROM public.{table}")
            assert anew.execute(query).scalar_one() == 2, (table, name)


def test_nothing_is_found_where_nothing_is_wrong(anew: Connection) -> None:
    """Tables built day after day or at once are the same, bit for bit."""
    assert [finding for table in TARGETS for finding in judged(anew, table)] == []
    for table in TARGETS:
        shadows, real = (
            anew.execute(text(f"SELECT count(*) FROM {schema}.{table}")).scalar_one()
            for schema in ("pg_temp", "public")
        )
        assert shadows == real > 0


@pytest.mark.parametrize("table", TARGETS)
def test_several_wrong_values_of_a_row_are_one_finding(anew: Connection, table: str) -> None:
    """A row is told of once, with every column that is wrong."""
    value = "ema" if "ema" in METADATA.tables[table].columns else "close"
    other = "roll" if value == "ema" else "is_partial_start"
    row = last_row(anew, table, "true")
    with undone(anew):
        query = f"UPDATE public.{table} SET \"{value}\" = 7.5, {other} = NOT {other} WHERE ctid = '{row.place}'"
        anew.execute(text(query))
        (finding,) = judged(anew, table)
        sides = [dict(part.split(" ") for part in side.split(", ")) for side in (finding.expected, finding.found)]
        assert [set(side) for side in sides] == [{value, other}, {value, other}]
        assert float(sides[1][value]) == 7.5
        assert {side[other] for side in sides} == {"True", "False"}


# Rows


@pytest.mark.parametrize("table", TARGETS)
def test_missing_rows_are_found(anew: Connection, table: str) -> None:
    """Rows that are gone are named one by one, in the order of their time."""
    time = time_of(table)
    with undone(anew):
        query = text(f"""DELETE FROM public.{table} WHERE id = 2 AND "{time}" BETWEEN '2024-03-01Z' AND '2024-03-05Z'
                         RETURNING "{time}" """)
        gone = sorted(anew.execute(query).scalars())
        found = judged(anew, table)
        assert {(one.table, one.id, one.expected, one.found) for one in found} == {(table, 2, "a row", "none")}
        assert [one.at for one in found] == gone
        assert len(gone) >= 4


@pytest.mark.parametrize("table", TARGETS)
def test_rows_too_many_are_found(anew: Connection, table: str) -> None:
    """A row that nothing implies is named."""
    time = time_of(table)
    changed = {time: f"\"{time}\" + interval '1 second'", "bar_seq": "1000 + bar_seq"}
    names = [column.name for column in METADATA.tables[table].columns]
    values = ", ".join(changed.get(name, f'"{name}"') if table.endswith("_1d") or name == time else f'"{name}"'
                       for name in names)  # fmt: skip
    row = last_row(anew, table, "id = 2")
    with undone(anew):
        columns = ", ".join(f'"{name}"' for name in names)
        anew.execute(
            text(
                f"INSERT INTO public.{table} ({columns}) SELECT {values} FROM public.{table} WHERE ctid = '{row.place}'"
            )
        )
        (finding,) = judged(anew, table)
        place = (finding.table, finding.id, finding.tf, finding.period)
        assert place == (table, 2, row.tf, row.period)
        assert finding.at is not None
        assert (finding.at - row.at).total_seconds() == 1
        assert (finding.expected, finding.found) == ("no row", "a row")


@pytest.mark.parametrize("table", TARGETS)
def test_empty_table_is_found(anew: Connection, table: str) -> None:
    """However many rows are wrong, only the first are told."""
    with undone(anew):
        rows = anew.execute(text(f"DELETE FROM public.{table}")).rowcount
        assert len(judged(anew, table)) == min(rows, shadow.SHOWN)


# The whole validation


def whole(engine: Engine, number: int | None = len(IDS), ids: Sequence[int] = IDS) -> Validity:
    """A validation that builds so many assets anew."""
    with transaction(engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request(), NOW)
    return validate(engine, scopes, ids, number, TODAY)


def test_right_database_has_no_finding(engine: Engine) -> None:
    """Nothing is wrong, everything was looked at, and nothing was written."""
    before = moved(engine)
    validity = whole(engine)
    assert (validity.findings, validity.pending) == ((), ())
    assert (validity.judged, validity.recomputed) == (2, IDS)
    assert moved(engine) == before


def test_appended_database_has_no_finding(engine: Engine) -> None:
    """Days that were taken in one by one, and others that were changed afterwards, are right."""
    for day in range(76, 80):
        with engine.begin() as connection:
            fill = FILL.replace("asset * 3, 75", f"{day}, {day}")
            connection.execute(text(fill), {"assets": list(IDS)})
        refresh(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id = 1 AND timeclose < '2024-02-02Z'"))
        connection.execute(text(f"DELETE FROM {SOURCE} WHERE id = 2 AND timeclose < '2024-01-20Z'"))
    refresh(engine, Request(accept_restatement=True))
    assert (whole(engine).findings, whole(engine).pending) == ((), ())


def test_wrong_values_are_found_by_a_whole_validation(engine: Engine) -> None:
    """A value that breaks no law is found in every table where its asset is built anew, and only there."""
    expected: list[Finding] = []
    with engine.begin() as connection:
        for table in TARGETS:
            column = "d2_roll" if "d2_roll" in METADATA.tables[table].columns else "volume"
            row = last_row(connection, table, f'id = 2 AND "{column}" IS NOT NULL')
            before, value = told(connection, table, column, f"ctid = '{row.place}'")
            query = (
                f"""UPDATE {table} SET "{column}" = :value WHERE ctid = '{row.place}' RETURNING to_jsonb("{column}")"""
            )
            after = connection.execute(text(query), {"value": math.nextafter(value, math.inf)}).scalar_one()
            expected.append(Finding(table, 2, row.tf, row.period, row.at, before, f"{column} {after}"))
    assert list(whole(engine).findings) == expected
    assert whole(engine, ids=(1,)).findings == ()
    assert whole(engine, 0).findings == ()


def test_sample_goes_round(engine: Engine) -> None:
    """Where nothing is asked one asset is built anew, another one each day."""
    with transaction(engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request(), NOW)
    days = (date(2030, 1, day) for day in (1, 2))
    assert {validate(engine, scopes, IDS, None, day).recomputed for day in days} == {(1,), (2,)}


def test_what_is_due_is_not_judged(engine: Engine) -> None:
    """An asset whose source moved on is named and left alone, others are not."""
    at = datetime.fromisoformat("2024-02-20T23:59:59.999Z")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SOURCE} SET close = 51 WHERE id = 2 AND timeclose = :at"), {"at": at})
        connection.execute(
            text('UPDATE cmc_price_bars_1d SET close = close + 0.001 WHERE "timestamp" = :at'), {"at": at}
        )
    validity = whole(engine)
    assert (validity.pending, validity.recomputed) == ((2,), (1,))
    assert {(one.table, one.id, one.at) for one in validity.findings} == {("cmc_price_bars_1d", 1, at)}
