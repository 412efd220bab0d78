"""The user's price table, only ever read: which months of which assets changed, and what was last processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, text

from refresh.catalog import DAILY, SOURCE
from refresh.store.database import use_all_cores
from refresh.store.schema import type_name, verify_source
from refresh.store.statements import ALL_OR_SOME, lists_of, rows_of, some_assets
from refresh.store.tables import DAILY_STATE, MONTHS, REJECTS, source_table

TABLE: Table = source_table(MetaData())
OPTIONAL = frozenset({"name", "timehigh", "timelow", "marketcap", "circulatingsupply", "source_file", "load_ts"})
FUTURE_DAYS = 2
"""How far after the run's clock a timestamp is believed."""
FIRST_TIME = "0001-01-02"
"""Earlier times are in no calendar of Python's."""
LAST_MONTH = "9999-12-01"
"""The last month of Python's calendar. Rows behind it are refused, and read with it."""


@dataclass(frozen=True, slots=True)
class Source:
    """The price table as this database has it, and the time zone in which a day starts."""

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
    query = f"SELECT id::int FROM ({assets_sql(connection)}) AS a UNION SELECT id FROM {DAILY_STATE} ORDER BY id"
    return list(connection.execute(text(query)).scalars())


def assets_sql(connection: Connection) -> str:
    """SQL for the assets of the source: from one to the next where an index has them in order."""
    if not is_indexed(connection):
        return f"SELECT DISTINCT id FROM {SOURCE} WHERE id IS NOT NULL"
    return f"""
        WITH RECURSIVE found AS (
            (SELECT id FROM {SOURCE} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT p.id FROM {SOURCE} p WHERE p.id > f.id ORDER BY p.id LIMIT 1) FROM found f
            WHERE f.id IS NOT NULL
        ) SELECT id FROM found WHERE id IS NOT NULL"""


def is_indexed(connection: Connection) -> bool:
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
        SELECT id FROM {DAILY_STATE} s WHERE NOT EXISTS (SELECT FROM {SOURCE} p WHERE p.id = s.id) ORDER BY id
    """)
    return list(connection.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class ChangedMonth:
    """A month of one asset's source rows that is not what was last processed; ``None`` for rows without a time."""

    id: int
    month: date | None
    found: int
    known: int


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
    values: dict[str, Any] = {"tz": source.tz, "everything": everything}
    if ids is not None:
        values["ids"] = list(ids)
    if cutoff:
        values["cutoff"] = cutoff
    return [ChangedMonth(*row) for row in connection.execute(query, values)]


def matured_months(
    connection: Connection, source: Source, ids: Sequence[int] | None, now: datetime
) -> list[ChangedMonth]:
    """The months of rows that were refused as too far in the future and no longer are."""
    query = text(f"""
        SELECT DISTINCT id, date_trunc('month', "timestamp" AT TIME ZONE :tz)::date, 1, 1
        FROM {REJECTS} r WHERE reason = 'future_timestamp' AND {ALL_OR_SOME}
         AND "timestamp" <= CAST(:now AS timestamptz) + make_interval(days => {FUTURE_DAYS})
         AND EXISTS (SELECT FROM {SOURCE} s WHERE s.id = r.id) ORDER BY 1, 2
    """)
    values = {"tz": source.tz, "now": now, **some_assets(ids)}
    return [ChangedMonth(*row) for row in connection.execute(query, values)]


def only_appended(connection: Connection, source: Source, stretches: Sequence[Any]) -> set[int]:
    """The assets (``id``, ``since``) whose source rows from ``since`` on are as processed, but for later days.

    What is new is of days after the last daily bar, so no known day can have changed.
    """
    rows = f"stretch AS u {ROWS_SINCE} WHERE {source.moment} <= u.last_src_ts"
    day = "({0} AT TIME ZONE :tz)::date"
    query = text(f"""
        WITH stretch AS (
            SELECT u.id, u.since, d.last_src_ts
            FROM {rows_of("u", id="int", since="timestamptz")} JOIN {DAILY_STATE} d USING (id)
        ),
        found AS ({_months(source, rows)}),
        known AS (SELECT m.* FROM {MONTHS} m JOIN stretch u ON u.id = m.id AND m.month >= {day.format("u.since")}),
        rewritten AS (
            SELECT coalesce(f.id, k.id) AS id FROM found f FULL JOIN known k ON k.id = f.id AND k.month = f.month
            WHERE (f.row_count, f.digest) IS DISTINCT FROM (k.row_count, k.digest)
            UNION SELECT u.id FROM stretch u {ROWS_SINCE} WHERE {source.moment} > u.last_src_ts
               AND {day.format(source.moment)} <= {day.format("u.last_src_ts")}
        )
        SELECT id FROM stretch WHERE since IS NOT NULL AND id NOT IN (SELECT id FROM rewritten)
    """)
    values = {"tz": source.tz, **lists_of("u", stretches, "id", "since")}
    return set(connection.execute(query, values).scalars())


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyState:
    """What is stored of an asset's daily bars, and whether table and state agree.

    ``rows``: the number of source rows that were last processed. ``bars``, ``first``, ``last``: what the table holds.
    """

    rows: int
    bars: int
    first: datetime | None
    last: datetime | None
    agrees: bool


def daily_states(connection: Connection, ids: Sequence[int] | None) -> dict[int, DailyState]:
    """What is stored of each asset's daily bars, and whether the state says the same."""
    edge = f"""(SELECT "timestamp" FROM {DAILY} d WHERE d.id = s.id ORDER BY "timestamp" """
    query = text(f"""
        SELECT id, (SELECT sum(row_count)::int FROM {MONTHS} m WHERE m.id = s.id) AS rows,
               (SELECT max(bar_seq) FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D') AS bars,
               {edge} LIMIT 1) AS first_ts, {edge} DESC LIMIT 1) AS last_ts, last_src_ts
        FROM {DAILY_STATE} s WHERE {ALL_OR_SOME}
    """)
    return {
        row.id: DailyState(
            rows=row.rows or 0,
            bars=row.bars or 0,
            first=row.first_ts,
            last=row.last_ts,
            agrees=row.last_ts == row.last_src_ts,
        )
        for row in connection.execute(query, some_assets(ids))
    }


def save_months(connection: Connection, source: Source, stretches: Sequence[Any]) -> None:
    """Remember the source rows of each stretch (``id``, ``since``) as processed; in the transaction that read them."""
    values = {"tz": source.tz, **lists_of("u", stretches, "id", "since")}
    spans = rows_of("u", id="int", since="timestamptz")
    connection.execute(
        text(f"""DELETE FROM {MONTHS} m USING {spans} WHERE m.id = u.id
                 AND (u.since IS NULL OR m.month >= (u.since AT TIME ZONE :tz)::date)"""),
        values,
    )
    months = _months(source, f"{spans} {ROWS_SINCE}")
    connection.execute(text(f"INSERT INTO {MONTHS} (id, month, row_count, digest) {months}"), values)
