"""Which index the price table has, and how its assets are listed with it or without."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.statements import relation

FIRST_TIME = "0001-01-02"
"""The first time that fits into Python's calendar."""
FUTURE_DAYS = 2
"""How far after the clock a timestamp is believed."""
IS_ASSET = "{0} BETWEEN -2147483648 AND 2147483647 AND {0} % 1 = 0"
"""Whether a value is the id of an asset: our tables have whole numbers of four bytes."""
_SHOWN = 10

IS_INDEXED = f"""
    SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = {relation(f"'{SOURCE}'")} AND i.indisvalid
        AND i.indpred IS NULL AND ARRAY['id', 'timestamp'] = ARRAY(
            SELECT a.attname::text FROM generate_series(0, 1) AS n
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] ORDER BY n))
"""
"""SQL for whether the source has a whole index on id and timestamp."""
_ASSETS = {
    False: f"SELECT DISTINCT id FROM {SOURCE} WHERE {IS_ASSET.format('id')}",
    True: f"""
        WITH RECURSIVE assets AS (
            (SELECT id FROM {SOURCE} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT p.id FROM {SOURCE} p WHERE p.id > a.id ORDER BY p.id LIMIT 1) FROM assets a
            WHERE a.id IS NOT NULL
        ) SELECT id FROM assets WHERE {IS_ASSET.format("id")}""",
}
_BELIEVED = f""""timestamp" <= {{horizon}} AND "timestamp" > '{FIRST_TIME}'"""
LAST_TIMES = {
    False: f"""
        SELECT id::int AS id, max("timestamp")::timestamptz AS last FROM {SOURCE}
        WHERE {_BELIEVED} AND {IS_ASSET.format("id")} GROUP BY id""",
    True: f"""
        SELECT a.id::int AS id, (
            SELECT "timestamp" FROM {SOURCE} p WHERE p.id = a.id AND {_BELIEVED}
            ORDER BY "timestamp" DESC LIMIT 1)::timestamptz AS last
        FROM ({_ASSETS[True]}) AS a""",
}
"""SQL for the last time of each asset of the source, without an index and with it; ``horizon``: SQL for a time."""


def is_indexed(connection: Connection) -> bool:
    """Whether the source has a whole index on id and timestamp."""
    return bool(connection.execute(text(IS_INDEXED)).scalar_one())


def assets_sql(connection: Connection) -> str:
    """SQL for the assets of the source: from one to the next if an index has them in order."""
    return _ASSETS[is_indexed(connection)]


def other_ids(connection: Connection) -> list[Decimal]:
    """The first values of the column ``id`` that no asset can have."""
    query = text(f"""
        SELECT * FROM (SELECT DISTINCT id::numeric AS id FROM {SOURCE} WHERE NOT ({IS_ASSET.format("id")})) AS others
        ORDER BY id LIMIT {_SHOWN}
    """)
    return list(connection.execute(query).scalars())
