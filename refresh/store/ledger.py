"""The ledger of restatements, and what is removed together with an asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from refresh.records import LedgerLine
from refresh.store.tables import LEDGER, METADATA, OUTCOMES

_KEPT = {LEDGER, OUTCOMES}
"""Tables that keep the rows of an asset that is removed."""


def save_lines(connection: Connection, lines: Sequence[LedgerLine], run_id: str) -> None:
    """Add lines to the ledger: one per asset whose known days were changed, deleted, or added to before the last."""
    if lines:
        connection.execute(METADATA.tables[LEDGER].insert(), [_row(line, run_id) for line in lines])


def _row(line: LedgerLine, run_id: str) -> dict[str, object]:
    return {
        "id": line.id,
        "first_day": line.first_day,
        "last_day": line.last_day,
        "rows_changed": line.rows,
        "old_close": line.old_close,
        "new_close": line.new_close,
        "reason": line.reason,
        "run_id": run_id,
    }


def read_lines(connection: Connection, run_id: str) -> tuple[LedgerLine, ...]:
    """What a run added to the ledger, by asset."""
    ledger = METADATA.tables[LEDGER]
    rows = connection.execute(ledger.select().where(ledger.c.run_id == run_id).order_by(ledger.c.id))
    return tuple(map(_line, rows))


def _line(row: Any) -> LedgerLine:
    return LedgerLine(
        id=row.id,
        first_day=row.first_day,
        last_day=row.last_day,
        rows=row.rows_changed,
        old_close=row.old_close,
        new_close=row.new_close,
        reason=row.reason,
    )


def prune(connection: Connection, ids: Sequence[int]) -> int:
    """Remove assets from every table except the ledger and the history of runs. Returns the number of rows removed."""
    removed = 0
    for name, table in METADATA.tables.items():
        if "id" in table.columns and name not in _KEPT:
            removed += connection.execute(table.delete().where(table.columns["id"].in_(ids))).rowcount
    return removed
