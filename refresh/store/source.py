"""The user's price table, only ever read: which months of which assets changed, and what was last processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, text

from refresh.catalog import SOURCE
from refresh.store.daily_state import BUILT_IDS
from refresh.store.database import use_all_cores
from refresh.store.declaration import type_name
from refresh.store.schema import verify_source
from refresh.store.source_index import FIRST_TIME, FUTURE_DAYS, IS_ASSET, assets_sql
from refresh.store.statements import ALL_OR_SOME, day_of, lists_of, relation, rows_of, some_assets
from refresh.store.tables import DAILY_STATE, MONTHS, REJECTS, source_table

TABLE: Table = source_table(MetaData())
OPTIONAL = frozenset({"name", "timehigh", "timelow", "marketcap", "circulatingsupply", "source_file", "load_ts"})
_LAST_TIME, _END_OF_TIME = "9999-12-31", "294000-01-01"
"""The end of Python's calendar, and that of numpy's."""
_WIDE = {"bigint", "numeric"}
_LARGEST, _SMALLEST = "1.7e308", "1e-300"
"""Numerics beyond these are no float8."""
_LAST_MONTH = "9999-12-01"
"""The last month of Python's calendar. Later rows are refused, and read together with it."""


_FLOAT_OF_NUMERIC = f"""CASE WHEN {{0}} <> 0 AND abs({{0}}) < {_SMALLEST} THEN 0::float8
    WHEN {{0}} <> 'NaN' AND abs({{0}}) > {_LARGEST} THEN sign({{0}}) * 'Infinity'::float8 ELSE {{0}}::float8 END"""


@dataclass(frozen=True, slots=True)
class Source:
    """The price table as this database has it, and the time zone in which a day starts.

    ``numerics``: the columns that have more numbers than a float8. ``has_wide_ids``: not every id is one of an asset.
    """

    columns: frozenset[str]
    tz: str
    numerics: frozenset[str] = frozenset()
    has_wide_ids: bool = False

    def expression(self, name: str) -> str:
        """SQL for a column; NULL for an optional one that the table lacks."""
        value = f's."{name}"' if name in self.columns else "NULL"
        type_ = type_name(TABLE.columns[name])
        if name in self.numerics and type_ == "double precision":
            return _FLOAT_OF_NUMERIC.format(value)
        return f"{value}::{type_}"

    def readable(self, name: str) -> str:
        """SQL for a column as it is read; a time that does not fit into the calendars here is NULL."""
        value = self.expression(name)
        if name == "timestamp":
            return self.moment
        if type_name(TABLE.columns[name]) != "timestamp with time zone":
            return value
        return f"CASE WHEN {value} >= '{FIRST_TIME}' AND {value} < '{_LAST_TIME}' THEN {value} END"

    @property
    def moment(self) -> str:
        """SQL for a row's timestamp; NULL for one that is infinite or does not fit into the calendars here."""
        stamp = self.expression("timestamp")
        return f"CASE WHEN {stamp} >= '{FIRST_TIME}' AND {stamp} < '{_END_OF_TIME}' THEN {stamp} END"


def open_source(connection: Connection, tz: str) -> Source:
    """The price table, verified. Raises ``SchemaError`` that lists what it lacks."""
    columns = verify_source(connection, TABLE, OPTIONAL)
    numerics = frozenset(name for name, column in columns.items() if column.base_type == "numeric")
    has_wide_ids = columns["id"].base_type in _WIDE
    return Source(frozenset(columns), tz, numerics=numerics, has_wide_ids=has_wide_ids)


def is_absent_or_empty(connection: Connection) -> bool:
    """Whether there are no prices at all."""
    exists = connection.execute(text(f"SELECT {relation(':name')} IS NOT NULL"), {"name": SOURCE}).scalar_one()
    return not exists or not has_rows(connection)


def has_rows(connection: Connection) -> bool:
    """Whether the source shows any row at all."""
    return bool(connection.execute(text(f"SELECT EXISTS (SELECT FROM {SOURCE})")).scalar_one())


def known_ids(connection: Connection) -> list[int]:
    """Every asset of the source or of the daily bars, in order."""
    query = f"SELECT id::int FROM ({assets_sql(connection)}) AS a UNION {BUILT_IDS} ORDER BY id"
    return list(connection.execute(text(query)).scalars())


def removed_ids(connection: Connection) -> list[int]:
    """Assets that have daily bars and no row in the source any more."""
    query = text(f"""
        SELECT id FROM ({BUILT_IDS}) AS s WHERE NOT EXISTS (SELECT FROM {SOURCE} p WHERE p.id = s.id) ORDER BY id
    """)
    return list(connection.execute(query).scalars())


def unclaimed_ids(connection: Connection) -> list[int]:
    """Assets with daily bars, but neither a state nor a row in the source: nobody knows where they are from."""
    query = text(f"""
        SELECT id FROM ({BUILT_IDS}) AS s WHERE NOT EXISTS (SELECT FROM {SOURCE} p WHERE p.id = s.id)
           AND NOT EXISTS (SELECT FROM {DAILY_STATE} d WHERE d.id = s.id) ORDER BY id
    """)
    return list(connection.execute(query).scalars())


ROWS_SINCE = f"""CROSS JOIN LATERAL (
    SELECT * FROM {SOURCE} p WHERE p.id = u.id AND p."timestamp" >= u.since AND p."timestamp" < 'infinity'
    UNION ALL SELECT * FROM {SOURCE} p WHERE p.id = u.id AND u.since IS NULL) AS s"""
"""After spans u(id, since): the source rows s of each asset from ``since`` on; all of them if that is NULL."""
_COMPARED = "current c FULL JOIN processed p ON p.id = c.id AND p.month = c.month"
"""The months of the source beside those that were last processed."""
_DIFFERS = "(c.row_count, c.digest) IS DISTINCT FROM (p.row_count, p.digest)"


def _months(source: Source, rows: str) -> str:
    """SQL per asset and month of some rows s: their number, and a digest of their values in any order."""
    month = f"date_trunc('month', {source.moment} AT TIME ZONE :tz)::date"
    values = ", ".join(source.expression(column.name) for column in TABLE.columns)
    return f"""
        SELECT s.id::int AS id, coalesce({month}, '-infinity') AS month, count(*)::int AS row_count,
               sum(hash_record_extended(ROW({values}), 0)) AS digest
        FROM {rows} GROUP BY 1, 2
    """


@dataclass(frozen=True, slots=True)
class ChangedMonth:
    """A month of one asset's source rows that differs from what was last processed; ``None``: rows without a time.

    ``found``: the number of rows that the source has. ``known``: the number that was last processed. ``differs`` is
    false only for months that are read again although nothing changed.
    """

    id: int
    month: date | None
    found: int
    known: int
    differs: bool = True


def changed_months(
    connection: Connection, source: Source, ids: Sequence[int] | None, *, cutoff: datetime | None, everything: bool
) -> list[ChangedMonth]:
    """The months whose rows differ from what was last processed, or every month; of assets that the source has.

    An asset that is gone from the source is not among them: its bars stay. With a ``cutoff``, months that end before
    it are not compared, unless the asset's last daily bar is still earlier: then those from its month on are.
    """
    selected = f"{IS_ASSET.format('s.id')}"
    values: dict[str, Any] = {"tz": source.tz, "everything": everything}
    if ids is not None:
        selected += " AND s.id = ANY(:ids)"
        values["ids"] = list(ids)
    late, rows = _NONE_LATE, f"{SOURCE} AS s WHERE {selected}"
    processed = f"SELECT * FROM {MONTHS} WHERE id IN (SELECT id FROM current)"
    if cutoff:
        late = _LATE.format(assets=assets_sql(connection), selected=selected)
        rows = _ROWS_FROM_CUTOFF.format(moment=source.moment, selected=selected)
        processed += f" AND (month >= {_FIRST_MONTH} OR id IN (SELECT id FROM late WHERE month >= late.since))"
        values["cutoff"] = cutoff
    query = _CHANGED_MONTHS.format(late=late, current=_months(source, rows), processed=processed)
    use_all_cores(connection)
    return [ChangedMonth(*row) for row in connection.execute(text(query), values)]


_FIRST_MONTH = "date_trunc('month', CAST(:cutoff AS timestamptz) AT TIME ZONE :tz)"
_NONE_LATE = "SELECT WHERE false"
_LATE = f"""
    SELECT s.id, coalesce(date_trunc('month', d.last_src_ts AT TIME ZONE :tz), '-infinity') AS since
    FROM ({{assets}}) AS s LEFT JOIN {DAILY_STATE} d ON d.id = s.id
    WHERE {{selected}} AND (d.last_src_ts IS NULL OR d.last_src_ts < {_FIRST_MONTH} AT TIME ZONE :tz)
"""
"""The assets whose last daily bar is before the first month that is compared, and the month of that bar."""
_ROWS_FROM_CUTOFF = f"""(
    SELECT s.* FROM {SOURCE} AS s WHERE {{selected}} AND {{moment}} >= {_FIRST_MONTH} AT TIME ZONE :tz
    UNION ALL SELECT s.* FROM late u CROSS JOIN LATERAL (
        SELECT * FROM {SOURCE} p WHERE p.id = u.id AND p."timestamp" >= u.since AT TIME ZONE :tz
           AND p."timestamp" < {_FIRST_MONTH} AT TIME ZONE :tz OFFSET 0) AS s) AS s"""
_CHANGED_MONTHS = f"""
    WITH late AS MATERIALIZED ({{late}}), current AS MATERIALIZED ({{current}}), processed AS ({{processed}})
    SELECT coalesce(c.id, p.id) AS id,
           CASE WHEN coalesce(c.month, p.month) > '-infinity'
                THEN least(coalesce(c.month, p.month), '{_LAST_MONTH}') END AS month,
           coalesce(c.row_count, 0) AS found, coalesce(p.row_count, 0)::int AS known, {_DIFFERS}
    FROM {_COMPARED} WHERE :everything OR {_DIFFERS} ORDER BY 1, coalesce(c.month, p.month)
"""


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
    """The assets (``id``, ``since``) whose source rows from ``since`` on are as processed, except for later days.

    What is new is of days after the last daily bar, so no known day can have changed.
    """
    known_rows = f"stretch AS u {ROWS_SINCE} WHERE {source.moment} <= u.last_src_ts"
    query = text(f"""
        WITH stretch AS (
            SELECT u.id, u.since, d.last_src_ts
            FROM {rows_of("u", id="int", since="timestamptz")} JOIN {DAILY_STATE} d USING (id)
        ),
        current AS ({_months(source, known_rows)}),
        processed AS (SELECT m.* FROM {MONTHS} m JOIN stretch u ON u.id = m.id AND m.month >= {day_of("u.since")}),
        rewritten AS (
            SELECT coalesce(c.id, p.id) AS id FROM {_COMPARED} WHERE {_DIFFERS}
            UNION SELECT u.id FROM stretch u {ROWS_SINCE} WHERE {source.moment} > u.last_src_ts
               AND {day_of(source.moment)} <= {day_of("u.last_src_ts")}
        )
        SELECT id FROM stretch WHERE since IS NOT NULL EXCEPT SELECT id FROM rewritten
    """)
    values = {"tz": source.tz, **lists_of("u", stretches, "id", "since")}
    return set(connection.execute(query, values).scalars())


def save_months(connection: Connection, source: Source, stretches: Sequence[Any]) -> None:
    """Remember the source rows of each stretch (``id``, ``since``) as processed; in the transaction that read them."""
    values = {"tz": source.tz, **lists_of("u", stretches, "id", "since")}
    spans = rows_of("u", id="int", since="timestamptz")
    months = _months(source, f"{spans} {ROWS_SINCE}")
    connection.execute(
        text(f"""DELETE FROM {MONTHS} m USING {spans} WHERE m.id = u.id
                 AND m.month >= coalesce({day_of("u.since")}, '-infinity')"""),
        values,
    )
    connection.execute(text(f"INSERT INTO {MONTHS} (id, month, row_count, digest) {months}"), values)
