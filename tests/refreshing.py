"""Refreshing a test database inside the test's process, and looking at what the tables then hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from refresh.builder import work
from refresh.catalog import BUILDERS, BuilderConfig, legs
from refresh.due import survey
from refresh.due.scope import Scope
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store.database import read_committed
from refresh.store.schema import prepare
from refresh.store.tables import METADATA, OUTCOMES, RUNS, STEPS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TARGETS = tuple(leg.target for _, leg in legs())


def refresh(
    engine: Engine,
    request: Request | None = None,
    builders: Sequence[BuilderConfig] = BUILDERS,
    *,
    now: datetime = NOW,
    values_at_once: int = work.VALUES_AT_ONCE,
) -> list[Outcome]:
    """Run builders in their order, each as its process would, and return every outcome."""
    outcomes: list[Outcome] = []
    for scope in open_scopes(engine, request, builders, now=now):
        work.refresh(engine, scope, work.Listeners(report=outcomes.append), values_at_once=values_at_once)
    return outcomes


def open_scopes(
    engine: Engine,
    request: Request | None = None,
    builders: Sequence[BuilderConfig] = BUILDERS,
    *,
    now: datetime = NOW,
) -> tuple[Scope, ...]:
    """The scopes of some builders, on tables that are prepared as for a run."""
    selection = (request or Request()).selection
    with read_committed(engine) as connection:
        prepare(connection, selection.tz)
        return survey.open_scopes(connection, builders, selection, now)


def columns(table: str) -> list[str]:
    """The columns of a table that say something about prices."""
    return [f'"{column.name}"' for column in METADATA.tables[table].columns if column.name != "ingested_at"]


def rows(engine: Engine, table: str, *, without: Sequence[str] = ()) -> list[str]:
    """Every row of a table as PostgreSQL writes it, sorted: equal text is equal bits. Leaves out some timeframes."""
    query = text(f"SELECT ROW({', '.join(columns(table))})::text FROM {table} WHERE NOT tf = ANY(:without)")
    with engine.connect() as connection:
        return sorted(connection.execute(query, {"without": list(without)}).scalars())


def digest(engine: Engine, table: str, *, without: Sequence[str] = ()) -> tuple[int, str]:
    """How many rows a table has, and a digest of them that does not depend on their order."""
    row = f"hash_record_extended(ROW({', '.join(columns(table))}), 0)"
    query = text(f"SELECT count(*), coalesce(sum({row}), 0)::text FROM {table} WHERE NOT tf = ANY(:without)")
    with engine.connect() as connection:
        found = connection.execute(query, {"without": list(without)}).one()
    return found[0], found[1]


def moved(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """How many rows were ever inserted, updated and deleted, per table of the database but for the history of runs."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))  # flushed when this transaction ends
    query = text("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables")
    history = {RUNS, STEPS, OUTCOMES}
    with engine.connect() as connection:
        return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query) if row[0] not in history}
