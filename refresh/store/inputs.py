"""What a batch reads: its inputs from the first affected bar on, and the rows of its own table to continue from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg
from refresh.core.daily import NUMBERS
from refresh.core.rows import Array, Rows
from refresh.core.span import Batch, Due
from refresh.store import bulk
from refresh.store.source import ROWS_SINCE, TABLE, Source
from refresh.store.state import followed
from refresh.store.tables import METADATA, difference_columns, value_columns

_SPANS = """unnest(%(ids)s::int[], %(begins)s::timestamptz[], %(carries)s::timestamptz[], %(throughs)s::timestamptz[])
    AS s(id, begin, carry_at, through)"""
_DAY = '({0}."timestamp" AT TIME ZONE %(tz)s)::date'


@dataclass(frozen=True, slots=True)
class Spans:
    """Per asset of a batch, in id order: the first and last daily bar to compute, and the one to continue from.

    ``None`` in ``begins`` is the asset's first bar, in ``throughs`` that it has none, in ``carries`` a fresh start.
    """

    ids: list[int]
    begins: list[datetime | None]
    carries: list[datetime | None]
    throughs: list[datetime | None]

    def parameters(self, **more: Any) -> dict[str, Any]:
        """The spans as query parameters."""
        spans = {"ids": self.ids, "begins": self.begins, "carries": self.carries, "throughs": self.throughs}
        return {**spans, **more}


def spans(connection: Connection, batch: Batch, *, bars_back: int) -> Spans:
    """Where to compute from and what to continue: ``bars_back`` daily bars before the first affected one.

    Bars go one back, because the daily bar before a change may turn canonical or lose that; EMAs need not.
    """
    earlier = f'SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" <'
    query = text(f"""
        SELECT u.id, u.through, u.since, a.at AS one, b.at AS two
        FROM unnest(CAST(:ids AS int[]), CAST(:since AS timestamptz[]), CAST(:through AS timestamptz[]))
            AS u(id, since, through)
        CROSS JOIN LATERAL ({earlier} u.since) AS a(at) CROSS JOIN LATERAL ({earlier} a.at) AS b(at) ORDER BY u.id
    """)
    due = {"since": [due.since for due in batch.dues], "through": [due.through for due in batch.dues]}
    rows = connection.execute(query, {"ids": batch.ids, **due}).all()
    chain = [(row.since, row.one, row.two, None)[bars_back:] for row in rows]
    return Spans(
        [row.id for row in rows],
        [links[0] for links in chain],
        [links[1] for links in chain],
        [row.through for row in rows],
    )


def read_raw(connection: Connection, source: Source, dues: Sequence[Due]) -> Rows:
    """The raw rows of each asset from its ``since`` on, as ``core.daily`` takes them, with the bit mask of NULLs."""
    columns = [column.name for column in TABLE.columns if column.name not in {"id", "circulatingsupply"}]
    nulls = " | ".join(f"((q.{name} IS NULL)::int << {bit})" for bit, name in enumerate(NUMBERS))
    expressions = {name: source.expression(name) for name in columns} | {"timestamp": source.moment}
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in expressions.items())
    rows = f"""
        SELECT s.id, {selected}, ({source.moment} AT TIME ZONE %(tz)s)::date AS day
        FROM unnest(%(ids)s::int[], %(since)s::timestamptz[]) AS u(id, since) {ROWS_SINCE}
    """
    parameters = {"tz": source.tz, "ids": [due.id for due in dues], "since": [due.since for due in dues]}
    widths = bulk.text_widths(connection, rows, parameters, ("name", "source_file"))
    fields = {"id": bulk.INT, **bulk.fields(TABLE, columns), **widths, "day": bulk.DATE, "nulls": bulk.INT}
    return bulk.read(connection, f"SELECT q.*, {nulls} AS nulls FROM ({rows}) AS q", parameters, fields)


def read_daily_before(connection: Connection, dues: Sequence[Due], tz: str) -> Rows:
    """The last daily bar of each asset before its ``since``: id, day, bar_seq."""
    query = f"""
        SELECT s.id, {_DAY.format("d")} AS day, d.bar_seq
        FROM unnest(%(ids)s::int[], %(since)s::timestamptz[]) AS s(id, since)
        CROSS JOIN LATERAL (SELECT * FROM {DAILY} d WHERE d.id = s.id AND d."timestamp" < s.since
                            ORDER BY "timestamp" DESC LIMIT 1) d
    """
    parameters = {"ids": [due.id for due in dues], "since": [due.since for due in dues], "tz": tz}
    return bulk.read(connection, query, parameters, {"id": bulk.INT, "day": bulk.DATE, "bar_seq": bulk.BIGINT})


def read_daily(connection: Connection, at: Spans, tz: str, names: Sequence[str]) -> Rows:
    """The daily bars of the spans with their ``day`` and the asset's ``first_day``, sorted by id, timestamp."""
    columns = [name for name in names if name not in {"day", "first_day"}]
    query = f"""
        SELECT {", ".join(f'd."{name}"' for name in columns)},
               {_DAY.format("d")} AS day, f.first_day
        FROM {_SPANS} CROSS JOIN LATERAL (
            SELECT {_DAY.format("f")} AS first_day FROM {DAILY} f WHERE f.id = s.id ORDER BY f."timestamp" LIMIT 1) f
        JOIN {DAILY} d ON d.id = s.id AND d."timestamp" >= coalesce(s.begin, '-infinity') AND d."timestamp" <= s.through
        ORDER BY d.id, d."timestamp"
    """
    fields = bulk.fields(METADATA.tables[DAILY], columns) | {"day": bulk.DATE, "first_day": bulk.DATE}
    return bulk.read(connection, query, at.parameters(tz=tz), fields)


def read_last_snapshots(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str], tz: str) -> Rows:
    """The stored snapshots at the daily bar that each span continues, with their ``day``."""
    columns = [name for name in METADATA.tables[leg.target].columns.keys() if name != "ingested_at"]  # noqa: SIM118
    query = f"""
        SELECT {", ".join(f'c."{name}"' for name in columns)}, {_DAY.format("c")} AS day FROM {_SPANS}
        JOIN {leg.target} c ON c.id = s.id AND c."timestamp" = s.carry_at AND c.tf = ANY(%(tfs)s)
        WHERE s.through IS NOT NULL
    """
    fields = bulk.fields(METADATA.tables[leg.target], columns) | {"day": bulk.DATE}
    return bulk.read(connection, query, at.parameters(tz=tz, tfs=list(tfs)), fields)


_CANONICAL = {
    "id": bulk.INT,
    "tf": bulk.LABEL,
    "timestamp": bulk.TIMESTAMP,
    "bar_seq": bulk.BIGINT,
    "close": bulk.FLOAT,
}


def read_canonical(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The canonical snapshots of the spans: id, tf, timestamp, bar_seq, close."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq, b.close FROM {_SPANS} CROSS JOIN unnest(%(tfs)s::text[]) AS w(tf)
        JOIN {followed(leg)} b ON b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
         AND b."timestamp" >= coalesce(s.begin, '-infinity') AND b."timestamp" <= s.through
    """
    return bulk.read(connection, query, at.parameters(tfs=list(tfs)), _CANONICAL)


def read_last_canonical(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The last canonical snapshot before each span: id, tf, timestamp, bar_seq, close."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq, b.close FROM {_SPANS} CROSS JOIN unnest(%(tfs)s::text[]) AS w(tf)
        CROSS JOIN LATERAL (
            SELECT * FROM {followed(leg)} b WHERE b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
               AND b."timestamp" < s.begin ORDER BY b."timestamp" DESC LIMIT 1) b
    """
    return bulk.read(connection, query, at.parameters(tfs=list(tfs)), _CANONICAL)


def read_nth_days(connection: Connection, at: Spans, lengths: Sequence[int]) -> Rows:
    """The daily bar before each span, and of each length n the last n-th one: id, length, bar_seq, timestamp, count."""
    query = f"""
        SELECT s.id, n.length, d.bar_seq, d."timestamp", c.bar_seq AS count
        FROM {_SPANS} JOIN {DAILY} c ON c.id = s.id AND c."timestamp" = s.carry_at
        CROSS JOIN unnest(%(lengths)s::int[]) AS n(length)
        LEFT JOIN LATERAL (
            SELECT * FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D' AND d.bar_seq <= c.bar_seq / n.length * n.length
            ORDER BY d.bar_seq DESC LIMIT 1) d ON true
    """
    fields = {"id": bulk.INT, "length": bulk.INT, "timestamp": bulk.TIMESTAMP, "count": bulk.BIGINT}
    return bulk.read(connection, query, at.parameters(lengths=list(lengths)), fields)


def read_emas(connection: Connection, leg: Leg, points: Rows) -> Rows:
    """The stored rows at some points (id, tf, timestamp, place): the point and period, values, d1 and d1_roll."""
    values = [name for value in value_columns(leg) for name in (value, *difference_columns(value)[::2])]
    query = f"""
        SELECT p.place, e.id, e.tf, e.period, {", ".join(f"e.{name}" for name in values)}
        FROM unnest(%(ids)s::int[], %(tfs)s::text[], %(times)s::timestamptz[], %(places)s::int[])
            AS p(id, tf, at, place)
        JOIN {leg.target} e ON e.id = p.id AND e.ts = p.at AND e.tf = p.tf
    """
    parameters = {
        "ids": points["id"].tolist(),
        "tfs": [tf.decode() for tf in points["tf"].tolist()],
        "times": utc(points["timestamp"]),
        "places": points["place"].tolist(),
    }
    fields = {
        "place": bulk.INT,
        "id": bulk.INT,
        "tf": bulk.LABEL,
        "period": bulk.INT,
        **dict.fromkeys(values, bulk.FLOAT),
    }
    return bulk.read(connection, query, parameters, fields)


def read_state_sums(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The sums of closes that the state holds for exactly the bar that a span continues: id, tf, close_sum.

    Groups of periods may disagree: one that is past its seed stops adding. The largest is the one still in use.
    """
    query = f"""
        SELECT s.id, st.tf, max(st.close_sum) AS close_sum FROM {_SPANS}
        JOIN {leg.state} st ON st.id = s.id AND st.seen_ts = s.carry_at AND st.tf = ANY(%(tfs)s)
        WHERE st.close_sum IS NOT NULL GROUP BY s.id, st.tf
    """
    fields = {"id": bulk.INT, "tf": bulk.LABEL, "close_sum": bulk.FLOAT}
    return bulk.read(connection, query, at.parameters(tfs=list(tfs)), fields)


def read_closes_before(connection: Connection, leg: Leg, at: Spans, wanted: Rows) -> Rows:
    """The closes that a leg counted before its spans, for some (id, tf, needed): id, tf, close; sorted by id, tf, time.

    At most the first ``needed`` of each: later ones are of no use to a seed.
    """
    daily = followed(leg) == DAILY
    counted = "" if daily else "AND b.tf = w.tf AND NOT b.is_partial_end"
    query = f"""
        SELECT s.id, w.tf, b.close FROM {_SPANS}
        JOIN unnest(%(w_ids)s::int[], %(w_tfs)s::text[], %(w_needed)s::bigint[]) AS w(id, tf, needed) ON w.id = s.id
        JOIN {followed(leg)} b ON b.id = s.id {counted} AND b."timestamp" < s.begin AND b.bar_seq <= w.needed
        ORDER BY s.id, w.tf COLLATE "C", b."timestamp"
    """
    more = {
        "w_ids": wanted["id"].tolist(),
        "w_tfs": [tf.decode() for tf in wanted["tf"].tolist()],
        "w_needed": wanted["needed"].tolist(),
    }
    return bulk.read(connection, query, at.parameters(**more), {"id": bulk.INT, "tf": bulk.LABEL, "close": bulk.FLOAT})


def utc(times: Array) -> list[str | None]:
    """Times as text that PostgreSQL reads as UTC; ``None`` for NaT."""
    return [None if time == "NaT" else f"{time}Z" for time in times.astype(str).tolist()]
