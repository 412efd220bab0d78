"""The ledger of restatements, and what is removed together with an asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, text

from refresh.records import LedgerLine
from refresh.store.database import begin_writing
from refresh.store.dimension_tables import ASSETS
from refresh.store.tables import LEDGER, METADATA, OUTCOMES

_KEPT = {ASSETS, LEDGER, OUTCOMES}
"""Tables that keep the rows of an asset that is removed: the user's, and the history."""


def save_lines(connection: Connection, lines: Sequence[LedgerLine], run_id: str) -> None:
    """Add lines to the ledger: one per asset whose known days were changed, deleted, or added to before the last."""
    if lines:
        connection.execute(METADATA.tables[LEDGER].insert(), [_row(line, run_id) for line in lines])


def _row(line: LedgerLine, run_id: str) -> dict[str, object]:
    row = asdict(line)
    row["rows_changed"] = row.pop("rows")
    return {**row, "run_id": run_id}


def read_lines(connection: Connection, run_id: str) -> tuple[LedgerLine, ...]:
    """What a run added to the ledger, by asset."""
    query = text(f"""
        SELECT id, first_day, last_day, rows_changed AS rows, old_close, new_close, reason
        FROM {LEDGER} WHERE run_id = :run_id ORDER BY id
    """)
    rows = connection.execute(query, {"run_id": run_id}).mappings()
    return tuple(LedgerLine(**row) for row in rows)


def prune(connection: Connection, ids: Sequence[int]) -> int:
    """Remove assets from every table except ``_KEPT``. Returns the number of rows removed."""
    begin_writing(connection)
    removed = 0
    for name, table in METADATA.tables.items():
        if "id" in table.columns and name not in _KEPT:
            removed += connection.execute(table.delete().where(table.columns["id"].in_(ids))).rowcount
    return removed
