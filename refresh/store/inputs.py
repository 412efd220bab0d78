"""What bars are computed from: raw rows, daily bars, and the stored snapshots that a stretch continues.

What EMAs are computed from is in ``ema_inputs``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from refresh.catalog import DAILY, Leg
from refresh.core.daily import NUMBERS
from refresh.core.rows import Rows
from refresh.store import bulk
from refresh.store.granularity import ROWS_OF_SLICE, Slice
from refresh.store.source import ROWS_SINCE, TABLE, Source
from refresh.store.spans import ROWS_OF_SPANS, Spans
from refresh.store.statements import day_of, lists_of, quoted, rows_of
from refresh.store.tables import METADATA

_SINCE = rows_of("u", id="int", since="timestamptz")
_NOT_READ = {"id", "circulatingsupply"}


def read_raw(connection: Connection, source: Source, stretches: Sequence[Any]) -> Rows:
    """The raw rows of each asset from its ``since`` on, as ``core.daily`` takes them, with the bit mask of NULLs."""
    return _raw_rows(connection, source, f"{_SINCE} {ROWS_SINCE}", lists_of("u", stretches, "id", "since"))


def read_raw_slice(connection: Connection, source: Source, part: Slice) -> Rows:
    """The same of one asset, from ``since`` to before ``until``."""
    return _raw_rows(connection, source, ROWS_OF_SLICE, lists_of("u", [part], "id", "since", "until"))


def _raw_rows(connection: Connection, source: Source, selected_rows: str, values: Mapping[str, str]) -> Rows:
    """The raw rows s of a FROM clause that binds ``values``."""
    names = [column.name for column in TABLE.columns if column.name not in _NOT_READ]
    selected = ", ".join(f'{source.readable(name)} AS "{name}"' for name in names)
    rows = f"SELECT s.id, {selected}, {day_of(source.moment)} AS day FROM {selected_rows}"
    values = {"tz": source.tz, **values}
    nulls = " | ".join(f"((q.{name} IS NULL)::int << {bit})" for bit, name in enumerate(NUMBERS))
    widths = bulk.text_widths(connection, rows, values, ("name", "source_file"))
    fields = {"id": bulk.INT, **bulk.fields(TABLE, names), **widths, "day": bulk.DATE, "nulls": bulk.INT}
    return bulk.read(connection, f"SELECT q.*, {nulls} AS nulls FROM ({rows}) AS q", values, fields)


def read_daily_before(connection: Connection, stretches: Sequence[Any], tz: str) -> Rows:
    """The last daily bar of each asset before its ``since``: id, day, bar_seq."""
    query = f"""
        SELECT u.id, {day_of('d."timestamp"')} AS day, d.bar_seq FROM {_SINCE}
        CROSS JOIN LATERAL (SELECT * FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" < u.since
                            ORDER BY "timestamp" DESC LIMIT 1) d
    """
    fields = {"id": bulk.INT, "day": bulk.DATE, "bar_seq": bulk.BIGINT}
    return bulk.read(connection, query, {"tz": tz, **lists_of("u", stretches, "id", "since")}, fields)


def read_daily(connection: Connection, spans: Spans, tz: str, names: Sequence[str]) -> Rows:
    """The daily bars of the spans with their ``day`` and the asset's ``first_day``, sorted by id, timestamp."""
    columns = [name for name in names if name not in {"day", "first_day"}]
    query = f"""
        SELECT {quoted(columns, "d")}, {day_of('d."timestamp"')} AS day, f.first_day
        FROM {ROWS_OF_SPANS} CROSS JOIN LATERAL (
            SELECT {day_of('f."timestamp"')} AS first_day FROM {DAILY} f WHERE f.id = s.id
            ORDER BY f."timestamp" LIMIT 1) f
        JOIN {DAILY} d ON d.id = s.id AND d."timestamp" >= coalesce(s.begin, '-infinity') AND d."timestamp" <= s.through
        ORDER BY d.id, d."timestamp"
    """
    fields = bulk.fields(METADATA.tables[DAILY], columns) | {"day": bulk.DATE, "first_day": bulk.DATE}
    return bulk.read(connection, query, spans.values(tz=tz), fields)


def read_last_snapshots(connection: Connection, leg: Leg, spans: Spans, tfs: Sequence[str], tz: str) -> Rows:
    """The stored snapshots at the daily bar that each span continues, with their ``day``."""
    columns = leg.shape.compared
    query = f"""
        SELECT {quoted(columns, "c")}, {day_of('c."timestamp"')} AS day FROM {ROWS_OF_SPANS}
        JOIN {leg.target} c ON c.id = s.id AND c."timestamp" = s.carry_at AND c.tf = ANY(:tfs)
        WHERE s.through IS NOT NULL
    """
    fields = bulk.fields(METADATA.tables[leg.target], columns) | {"day": bulk.DATE}
    return bulk.read(connection, query, spans.values(tz=tz, tfs=list(tfs)), fields)
