"""Comments on every table, view and column of ours, for whoever looks at a database with a tool.

They are set when something is created, and by a migration, and only where there is none: a user's own stays, and one
that a user removed comes back by a migration alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, text

from refresh.store.database import raw_cursor
from refresh.store.meanings import COLUMNS, ROWS, by_column, without_links
from refresh.store.statements import SCHEMA, relation

_WITHOUT = text(f"""
    SELECT c.relname AS name, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS noun, a.attname AS column
    FROM pg_class c
    CROSS JOIN LATERAL (
        SELECT 0 AS attnum, NULL AS attname UNION ALL
        SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a
    LEFT JOIN pg_description d ON (d.objoid, d.classoid, d.objsubid) = (c.oid, 'pg_class'::regclass, a.attnum)
    WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n) AND d.objoid IS NULL
""")


def comment_on(connection: Connection, names: Collection[str] = tuple(ROWS)) -> None:
    """Give those of these tables and views that exist, and their columns, the comments that they lack."""
    rows = connection.execute(_WITHOUT, {"names": list(names)}).all()
    statements = list(_statements(rows))
    if statements:
        with raw_cursor(connection) as cursor:  # one message; and no name in a text is taken for one of ours
            cursor.execute("; ".join(statements))


def _statements(rows: Collection[Any]) -> Iterator[str]:
    commented = {row.name for row in rows}
    words = {name: by_column(COLUMNS[name]) for name in commented}
    for row in rows:
        if row.column is None:
            yield f"COMMENT ON {row.noun} {SCHEMA}.{row.name} IS {_quoted(f'A row is {ROWS[row.name]}.')}"
        elif row.column in words[row.name]:
            meaning = _quoted(words[row.name][row.column])
            yield f'COMMENT ON COLUMN {SCHEMA}.{row.name}."{row.column}" IS {meaning}'


def _quoted(words: str) -> str:
    escaped = without_links(words).replace("'", "''")
    return f"'{escaped}'"
