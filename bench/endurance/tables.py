"""How large the tables of a database are, what is in them, and another database that is built from the same prices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import MetaData, text

from bench.programs import psql
from bench.server import Bench, Database
from refresh.catalog import SOURCE
from refresh.store.overview import table_bytes

from refresh.store.tables import (  # isort: skip
    LEDGER, METADATA, OUTCOMES, RUNS, SETTINGS, STEPS, VALIDATIONS, source_table,
)  # fmt: skip

HISTORY = frozenset({RUNS, STEPS, OUTCOMES, VALIDATIONS})
"""Tables that say what runs did: they have rows for each night, and those of a fresh build for one."""
NOT_BUILT = HISTORY | {SETTINGS, "ema_alpha_lookup"}
"""Tables that no builder writes."""
_OF_A_MOMENT = {
    *("ingested_at", "updated_at", "last_run_ts", "rejected_at", "noted_at", "run_id", "number"),
    *("last_upserted", "last_rejected", "close_sum"),
    *(f"last_repaired_{what}" for what in ("high", "low", "timehigh", "timelow")),
}
"""Columns that depend on when and in how many runs rows were written."""


def sizes(database: Database) -> dict[str, int]:
    """The bytes of each table of ours, with its indexes."""
    with database.engine.connect() as connection:
        return table_bytes(connection)


def digests(database: Database) -> dict[str, tuple[int, str]]:
    """The number of rows of each table that builders write, and a number that does not depend on their order."""
    found: dict[str, tuple[int, str]] = {}
    with database.engine.connect() as connection:
        for name, table in METADATA.tables.items():
            if name not in NOT_BUILT:
                columns = ", ".join(f't."{column.name}"' for column in table.columns if column.name not in _OF_A_MOMENT)
                hashes = f"coalesce(sum(hash_record_extended(ROW({columns}), 0)), 0)::text"
                rows, digest = connection.execute(text(f"SELECT count(*), {hashes} FROM {name} t")).one()
                found[name] = rows, digest
    return found


def differing(left: Database, right: Database) -> list[str]:
    """The tables whose rows are not the same in two databases, the ledger included."""
    ours, theirs = digests(left), digests(right)
    return [name for name, digest in ours.items() if digest != theirs[name]]


def unlike_build(database: Database, fresh: Database) -> list[str]:
    """The same of a database that was just built; a build knows nothing of what was restated before."""
    return [name for name in differing(database, fresh) if name != LEDGER]


@contextmanager
def rebuilt(bench: Bench, database: Database) -> Iterator[Database]:
    """Another database that is built from the same prices, for the length of the block."""
    with bench.cloned(database.size) as other:
        with other.engine.begin() as connection:
            source_table(MetaData()).create(connection)
        copy_prices(bench, database, other)
        bench.refresh(other)
        yield other


def copy_prices(bench: Bench, origin: Database, copy: Database) -> None:
    """Copy the price table."""
    file = bench.directory / "tmp" / "prices"
    psql(origin.url, f"\\copy {SOURCE} to '{file}' (format binary)")
    psql(copy.url, f"\\copy {SOURCE} from '{file}' (format binary)", f"ANALYZE {SOURCE}")
    file.unlink()
