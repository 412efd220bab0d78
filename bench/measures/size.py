"""How many bytes the tables take, compared with the same rows as plain tables."""

from __future__ import annotations

from sqlalchemy import text

from bench import former
from bench.figures import Figure, Goal, Unit
from bench.server import Bench, Database, settle
from refresh.catalog import SOURCE


def measure(bench: Bench) -> list[Figure]:
    """The share of bytes, each side with its indexes and with the states and the history of runs."""
    database = with_former(bench)
    ours, plain = _bytes(database, f"n.nspname = 'public' AND c.relname <> '{SOURCE}'"), _plain_bytes(database)
    note = f"{database.size}: {ours / 1e6:,.0f} MB, plain {plain / 1e6:,.0f} MB"
    return [
        Figure(name="bytes of all tables / plain", samples=[ours / plain], unit=Unit.PERCENT, goal=Goal(0.4), note=note)
    ]


def with_former(bench: Bench) -> Database:
    """The database of deep histories, with the plain tables beside ours."""
    database = bench.shared(bench.size(20, 3000))
    if not former.exists(database):
        bench.say("copying every row into plain tables")
        former.fill(database)
        settle(database)
    return database


def _plain_bytes(database: Database) -> int:
    beside = ", ".join(f"'{name}'" for name in former.BESIDE)
    return _bytes(database, f"n.nspname = '{former.SCHEMA}' OR n.nspname = 'public' AND c.relname IN ({beside})")


def _bytes(database: Database, condition: str) -> int:
    query = f"""
        SELECT sum(pg_total_relation_size(c.oid))::bigint
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND ({condition})
    """
    with database.engine.connect() as connection:
        total: int = connection.execute(text(query)).scalar_one()
    return total
