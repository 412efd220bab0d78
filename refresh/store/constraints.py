"""Conditions that the database itself keeps, where few rows are written. Keys are declared with the tables.

A condition is added without looking at the rows that there are, so no row of a user stops a migration. Where all rows
keep it, it then counts as valid, as in a table that is created with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from refresh.store.existing import existing_kinds
from refresh.store.statements import relation
from refresh.store.tables import LEDGER, RUNS, STEPS


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a table. ``refers_to``: the table that a foreign key names."""

    table: str
    name: str
    definition: str
    refers_to: str = ""

    @property
    def tables(self) -> set[str]:
        """The tables that it needs."""
        return {self.table, self.refers_to} - {""}


def _above_0(table: str, column: str) -> Condition:
    return Condition(table, f"{table}_{column}_check", f"CHECK ({column} > 0)")


CONDITIONS = (
    _above_0("dim_period", "period"),
    _above_0("dim_timeframe", "tf_qty"),
    _above_0("dim_timeframe", "tf_days_nominal"),
    Condition(LEDGER, f"{LEDGER}_days_check", "CHECK (first_day <= last_day)"),
    Condition(STEPS, f"{STEPS}_run_id_fkey", f"FOREIGN KEY (run_id) REFERENCES {RUNS} ON DELETE CASCADE", RUNS),
)
"""Every condition. Further rules of timeframes and periods depend on other rows, and are those of a run."""
_NAMES = text(f"""
    SELECT conname FROM pg_constraint
    WHERE conrelid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n)
""")


def add_constraints(connection: Connection, of: Collection[str] | None = None) -> None:
    """Add the conditions that existing tables lack: all, or those that have to do with the tables ``of``."""
    wanted = [condition for condition in CONDITIONS if of is None or condition.tables.intersection(of)]
    for condition in _missing(connection, wanted):
        change = f"ALTER TABLE {condition.table} {{}} CONSTRAINT {condition.name}"
        connection.execute(text(f"{change.format('ADD')} {condition.definition} NOT VALID"))
        attempt = connection.begin_nested()
        try:
            connection.execute(text(change.format("VALIDATE")))
        except IntegrityError:
            attempt.rollback()
        else:
            attempt.commit()


def _missing(connection: Connection, wanted: Collection[Condition]) -> Iterator[Condition]:
    tables = {table for condition in wanted for table in condition.tables}
    existing = existing_kinds(connection, tables)
    names = set(connection.execute(_NAMES, {"names": sorted(tables)}).scalars())
    for condition in wanted:
        if condition.tables <= existing.keys() and condition.name not in names:
            yield condition
