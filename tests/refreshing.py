"""Refreshing a test database inside the process of the test, and reading what its tables then contain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine, text
from statements import ask, execute

from refresh.builder import work
from refresh.catalog import BUILDERS, BuilderConfig, legs
from refresh.due import survey
from refresh.due.scope import Scope
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store.database import read_committed
from refresh.store.schema import prepare
from refresh.store.tables import OUTCOMES, RUNS, STEPS, TARGET_TABLES, VALIDATIONS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TARGETS = tuple(leg.target for _, leg in legs())
FEW = ("2D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR")
"""A timeframe or two of every family: all tables are built, and quickly."""


def enable(engine: Engine, timeframes: Iterable[str], periods: Iterable[int] | None = None) -> None:
    """Enable only these timeframes and, if given, only these periods."""
    execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:few)", few=list(timeframes))
    if periods is not None:
        execute(engine, "UPDATE dim_period SET is_enabled = period = ANY(:few)", few=list(periods))


def refresh(
    engine: Engine,
    request: Request | None = None,
    builders: Sequence[BuilderConfig] = BUILDERS,
    *,
    now: datetime = NOW,
    values_at_once: int = work.VALUES_AT_ONCE,
    is_prepared: bool = False,
) -> list[Outcome]:
    """Run builders in order, each as its own process would. Returns every outcome.

    ``is_prepared``: the tables were verified a moment ago, and nobody has altered any since.
    """
    outcomes: list[Outcome] = []
    for scope in open_scopes(engine, request, builders, now=now, is_prepared=is_prepared):
        work.refresh(engine, scope, work.Listeners(report=outcomes.append), values_at_once=values_at_once)
    return outcomes


def open_scopes(
    engine: Engine,
    request: Request | None = None,
    builders: Sequence[BuilderConfig] = BUILDERS,
    *,
    now: datetime = NOW,
    is_prepared: bool = False,
) -> tuple[Scope, ...]:
    """The scopes of some builders, in a database that is prepared as for a run."""
    selection = (request or Request()).selection
    with read_committed(engine) as connection:
        if not is_prepared:
            prepare(connection, selection.tz)
        return survey.open_scopes(connection, builders, selection, now)


def columns(table: str) -> list[str]:
    """The columns of a table that depend on prices."""
    return [f'"{column.name}"' for column in TARGET_TABLES[table].columns if column.name != "ingested_at"]


def rows(engine: Engine, table: str, *, without: Sequence[str] = ()) -> list[str]:
    """Every row of a table as PostgreSQL prints it, sorted: equal text is equal bits. Some timeframes are left out."""
    query = text(f"SELECT ROW({', '.join(columns(table))})::text FROM {table} WHERE NOT tf = ANY(:without)")
    with engine.connect() as connection:
        return sorted(connection.execute(query, {"without": list(without)}).scalars())


def _digest_of(table: str) -> str:
    """SQL for the name of a table, the number of its rows, and a digest of them that does not depend on their order."""
    hashes = f"coalesce(sum({hash_of(table)}), 0)::text"
    return f"SELECT '{table}' AS name, count(*) AS number, {hashes} AS hashes FROM {table} WHERE NOT tf = ANY(:without)"


def digest(engine: Engine, table: str) -> tuple[int, str]:
    """That of one table."""
    with engine.connect() as connection:
        _, number, hashes = connection.execute(text(_digest_of(table)), {"without": []}).one()
    return number, hashes


def hash_of(table: str) -> str:
    """SQL for the hash of a row."""
    return f"hash_record_extended(ROW({', '.join(columns(table))}), 0)"


def digests(engine: Engine, *, without: Sequence[str] = ()) -> dict[str, tuple[int, str]]:
    """The digest of every target table. Some timeframes are left out."""
    query = text(" UNION ALL ".join(map(_digest_of, TARGETS)))
    with engine.connect() as connection:
        found = connection.execute(query, {"without": list(without)})
        return {row.name: (row.number, row.hashes) for row in found}


def check_equal(engine: Engine, builders: Sequence[BuilderConfig] = BUILDERS) -> None:
    """The tables of these builders are filled, and are those of a rebuild by this process."""
    found = digests(engine)
    assert all(found[leg.target][0] for builder in builders for leg in builder.legs)
    refresh(engine, Request(full_rebuild=True), builders)
    assert digests(engine) == found


def written(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """The rows ever inserted, updated and deleted, for each table of the database."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))  # flushed when this transaction ends
    counters = ask(engine, "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1")
    return {table: (inserted, updated, deleted) for table, inserted, updated, deleted in counters}


def moved(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """The same without the tables of the history of runs."""
    history = {RUNS, STEPS, OUTCOMES, VALIDATIONS}
    return {table: counters for table, counters in written(engine).items() if table not in history}
