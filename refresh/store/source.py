"""The user's price table, only ever read: which months of which assets changed, and their raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, text

from refresh.catalog import DAILY, SOURCE
from refresh.core.span import ChangedMonth, DailyState, Due
from refresh.store.database import use_all_cores
from refresh.store.schema import type_name, verify_source
from refresh.store.tables import source_table

TABLE: Table = source_table(MetaData())
OPTIONAL = frozenset({"name", "timehigh", "timelow", "marketcap", "circulatingsupply", "source_file", "load_ts"})
FUTURE_DAYS = 2
"""How far after the run's clock a timestamp is believed."""
MONTHS = f"{DAILY}_source_months"
FIRST_TIME = "0001-01-02"
"""Earlier times are in no calendar of Python's."""
LAST_MONTH = "9999-12-01"
"""The last month of Python's calendar. Rows behind it are refused, and read with it."""


@dataclass(frozen=True, slots=True)
class Source:
    """The price table as this database has it, and the time zone that makes days of its timestamps."""

    columns: frozenset[str]
    tz: str

    def expression(self, name: str) -> str:
        """SQL for a column; NULL for an optional one that the table lacks."""
        kind = type_name(TABLE.columns[name])
        return f's."{name}"::{kind}' if name in self.columns else f"NULL::{kind}"

    @property
    def moment(self) -> str:
        """SQL for a row's timestamp; NULL for one that is infinite or out of the years that calendars here hold."""
        stamp = self.expression("timestamp")
        return f"CASE WHEN {stamp} >= '0001-01-02' AND {stamp} < '294000-01-01' THEN {stamp} END"


def open_source(connection: Connection, tz: str) -> Source:
    """The price table, verified. Raises ``SchemaError`` that lists what it lacks."""
    return Source(verify_source(connection, TABLE, OPTIONAL), tz)


def is_absent_or_empty(connection: Connection) -> bool:
    """Whether there are no prices at all."""
    exists = connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": SOURCE}).scalar_one()
    return not exists or not connection.execute(text(f"SELECT EXISTS (SELECT FROM {SOURCE})")).scalar_one()


def known_ids(connection: Connection) -> list[int]:
    """Every asset of the source or of the daily bars, in order."""
    query = f"SELECT id::int FROM ({_assets(connection)}) AS a UNION SELECT id FROM {DAILY}_state ORDER BY id"
    return [row.id for row in connection.execute(text(query))]


def last_times(connection: Connection, horizon: datetime) -> dict[int, datetime]:
    """The last time of each asset of the source, leaving out what lies behind ``horizon``."""
    if _is_indexed(connection):
        last = f"""(SELECT "timestamp" FROM {SOURCE} p WHERE p.id = a.id AND p."timestamp" <= :horizon
                    AND p."timestamp" > '{FIRST_TIME}' ORDER BY "timestamp" DESC LIMIT 1)"""
        query = f"SELECT a.id::int AS id, {last}::timestamptz AS last FROM ({_assets(connection)}) AS a"
    else:
        query = f"""SELECT id::int AS id, max("timestamp")::timestamptz AS last FROM {SOURCE}
                    WHERE "timestamp" <= :horizon AND "timestamp" > '{FIRST_TIME}' GROUP BY id"""
    rows = connection.execute(text(query), {"horizon": horizon})
    return {row.id: row.last for row in rows if row.id is not None and row.last is not None}


def _assets(connection: Connection) -> str:
    """SQL for the assets of the source: from one to the next where an index has them in order."""
    if not _is_indexed(connection):
        return f"SELECT DISTINCT id FROM {SOURCE} WHERE id IS NOT NULL"
    return f"""
        WITH RECURSIVE found AS (
            (SELECT id FROM {SOURCE} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT p.id FROM {SOURCE} p WHERE p.id > f.id ORDER BY p.id LIMIT 1) FROM found f
            WHERE f.id IS NOT NULL
        ) SELECT id FROM found WHERE id IS NOT NULL"""


def _is_indexed(connection: Connection) -> bool:
    """Whether the source has a whole index on id and timestamp."""
    query = text("""
        SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass(:name) AND i.indisvalid
            AND i.indpred IS NULL AND ARRAY['id', 'timestamp'] = ARRAY(
                SELECT a.attname::text FROM generate_series(0, 1) AS n
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] ORDER BY n))
    """)
    return bool(connection.execute(query, {"name": SOURCE}).scalar_one())


ROWS_SINCE = f"""CROSS JOIN LATERAL (
    SELECT * FROM {SOURCE} p WHERE p.id = u.id AND p."timestamp" >= u.since AND p."timestamp" < 'infinity'
    UNION ALL SELECT * FROM {SOURCE} p WHERE p.id = u.id AND u.since IS NULL) AS s"""
"""Behind spans u(id, since): the source rows s of each asset from ``since`` on; all of them where that is NULL."""


def _months(source: Source, rows: str) -> str:
    """Per asset and month of some rows s: how many, and a digest of their values, whatever their order."""
    month = f"date_trunc('month', {source.moment} AT TIME ZONE :tz)::date"
    values = ", ".join(source.expression(column.name) for column in TABLE.columns)
    return f"""
        SELECT s.id::int AS id, coalesce({month}, '-infinity') AS month, count(*)::int AS row_count,
               sum(hash_record_extended(ROW({values}), 0)) AS digest
        FROM {rows} GROUP BY 1, 2
    """


def removed_ids(connection: Connection) -> list[int]:
    """Assets that have daily bars and no row in the source any more."""
    query = text(f"""
        SELECT id FROM {DAILY}_state s WHERE NOT EXISTS (SELECT FROM {SOURCE} p WHERE p.id = s.id) ORDER BY id
    """)
    return [row.id for row in connection.execute(query)]


def changed_months(
    connection: Connection, source: Source, ids: Sequence[int] | None, *, cutoff: datetime | None, everything: bool
) -> list[ChangedMonth]:
    """The months whose rows differ from what was last processed, or every month; of assets that the source holds.

    An asset that vanished from the source altogether is not among them: its bars stay. With a ``cutoff``, months that
    end before it are not looked at.
    """
    rows = f"{SOURCE} AS s WHERE s.id IS NOT NULL"
    rows += " AND s.id = ANY(:ids)" if ids is not None else ""
    month = "date_trunc('month', CAST(:cutoff AS timestamptz) AT TIME ZONE :tz)"
    if cutoff:
        rows += f" AND {source.moment} >= {month} AT TIME ZONE :tz"
    query = text(f"""
        WITH found AS MATERIALIZED ({_months(source, rows)}),
        known AS (SELECT * FROM {MONTHS} WHERE id IN (SELECT id FROM found) {f"AND month >= {month}" if cutoff else ""})
        SELECT coalesce(f.id, k.id) AS id,
               CASE WHEN coalesce(f.month, k.month) > '-infinity'
                    THEN least(coalesce(f.month, k.month), '{LAST_MONTH}') END AS month,
               coalesce(f.row_count, 0) AS found, coalesce(k.row_count, 0)::int AS known
        FROM found f FULL JOIN known k ON k.id = f.id AND k.month = f.month
        WHERE :everything OR (f.row_count, f.digest) IS DISTINCT FROM (k.row_count, k.digest)
        ORDER BY 1, coalesce(f.month, k.month)
    """)
    use_all_cores(connection)
    given = {"ids": None if ids is None else list(ids), "cutoff": cutoff}
    parameters: dict[str, Any] = {"tz": source.tz, "everything": everything}
    parameters |= {name: value for name, value in given.items() if value is not None}
    return [ChangedMonth(*row) for row in connection.execute(query, parameters)]


def matured_months(connection: Connection, source: Source, now: datetime) -> list[ChangedMonth]:
    """The months of rows that were refused as too far in the future and no longer are."""
    query = text(f"""
        SELECT DISTINCT id, date_trunc('month', "timestamp" AT TIME ZONE :tz)::date, 1, 1
        FROM {DAILY}_rejects r WHERE reason = 'future_timestamp'
         AND "timestamp" <= CAST(:now AS timestamptz) + make_interval(days => {FUTURE_DAYS})
         AND EXISTS (SELECT FROM {SOURCE} s WHERE s.id = r.id) ORDER BY 1, 2
    """)
    return [ChangedMonth(*row) for row in connection.execute(query, {"tz": source.tz, "now": now})]


def daily_states(connection: Connection, ids: Sequence[int] | None) -> dict[int, DailyState]:
    """What is stored of each asset's daily bars, and whether the state tells the same."""
    edge = f"""(SELECT "timestamp" FROM {DAILY} d WHERE d.id = s.id ORDER BY "timestamp" """
    query = text(f"""
        SELECT id, (SELECT sum(row_count)::int FROM {MONTHS} m WHERE m.id = s.id) AS rows,
               (SELECT max(bar_seq) FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D') AS bars,
               {edge} LIMIT 1) AS first_ts, {edge} DESC LIMIT 1) AS last_ts, last_src_ts
        FROM {DAILY}_state s WHERE :everything OR id = ANY(:ids)
    """)
    return {
        row.id: DailyState(
            row.rows or 0, row.bars or 0, row.first_ts, row.last_ts, agrees=row.last_ts == row.last_src_ts
        )
        for row in connection.execute(query, {"everything": ids is None, "ids": list(ids or ())})
    }


def save_months(connection: Connection, source: Source, dues: Sequence[Due]) -> None:
    """Remember the source rows from each ``since`` on as processed; in the transaction that read them."""
    parameters = {"tz": source.tz, "ids": [due.id for due in dues], "since": [due.since for due in dues]}
    spans = "unnest(CAST(:ids AS int[]), CAST(:since AS timestamptz[])) AS u(id, since)"
    connection.execute(
        text(f"""DELETE FROM {MONTHS} m USING {spans} WHERE m.id = u.id
                 AND (u.since IS NULL OR m.month >= (u.since AT TIME ZONE :tz)::date)"""),
        parameters,
    )
    months = _months(source, f"{spans} {ROWS_SINCE}")
    connection.execute(text(f"INSERT INTO {MONTHS} (id, month, row_count, digest) {months}"), parameters)
