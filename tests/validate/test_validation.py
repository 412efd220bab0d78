"""Whatever is wrong in whichever column of whichever table: recomputing finds it, and names where it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import pytest
from databases import database
from refreshing import NOW, TARGETS, moved, open_scopes, refresh
from sqlalchemy import URL, Column, Connection, Engine, make_url, text

from refresh.catalog import BUILDERS, SOURCE
from refresh.core.rows import count
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect, transaction
from refresh.store.tables import METADATA
from refresh.validate.finding import Finding, Validity
from refresh.validate.recompute import SHOWN, Part, differences, first_of, recompute
from refresh.validate.validation import validate

Parts = Mapping[str, Sequence[Part]]
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
        with connect(url) as engine:
            with engine.begin() as connection:
                connection.execute(text(FILL), {"assets": list(IDS)})
                connection.execute(text("UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)"), {"tfs": TFS})
                connection.execute(text("UPDATE dim_period SET is_enabled = false"))
                insert = text("INSERT INTO dim_period SELECT unnest(CAST(:periods AS int[])), true, 0")
                connection.execute(insert, {"periods": PERIODS})
            assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def session(server: URL, built: str) -> Iterator[Connection]:
    """A transaction on a copy of the database; each test undoes what it changes."""
    with database(server, built) as url, connect(url) as engine, transaction(engine) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
def parts(session: Connection) -> Parts:
    """The rows that each table should have, recomputed before anything is changed."""
    scopes = survey.open_scopes(session, BUILDERS, Request().selection, NOW)
    recomputed: dict[str, list[Part]] = {table: [] for table in TARGETS}
    for id in IDS:
        for part in recompute(session, scopes, id):
            recomputed[part.leg.target].append(part)
    return recomputed


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on the test's own copy of the database."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A block whose changes are undone."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def judged(connection: Connection, parts: Sequence[Part]) -> list[Finding]:
    """The findings in a table of which these parts were recomputed."""
    findings: list[Finding] = []
    for part in parts:
        findings += differences(connection, part)
    return first_of(findings)


def kind(column: Column[Any]) -> str:
    """The type of a column, in one word."""
    return type(column.type).__name__.upper()


def time_of(table: str) -> str:
    """The column that holds the time of a table's rows."""
    return "ts" if "ts" in METADATA.tables[table].columns else "timestamp"


def last_row(connection: Connection, table: str, condition: str) -> Any:
    """The last row for which a condition holds, with its address; ``None`` where there is no such row."""
    period = "period" if "period" in METADATA.tables[table].columns else "NULL::int AS period"
    query = f"""SELECT ctid::text AS address, id, tf, "{time_of(table)}" AS time, {period} FROM {table}
                WHERE {condition} ORDER BY "{time_of(table)}" DESC, id, tf LIMIT 1"""
    return connection.execute(text(query)).first()


def shown(connection: Connection, table: str, column: str, condition: str) -> tuple[str, Any]:
    """How a finding shows a value of a row, and the value."""
    query = f'SELECT to_jsonb("{column}"), "{column}" FROM {table} WHERE {condition}'
    in_json, value = connection.execute(text(query)).one()
    return f"{column} {in_json}", value


def finding(table: str, row: Any, expected: str, found: str) -> Finding:
    """A finding about a row of ``last_row``."""
    return Finding(table=table, id=row.id, tf=row.tf, period=row.period, time=row.time, expected=expected, found=found)


def check_flip(connection: Connection, parts: Sequence[Part], column: str, row: Any, change: str) -> None:
    """Change one value of a row: that is found, and nothing else."""
    table = parts[0].leg.target
    expected, value = shown(connection, table, column, f"ctid = '{row.address}'")
    near = {"next": math.inf, "last": -math.inf}
    given = {name: math.nextafter(value, end) for name, end in near.items() if f":{name}" in change}
    query = f"""UPDATE {table} SET "{column}" = {change.format(column)} WHERE ctid = '{row.address}'
                RETURNING to_jsonb("{column}") AS shown"""
    with undone(connection):
        changed = connection.execute(text(query), given).one()
        findings = judged(connection, parts)
    if column in METADATA.tables[table].primary_key.columns:
        others = [other for other in findings if other != finding(table, row, "a row", "none")]
        assert len(findings) == len(others) + 1
        assert [(other.expected, other.found) for other in others] == [("no row", "a row")] * (column == time_of(table))
    else:
        assert findings == [finding(table, row, expected, f"{column} {changed.shown}")]
        assert findings[0].expected != findings[0].found


# Values


@pytest.mark.parametrize(("table", "column"), VALUE_COLUMNS)
def test_every_flip_is_found(session: Connection, parts: Parts, table: str, column: str) -> None:
    """One wrong value, a NULL instead of a value or a value instead of a NULL is one finding with both sides."""
    definition = METADATA.tables[table].columns[column]
    row = last_row(session, table, f'"{column}" IS NOT NULL')
    changes = [change for change in CHANGES[kind(definition)] if definition.nullable or change != "NULL"]
    assert row
    for change in changes:
        check_flip(session, parts[table], column, row, change)
    blank = last_row(session, table, f'"{column}" IS NULL') if definition.nullable else None
    if blank:
        check_flip(session, parts[table], column, blank, APPEARANCES[kind(definition)])


TIMES = [
    pytest.param(table, column.name, infinite, id=f"{table.removeprefix('cmc_')}-{column.name}-{infinite}")
    for table in TARGETS
    for column in METADATA.tables[table].columns
    for infinite in ("infinity", "-infinity")
    if kind(column) in {"DATE", "DATETIME"} and column.name != "ingested_at"
]


@pytest.mark.parametrize(("table", "column", "infinite"), TIMES)
def test_infinite_times_are_found(session: Connection, parts: Parts, table: str, column: str, infinite: str) -> None:
    """A time that no calendar holds is a finding in place of a time, and in place of a NULL."""
    rows = [last_row(session, table, f'"{column}" IS {null} NULL') for null in ("NOT", "")]
    for row in filter(None, rows):
        with undone(session):
            query = f"UPDATE {table} SET \"{column}\" = '{infinite}' WHERE ctid = '{row.address}'"
            session.execute(text(query))
            findings = judged(session, parts[table])
        if column == time_of(table):
            assert [(one.time, one.expected, one.found) for one in findings] == [
                (row.time, "a row", "none"),
                (None, "no row", "a row"),
            ]
        else:
            assert [(one.time, one.found) for one in findings] == [(row.time, f"{column} infinite")]


def test_every_kind_of_row_is_there(session: Connection) -> None:
    """The database has bars that closed and bars that form, EMAs on and between closes, gaps and repairs."""
    for table in TARGETS:
        kinds = [name for name in ("roll", "is_partial_end", "is_missing_days") if name in METADATA.tables[table].c]
        if table.endswith("_1d"):
            kinds = ["repaired_high", "repaired_timehigh", "is_missing_days"]
        for name in kinds:
            query = text(f"SELECT count(DISTINCT {name}) FROM {table}")
            assert session.execute(query).scalar_one() == 2, (table, name)


def test_nothing_is_found_where_nothing_is_wrong(session: Connection, parts: Parts) -> None:
    """Recomputed rows are the stored ones, bit for bit."""
    for table in TARGETS:
        assert judged(session, parts[table]) == []
        recomputed = sum(count(part.rows) for part in parts[table])
        stored = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert recomputed == stored > 0


@pytest.mark.parametrize("table", TARGETS)
def test_several_wrong_values_of_a_row_are_one_finding(session: Connection, parts: Parts, table: str) -> None:
    """A row is reported once, with every column that is wrong."""
    value = "ema" if "ema" in METADATA.tables[table].columns else "close"
    other = "roll" if value == "ema" else "is_partial_start"
    row = last_row(session, table, "true")
    with undone(session):
        query = f"UPDATE {table} SET \"{value}\" = 7.5, {other} = NOT {other} WHERE ctid = '{row.address}'"
        session.execute(text(query))
        (wrong,) = judged(session, parts[table])
    sides = [dict(part.split(" ") for part in side.split(", ")) for side in (wrong.expected, wrong.found)]
    assert [set(side) for side in sides] == [{value, other}, {value, other}]
    assert float(sides[1][value]) == 7.5
    assert {side[other] for side in sides} == {"True", "False"}


# Rows


@pytest.mark.parametrize("table", TARGETS)
def test_missing_rows_are_found(session: Connection, parts: Parts, table: str) -> None:
    """Rows that are gone are named one by one, in the order of their time."""
    time = time_of(table)
    with undone(session):
        query = text(f"""DELETE FROM {table} WHERE id = 2 AND "{time}" BETWEEN '2024-03-01Z' AND '2024-03-05Z'
                         RETURNING "{time}" """)
        gone = sorted(session.execute(query).scalars())
        findings = judged(session, parts[table])
    assert {(one.table, one.id, one.expected, one.found) for one in findings} == {(table, 2, "a row", "none")}
    assert [one.time for one in findings] == gone
    assert len(gone) >= 4


@pytest.mark.parametrize("table", TARGETS)
def test_rows_too_many_are_found(session: Connection, parts: Parts, table: str) -> None:
    """A row that nothing implies is named."""
    time = time_of(table)
    changes = {time: f"\"{time}\" + interval '1 second'"}
    if table.endswith("_1d"):
        changes["bar_seq"] = "1000 + bar_seq"
    names = [column.name for column in METADATA.tables[table].columns]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changes.get(name, f'"{name}"') for name in names)
    row = last_row(session, table, "id = 2")
    with undone(session):
        copy = f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE ctid = '{row.address}'"
        session.execute(text(copy))
        (extra,) = judged(session, parts[table])
    assert (extra.table, extra.id, extra.tf, extra.period) == (table, 2, row.tf, row.period)
    assert extra.time is not None
    assert (extra.time - row.time).total_seconds() == 1
    assert (extra.expected, extra.found) == ("no row", "a row")


@pytest.mark.parametrize("change", ["values", "times"])
@pytest.mark.parametrize("table", TARGETS)
def test_first_rows_are_reported(session: Connection, parts: Parts, table: str, change: str) -> None:
    """However many rows are wrong, those are reported that come first by asset, time, timeframe and period."""
    time, has_periods = time_of(table), "period" in METADATA.tables[table].columns
    value = "d1" if has_periods else "volume"
    changes = {"values": f"{value} = 7.25", "times": f'"{time}" = "{time}" + interval \'1 hour\''}
    keys = text(f'SELECT id, "{time}", tf, {"period" if has_periods else 0} FROM {table}')
    with undone(session):
        before = {tuple(row) for row in session.execute(keys)}
        session.execute(text(f"UPDATE {table} SET {changes[change]}"))
        after = {tuple(row) for row in session.execute(keys)}
        findings = judged(session, parts[table])
    reported = [(one.id, one.time, one.tf, one.period or 0) for one in findings]
    assert reported == sorted(before | after)[:SHOWN]
    assert len(reported) == SHOWN


@pytest.mark.parametrize("table", TARGETS)
def test_empty_table_is_found(session: Connection, parts: Parts, table: str) -> None:
    """However many rows are missing, only the first are reported."""
    with undone(session):
        rows = session.execute(text(f"DELETE FROM {table}")).rowcount
        assert len(judged(session, parts[table])) == min(rows, SHOWN)


# The whole validation


def whole(engine: Engine, number: int | None = len(IDS), ids: Sequence[int] = IDS, today: date = TODAY) -> Validity:
    """A validation that recomputes some assets."""
    return validate(engine, open_scopes(engine), ids, number, today)


def test_right_database_has_no_finding(engine: Engine) -> None:
    """Nothing is wrong, every asset is judged, and nothing is written."""
    before = moved(engine)
    validity = whole(engine)
    assert (validity.findings, validity.pending) == ((), ())
    assert (validity.judged, validity.recomputed) == (2, IDS)
    assert moved(engine) == before


def test_appended_database_has_no_finding(engine: Engine) -> None:
    """Days that were appended one by one, and others that were changed afterwards, are right."""
    for day in range(76, 80):
        with engine.begin() as connection:
            fill = FILL.replace("asset * 3, 75", f"{day}, {day}")
            connection.execute(text(fill), {"assets": list(IDS)})
        refresh(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id = 1 AND timeclose < '2024-02-02Z'"))
        connection.execute(text(f"DELETE FROM {SOURCE} WHERE id = 2 AND timeclose < '2024-01-20Z'"))
    refresh(engine, Request(accept_restatement=True))
    validity = whole(engine)
    assert (validity.findings, validity.pending) == ((), ())


def test_wrong_values_are_found_by_a_whole_validation(engine: Engine) -> None:
    """A value that breaks no law is found in every table if its asset is recomputed, and only then."""
    expected: list[Finding] = []
    with engine.begin() as connection:
        for table in TARGETS:
            column = "d2_roll" if "d2_roll" in METADATA.tables[table].columns else "volume"
            row = last_row(connection, table, f'id = 2 AND "{column}" IS NOT NULL')
            before, value = shown(connection, table, column, f"ctid = '{row.address}'")
            update = text(f"""UPDATE {table} SET "{column}" = :value WHERE ctid = '{row.address}'
                              RETURNING to_jsonb("{column}")""")
            after = connection.execute(update, {"value": math.nextafter(value, math.inf)}).scalar_one()
            expected.append(finding(table, row, before, f"{column} {after}"))
    assert list(whole(engine).findings) == expected
    assert whole(engine, ids=(1,)).findings == ()
    assert whole(engine, 0).findings == ()


def test_sample_rotates(engine: Engine) -> None:
    """By default one asset is recomputed, another one each day."""
    days = [date(2030, 1, day) for day in (1, 2)]
    assert {whole(engine, None, today=day).recomputed for day in days} == {(1,), (2,)}


def test_what_is_due_is_not_judged(engine: Engine) -> None:
    """An asset whose source has changed is named and left alone, others are not."""
    time = datetime.fromisoformat("2024-02-20T23:59:59.999Z")
    revise = f"UPDATE {SOURCE} SET close = 51 WHERE id = 2 AND timeclose = :time"
    spoil = 'UPDATE cmc_price_bars_1d SET close = close + 0.001 WHERE "timestamp" = :time'
    with engine.begin() as connection:
        for statement in (revise, spoil):
            connection.execute(text(statement), {"time": time})
    validity = whole(engine)
    assert (validity.pending, validity.recomputed) == ((2,), (1,))
    assert {(one.table, one.id, one.time) for one in validity.findings} == {("cmc_price_bars_1d", 1, time)}
