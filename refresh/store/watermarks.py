"""SQL for watermarks: how far the input and the series of a leg have come, and which states contradict their table."""

from __future__ import annotations

from refresh.catalog import Leg, shape_of


def input_watermarks(leg: Leg) -> str:
    """Per asset (and timeframe) how far the input reaches; an input that is dirty itself cannot be followed."""
    table = leg.follows.table
    if shape_of(table).has_timeframes:
        return f"SELECT id, tf, seen_ts AS through FROM {table}_state WHERE dirty_from IS NULL"
    return f"SELECT id, NULL::text AS tf, last_src_ts AS through FROM {table}_state"


def input_of_timeframe(leg: Leg) -> str:
    """The condition that an input i is that of a wanted timeframe w; one without timeframes is that of all.

    Said of the leg and not as an OR in SQL, which PostgreSQL could answer only by comparing every row with every one.
    """
    return "i.tf = w.tf" if shape_of(leg.follows.table).has_timeframes else "true"


def comparable(time: str) -> str:
    """A watermark that can be compared: an asset without any bar is before every other."""
    return f"coalesce({time}, '-infinity')"


def contradicting(leg: Leg, among: str = "true") -> str:
    """The assets whose table does not end where the state says, ``among`` those of a condition on ``id``.

    No series has a row after what it has seen: a watermark that somebody set back would count closes twice.

    Packed averages end nowhere without the table that says which is where.
    """
    has_no_series = f"NOT EXISTS (SELECT FROM {leg.places})" if leg.averages else "false"
    return f"""
        SELECT id FROM (
            SELECT id, max(last_ts) AS last_ts, bool_or(last_ts > coalesce(seen_ts, '-infinity')) AS is_set_back
            FROM {leg.state} WHERE {among} GROUP BY id
        ) s
        WHERE is_set_back
           OR last_ts IS DISTINCT FROM (SELECT max("{leg.shape.time}") FROM {leg.table} t WHERE t.id = s.id)
           OR last_ts IS NOT NULL AND {has_no_series}
    """
