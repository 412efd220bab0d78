"""What a batch reads: its inputs from the first affected bar on, and the rows of its own table to continue from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Input, Leg, shape_of
from refresh.core.daily import NUMBERS
from refresh.core.rows import Array, Rows
from refresh.store import bulk
from refresh.store.source import ROWS_SINCE, TABLE, Source
from refresh.store.statements import columns_of, lists_of, rows_of
from refresh.store.tables import METADATA

_SPANS = rows_of("s", id="int", begin="timestamptz", carry_at="timestamptz", through="timestamptz")
_TFS = rows_of("w", tf="text")
_SINCE = rows_of("u", id="int", since="timestamptz")
_DAY = '({0}."timestamp" AT TIME ZONE :tz)::date'


@dataclass(frozen=True, slots=True)
class Spans:
    """Per asset of a batch, in id order: the first and last daily bar to compute, and the one to continue from.

    ``None`` in ``begins`` is the asset's first bar, in ``throughs`` that it has none, in ``carries`` a fresh start.
    """

    ids: list[int]
    begins: list[datetime | None]
    carries: list[datetime | None]
    throughs: list[datetime | None]

    def values(self, **more: Any) -> dict[str, Any]:
        """The spans as the values of a query."""
        spans = columns_of("s", id=self.ids, begin=self.begins, carry_at=self.carries, through=self.throughs)
        return {**spans, **more}


def spans(connection: Connection, stretches: Sequence[Any], *, bars_back: int) -> Spans:
    """Where to compute from and what to continue: ``bars_back`` daily bars before the first affected one.

    ``stretches`` have ``id``, ``since`` and ``through``. Bars go one back, because the daily bar before a change may
    turn canonical or lose that; EMAs need not.
    """
    earlier = f'SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" <'
    query = text(f"""
        SELECT u.id, u.through, u.since, a.at AS last_before, b.at AS next_to_last
        FROM {rows_of("u", id="int", since="timestamptz", through="timestamptz")}
        CROSS JOIN LATERAL ({earlier} u.since) AS a(at) CROSS JOIN LATERAL ({earlier} a.at) AS b(at) ORDER BY u.id
    """)
    rows = connection.execute(query, lists_of("u", stretches, "id", "since", "through")).all()
    chains = [(row.since, row.last_before, row.next_to_last, None)[bars_back:] for row in rows]
    return Spans(
        ids=[row.id for row in rows],
        begins=[chain[0] for chain in chains],
        carries=[chain[1] for chain in chains],
        throughs=[row.through for row in rows],
    )


def read_raw(connection: Connection, source: Source, stretches: Sequence[Any]) -> Rows:
    """The raw rows of each asset from its ``since`` on, as ``core.daily`` takes them, with the bit mask of NULLs."""
    columns = [column.name for column in TABLE.columns if column.name not in {"id", "circulatingsupply"}]
    nulls = " | ".join(f"((q.{name} IS NULL)::int << {bit})" for bit, name in enumerate(NUMBERS))
    expressions = {name: source.expression(name) for name in columns} | {"timestamp": source.moment}
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in expressions.items())
    rows = f"""
        SELECT s.id, {selected}, ({source.moment} AT TIME ZONE :tz)::date AS day FROM {_SINCE} {ROWS_SINCE}
    """
    values = {"tz": source.tz, **lists_of("u", stretches, "id", "since")}
    widths = bulk.text_widths(connection, rows, values, ("name", "source_file"))
    fields = {"id": bulk.INT, **bulk.fields(TABLE, columns), **widths, "day": bulk.DATE, "nulls": bulk.INT}
    return bulk.read(connection, f"SELECT q.*, {nulls} AS nulls FROM ({rows}) AS q", values, fields)


def read_daily_before(connection: Connection, stretches: Sequence[Any], tz: str) -> Rows:
    """The last daily bar of each asset before its ``since``: id, day, bar_seq."""
    query = f"""
        SELECT u.id, {_DAY.format("d")} AS day, d.bar_seq FROM {_SINCE}
        CROSS JOIN LATERAL (SELECT * FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" < u.since
                            ORDER BY "timestamp" DESC LIMIT 1) d
    """
    fields = {"id": bulk.INT, "day": bulk.DATE, "bar_seq": bulk.BIGINT}
    return bulk.read(connection, query, {"tz": tz, **lists_of("u", stretches, "id", "since")}, fields)


def read_daily(connection: Connection, at: Spans, tz: str, names: Sequence[str]) -> Rows:
    """The daily bars of the spans with their ``day`` and the asset's ``first_day``, sorted by id, timestamp."""
    columns = [name for name in names if name not in {"day", "first_day"}]
    query = f"""
        SELECT {_listed("d", columns)}, {_DAY.format("d")} AS day, f.first_day
        FROM {_SPANS} CROSS JOIN LATERAL (
            SELECT {_DAY.format("f")} AS first_day FROM {DAILY} f WHERE f.id = s.id ORDER BY f."timestamp" LIMIT 1) f
        JOIN {DAILY} d ON d.id = s.id AND d."timestamp" >= coalesce(s.begin, '-infinity') AND d."timestamp" <= s.through
        ORDER BY d.id, d."timestamp"
    """
    fields = bulk.fields(METADATA.tables[DAILY], columns) | {"day": bulk.DATE, "first_day": bulk.DATE}
    return bulk.read(connection, query, at.values(tz=tz), fields)


def read_prices(connection: Connection, price: Input, at: Spans, tfs: Sequence[str]) -> Rows:
    """The averaged column of the spans: id, timestamp, price, and tf where the table has timeframes; sorted by them."""
    table, column = price.table, price.columns[0]
    fields = {"id": bulk.INT, "timestamp": bulk.TIMESTAMP, "price": bulk.FLOAT}
    wanted, of_tf, order = "", "", 'd.id, d."timestamp"'
    if shape_of(table).has_timeframes:
        fields["tf"] = bulk.LABEL
        wanted, of_tf = f"CROSS JOIN {_TFS}", "AND d.tf = w.tf"
        order += ', d.tf COLLATE "C"'
    query = f"""
        SELECT d.*, d."{column}" AS price FROM {_SPANS} {wanted}
        JOIN {table} d ON d.id = s.id {of_tf}
         AND d."timestamp" >= coalesce(s.begin, '-infinity') AND d."timestamp" <= s.through
        ORDER BY {order}
    """
    return bulk.read(connection, query, at.values(**columns_of("w", tf=tfs)), fields)


def read_earlier_prices(connection: Connection, price: Input, at: Spans, number: int) -> Rows:
    """The averaged column of the last ``number`` daily bars before each span: id, timestamp, price; sorted."""
    query = f"""
        SELECT d.id, d."timestamp", d."{price.columns[0]}" AS price FROM {_SPANS} CROSS JOIN LATERAL (
            SELECT * FROM {price.table} d WHERE d.id = s.id AND d."timestamp" <= s.carry_at
            ORDER BY d."timestamp" DESC LIMIT :number) d
        ORDER BY d.id, d."timestamp"
    """
    fields = {"id": bulk.INT, "timestamp": bulk.TIMESTAMP, "price": bulk.FLOAT}
    return bulk.read(connection, query, at.values(number=number), fields)


def read_last_snapshots(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str], tz: str) -> Rows:
    """The stored snapshots at the daily bar that each span continues, with their ``day``."""
    columns = leg.shape.compared
    query = f"""
        SELECT {_listed("c", columns)}, {_DAY.format("c")} AS day FROM {_SPANS}
        JOIN {leg.target} c ON c.id = s.id AND c."timestamp" = s.carry_at AND c.tf = ANY(:tfs)
        WHERE s.through IS NOT NULL
    """
    fields = bulk.fields(METADATA.tables[leg.target], columns) | {"day": bulk.DATE}
    return bulk.read(connection, query, at.values(tz=tz, tfs=list(tfs)), fields)


CANONICAL = {"id": bulk.INT, "tf": bulk.LABEL, "timestamp": bulk.TIMESTAMP, "bar_seq": bulk.BIGINT}
"""What an EMA counts: the canonical snapshots."""


def read_canonical(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The canonical snapshots of the spans: the columns of ``CANONICAL``."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq FROM {_SPANS} CROSS JOIN {_TFS}
        JOIN {leg.follows.table} b ON b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
         AND b."timestamp" >= coalesce(s.begin, '-infinity') AND b."timestamp" <= s.through
    """
    return bulk.read(connection, query, at.values(**columns_of("w", tf=tfs)), CANONICAL)


def read_last_canonical(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The last canonical snapshot before each span: the columns of ``CANONICAL``."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq FROM {_SPANS} CROSS JOIN {_TFS}
        CROSS JOIN LATERAL (
            SELECT * FROM {leg.follows.table} b WHERE b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
               AND b."timestamp" < s.begin ORDER BY b."timestamp" DESC LIMIT 1) b
    """
    return bulk.read(connection, query, at.values(**columns_of("w", tf=tfs)), CANONICAL)


def read_nth_days(connection: Connection, at: Spans, lengths: Sequence[int]) -> Rows:
    """The daily bar before each span, and of each length n the last n-th one: id, length, timestamp, count."""
    query = f"""
        SELECT s.id, n.length, d."timestamp", c.bar_seq AS count
        FROM {_SPANS} JOIN {DAILY} c ON c.id = s.id AND c."timestamp" = s.carry_at
        CROSS JOIN {rows_of("n", length="int")}
        LEFT JOIN LATERAL (
            SELECT * FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D' AND d.bar_seq <= c.bar_seq / n.length * n.length
            ORDER BY d.bar_seq DESC LIMIT 1) d ON true
    """
    fields = {"id": bulk.INT, "length": bulk.INT, "timestamp": bulk.TIMESTAMP, "count": bulk.BIGINT}
    return bulk.read(connection, query, at.values(**columns_of("n", length=lengths)), fields)


def read_emas(connection: Connection, leg: Leg, points: Rows) -> Rows:
    """The stored rows at some points (id, tf, timestamp, source): the point and period, values, d1 and d1_roll."""
    values = carried_columns(leg)
    query = f"""
        SELECT p.source, e.id, e.tf, e.period, {_listed("e", values)}
        FROM {rows_of("p", id="int", tf="text", time="timestamptz", source="int")}
        JOIN {leg.target} e ON e.id = p.id AND e.ts = p.time AND e.tf = p.tf
    """
    given = columns_of(
        "p",
        id=points["id"].tolist(),
        tf=_texts(points["tf"]),
        time=utc(points["timestamp"]),
        source=points["source"].tolist(),
    )
    keys = {"source": bulk.INT, "id": bulk.INT, "tf": bulk.LABEL, "period": bulk.INT}
    return bulk.read(connection, query, given, {**keys, **dict.fromkeys(values, bulk.FLOAT)})


def carried_columns(leg: Leg) -> list[str]:
    """The columns from which the averages of a leg continue."""
    names: list[str] = []
    for average in leg.averages:
        d1, _, d1_roll, _ = average.differences
        names += [average.name, d1, d1_roll]
    return names


def read_state_sums(connection: Connection, leg: Leg, at: Spans, tfs: Sequence[str]) -> Rows:
    """The sums of closes that the state holds for exactly the bar that a span continues: id, tf, close_sum.

    Groups of periods may disagree: one that is past its seed stops adding. The largest is the one still in use.
    """
    query = f"""
        SELECT s.id, st.tf, max(st.close_sum) AS close_sum FROM {_SPANS}
        JOIN {leg.state} st ON st.id = s.id AND st.seen_ts = s.carry_at AND st.tf = ANY(:tfs)
        WHERE st.close_sum IS NOT NULL GROUP BY s.id, st.tf
    """
    fields = {"id": bulk.INT, "tf": bulk.LABEL, "close_sum": bulk.FLOAT}
    return bulk.read(connection, query, at.values(tfs=list(tfs)), fields)


def read_closes_before(connection: Connection, leg: Leg, at: Spans, wanted: Rows) -> Rows:
    """The closes that a leg counted before its spans, for some (id, tf, needed): id, tf, close; sorted by id, tf, time.

    At most the first ``needed`` of each: later ones are of no use to a seed.
    """
    table = leg.follows.table
    counted = "AND b.tf = w.tf AND NOT b.is_partial_end" if shape_of(table).has_timeframes else ""
    query = f"""
        SELECT s.id, w.tf, b."{leg.price.columns[0]}" AS close FROM {_SPANS}
        JOIN {rows_of("w", id="int", tf="text", needed="bigint")} ON w.id = s.id
        JOIN {table} b ON b.id = s.id {counted} AND b."timestamp" < s.begin AND b.bar_seq <= w.needed
        ORDER BY s.id, w.tf COLLATE "C", b."timestamp"
    """
    more = columns_of("w", id=wanted["id"].tolist(), tf=_texts(wanted["tf"]), needed=wanted["needed"].tolist())
    return bulk.read(connection, query, at.values(**more), {"id": bulk.INT, "tf": bulk.LABEL, "close": bulk.FLOAT})


def _listed(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f'{alias}."{name}"' for name in names)


def _texts(labels: Array) -> list[str]:
    return [label.decode() for label in labels.tolist()]


def utc(times: Array) -> list[str | None]:
    """Times as text that PostgreSQL reads as UTC; ``None`` for NaT."""
    return [None if time == "NaT" else f"{time}Z" for time in times.astype(str).tolist()]
