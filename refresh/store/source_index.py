"""Which index the price table has, and how its assets are listed with it or without."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.statements import relation

IS_ASSET = "{0} BETWEEN -2147483648 AND 2147483647 AND {0} % 1 = 0"
"""Whether a value is the id of an asset: our tables have whole numbers of four bytes."""
_SHOWN = 10


def is_indexed(connection: Connection) -> bool:
    """Whether the source has a whole index on id and timestamp."""
    query = text(f"""
        SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = {relation(":name")} AND i.indisvalid
            AND i.indpred IS NULL AND ARRAY['id', 'timestamp'] = ARRAY(
                SELECT a.attname::text FROM generate_series(0, 1) AS n
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] ORDER BY n))
    """)
    return bool(connection.execute(query, {"name": SOURCE}).scalar_one())


def assets_sql(connection: Connection) -> str:
    """SQL for the assets of the source: from one to the next if an index has them in order."""
    if not is_indexed(connection):
        return f"SELECT DISTINCT id FROM {SOURCE} WHERE {IS_ASSET.format('id')}"
    return f"""
        WITH RECURSIVE assets AS (
            (SELECT id FROM {SOURCE} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT p.id FROM {SOURCE} p WHERE p.id > a.id ORDER BY p.id LIMIT 1) FROM assets a
            WHERE a.id IS NOT NULL
        ) SELECT id FROM assets WHERE {IS_ASSET.format("id")}"""


def other_ids(connection: Connection) -> list[Decimal]:
    """The first values of the column ``id`` that no asset can have."""
    query = text(f"""
        SELECT * FROM (SELECT DISTINCT id::numeric AS id FROM {SOURCE} WHERE NOT ({IS_ASSET.format("id")})) AS others
        ORDER BY id LIMIT {_SHOWN}
    """)
    return list(connection.execute(query).scalars())
