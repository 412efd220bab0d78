"""Databases of older layouts, as dumps, and everything that a database is made of."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from databases import execute as execute_outside
from sqlalchemy import Engine, make_url
from statements import ask

ANSWERS = Path(__file__).parent / "answers"
_OURS = "c.relnamespace = 'public'::regnamespace AND c.relname <> 'cmc_price_histories7'"
CATALOGUE = {
    "relations": f"SELECT relname, relkind, reloptions, relpersistence FROM pg_class c WHERE {_OURS} ORDER BY 1",
    "columns": f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attstorage,
               a.attstattarget, a.attcollation, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
        WHERE {_OURS} AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT attisdropped ORDER BY 1, a.attnum""",
    "constraints": f"""
        SELECT c.relname, r.conname, pg_get_constraintdef(r.oid), r.convalidated
        FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid WHERE {_OURS} ORDER BY 1, 2""",
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE {_OURS} ORDER BY 1, 2""",
    "triggers": f"""
        SELECT c.relname, pg_get_triggerdef(t.oid), t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE {_OURS} AND NOT t.tgisinternal ORDER BY 1, 2""",
    "views": f"SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c WHERE {_OURS} AND c.relkind = 'v' ORDER BY 1",
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid), p.proacl::text, obj_description(p.oid, 'pg_proc')
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1""",
    "comments": f"""
        SELECT c.relname, d.objsubid, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
        WHERE {_OURS} AND d.classoid = 'pg_class'::regclass ORDER BY 1, 2""",
}
"""What a database consists of, except the prices and all rows, by kind."""
OF_A_MOMENT = {
    *("ingested_at", "updated_at", "last_run_ts", "rejected_at", "noted_at", "run_id", "number"),
    *("last_upserted", "last_repaired_timehigh", "last_repaired_timelow", "last_repaired_high", "last_repaired_low"),
    *("last_rejected", "close_sum"),
}
"""Columns that depend on when and in how many runs rows were written: a sum of closes counts until averages begin."""


def restore(url: str, layout: int) -> None:
    """Fill an empty database with the dump of an older layout."""
    statements = gzip.decompress((ANSWERS / f"layout_{layout}.sql.gz").read_bytes()).decode()
    execute_outside(make_url(url), statements)


def catalogue(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """What a database consists of, by kind."""
    return {kind: ask(engine, query) for kind, query in CATALOGUE.items()}


def contents(engine: Engine, names: Mapping[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some tables and views without what is of a moment, sorted."""
    rows = {}
    for name in names:
        without = ", ".join(f"'{column}'" for column in sorted(OF_A_MOMENT))
        query = f"SELECT (to_jsonb(t) - ARRAY[{without}])::text AS row FROM {name} t ORDER BY 1"
        rows[name] = ask(engine, query)
    return rows
