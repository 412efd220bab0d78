"""What EMAs are computed from: prices, what is counted, and the stored rows and sums that a stretch continues."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from refresh.catalog import DAILY, Input, Leg, shape_of
from refresh.core.rows import Array, Rows
from refresh.store import bulk
from refresh.store.spans import ROWS_OF_SPANS, Spans
from refresh.store.statements import columns_of, quoted, rows_of

_TFS = rows_of("w", tf="text")
_PRICES = {"id": bulk.INT, "timestamp": bulk.TIMESTAMP, "price": bulk.FLOAT}
_CANONICAL = {"id": bulk.INT, "tf": bulk.LABEL, "timestamp": bulk.TIMESTAMP, "bar_seq": bulk.BIGINT}


def read_prices(connection: Connection, price: Input, spans: Spans, tfs: Sequence[str]) -> Rows:
    """The averaged column of the spans: id, timestamp, price, and tf if the table has timeframes; sorted by them."""
    if shape_of(price.table).has_timeframes:
        fields = {**_PRICES, "tf": bulk.LABEL}
        wanted, is_wanted, order = f"CROSS JOIN {_TFS}", "AND d.tf = w.tf", ', d.tf COLLATE "C"'
    else:
        fields = _PRICES
        wanted, is_wanted, order = "", "", ""
    query = f"""
        SELECT d.*, d."{price.columns[0]}" AS price FROM {ROWS_OF_SPANS} {wanted}
        JOIN {price.table} d ON d.id = s.id {is_wanted}
         AND d."timestamp" >= coalesce(s.begin, '-infinity') AND d."timestamp" <= s.through
        ORDER BY d.id, d."timestamp"{order}
    """
    return bulk.read(connection, query, spans.values(**columns_of("w", tf=tfs)), fields)


def read_earlier_prices(connection: Connection, price: Input, spans: Spans, number: int) -> Rows:
    """The averaged column of the last ``number`` daily bars before each span: id, timestamp, price; sorted."""
    query = f"""
        SELECT d.id, d."timestamp", d."{price.columns[0]}" AS price FROM {ROWS_OF_SPANS} CROSS JOIN LATERAL (
            SELECT * FROM {price.table} d WHERE d.id = s.id AND d."timestamp" <= s.carry_at
            ORDER BY d."timestamp" DESC LIMIT :number) d
        ORDER BY d.id, d."timestamp"
    """
    return bulk.read(connection, query, spans.values(number=number), _PRICES)


def read_canonical(connection: Connection, leg: Leg, spans: Spans, tfs: Sequence[str]) -> Rows:
    """The canonical snapshots of the spans, which an EMA counts: id, tf, timestamp, bar_seq."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq FROM {ROWS_OF_SPANS} CROSS JOIN {_TFS}
        JOIN {leg.follows.table} b ON b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
         AND b."timestamp" >= coalesce(s.begin, '-infinity') AND b."timestamp" <= s.through
    """
    return bulk.read(connection, query, spans.values(**columns_of("w", tf=tfs)), _CANONICAL)


def read_last_canonical(connection: Connection, leg: Leg, spans: Spans, tfs: Sequence[str]) -> Rows:
    """The last canonical snapshot before each span: id, tf, timestamp, bar_seq."""
    query = f"""
        SELECT b.id, b.tf, b."timestamp", b.bar_seq FROM {ROWS_OF_SPANS} CROSS JOIN {_TFS}
        CROSS JOIN LATERAL (
            SELECT * FROM {leg.follows.table} b WHERE b.id = s.id AND b.tf = w.tf AND NOT b.is_partial_end
               AND b."timestamp" < s.begin ORDER BY b."timestamp" DESC LIMIT 1) b
    """
    return bulk.read(connection, query, spans.values(**columns_of("w", tf=tfs)), _CANONICAL)


def read_nth_days(connection: Connection, spans: Spans, lengths: Sequence[int]) -> Rows:
    """The daily bar before each span, and of each length n the last n-th one: id, length, timestamp, count."""
    query = f"""
        SELECT s.id, n.length, d."timestamp", c.bar_seq AS count
        FROM {ROWS_OF_SPANS} JOIN {DAILY} c ON c.id = s.id AND c."timestamp" = s.carry_at
        CROSS JOIN {rows_of("n", length="int")}
        LEFT JOIN LATERAL (
            SELECT * FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D' AND d.bar_seq <= c.bar_seq / n.length * n.length
            ORDER BY d.bar_seq DESC LIMIT 1) d ON true
    """
    fields = {"id": bulk.INT, "length": bulk.INT, "timestamp": bulk.TIMESTAMP, "count": bulk.BIGINT}
    return bulk.read(connection, query, spans.values(**columns_of("n", length=lengths)), fields)


def read_emas(connection: Connection, leg: Leg, points: Rows) -> Rows:
    """The averages of some timeframes (id, tf, timestamp): id, tf, period, the values and their d1."""
    names = [name for average in leg.averages for name in (average.name, average.differences[0])]
    query = f"""
        SELECT e.id, e.tf, e.period, {quoted(names, "e")}
        FROM {rows_of("p", id="int", tf="text", time="timestamptz")}
        JOIN {leg.target} e ON e.id = p.id AND e.ts = p.time AND e.tf = p.tf
    """
    ids, times = points["id"].tolist(), _utc(points["timestamp"])
    values = columns_of("p", id=ids, tf=_labels(points["tf"]), time=times)
    keys = {"id": bulk.INT, "tf": bulk.LABEL, "period": bulk.INT}
    return bulk.read(connection, query, values, {**keys, **dict.fromkeys(names, bulk.FLOAT)})


def read_state_sums(connection: Connection, leg: Leg, spans: Spans, tfs: Sequence[str]) -> Rows:
    """The sums of closes that the state holds for exactly the bar that a span continues: id, tf, close_sum.

    Groups of periods may disagree: a group that is past its seed stops adding. The largest sum is still in use.
    """
    query = f"""
        SELECT s.id, st.tf, max(st.close_sum) AS close_sum FROM {ROWS_OF_SPANS}
        JOIN {leg.state} st ON st.id = s.id AND st.seen_ts = s.carry_at AND st.tf = ANY(:tfs)
        WHERE st.close_sum IS NOT NULL GROUP BY s.id, st.tf
    """
    fields = {"id": bulk.INT, "tf": bulk.LABEL, "close_sum": bulk.FLOAT}
    return bulk.read(connection, query, spans.values(tfs=list(tfs)), fields)


def read_closes_before(connection: Connection, leg: Leg, spans: Spans, wanted: Rows) -> Rows:
    """The closes that a leg counted before its spans, for some (id, tf, needed): id, tf, close; sorted by id, tf, time.

    At most the first ``needed`` of each: a seed does not use later ones.
    """
    table = leg.follows.table
    is_counted = "AND b.tf = w.tf AND NOT b.is_partial_end" if shape_of(table).has_timeframes else ""
    query = f"""
        SELECT s.id, w.tf, b."{leg.price.columns[0]}" AS close FROM {ROWS_OF_SPANS}
        JOIN {rows_of("w", id="int", tf="text", needed="bigint")} ON w.id = s.id
        JOIN {table} b ON b.id = s.id {is_counted} AND b."timestamp" < s.begin AND b.bar_seq <= w.needed
        ORDER BY s.id, w.tf COLLATE "C", b."timestamp"
    """
    ids, needed = wanted["id"].tolist(), wanted["needed"].tolist()
    values = spans.values(**columns_of("w", id=ids, tf=_labels(wanted["tf"]), needed=needed))
    fields = {"id": bulk.INT, "tf": bulk.LABEL, "close": bulk.FLOAT}
    return bulk.read(connection, query, values, fields)


def _labels(labels: Array) -> list[str]:
    return [label.decode() for label in labels.tolist()]


def _utc(times: Array) -> list[str]:
    """Times as text that PostgreSQL reads as UTC."""
    return [f"{time}Z" for time in times.astype(str).tolist()]
