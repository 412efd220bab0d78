"""Writing and reading packed averages: a row per asset, day and shelf.

Rows are compared with what is stored, like all others. A run that is about some series of a shelf keeps the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.core.packing import Lanes, changed, laid_over, unpack, written
from refresh.core.rows import Array, Rows, count, take
from refresh.shapes import CLOSED, packed_shape
from refresh.store import bulk, wire
from refresh.store.places import Places
from refresh.store.replace import Extent, Target, delete_extent, delete_rows, read_stored
from refresh.store.spans import ROWS_OF_SPANS, Spans
from refresh.store.statements import quoted
from refresh.store.tables import METADATA

CELLS_AT_ONCE = 500_000
"""The number of values of a column that are read at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """What was computed for a shelf: some of its series, and their packed rows."""

    lanes: Lanes
    rows: Rows


def replace_shelf(connection: Connection, leg: Leg, extent: Extent, shelf: Shelf, *, rewrite: bool) -> dict[int, int]:
    """Make the table hold what was computed for some series of a shelf. Returns the values written per asset.

    ``rewrite``: these are all series of the shelf, and its rows are deleted without comparing.
    """
    target, rows = _target(leg), shelf.rows
    first_value = leg.averages[0].name
    if rewrite:
        delete_extent(connection, target, extent)
        append(connection, leg, rows)
        return written(rows, np.ones(rows[first_value].shape, bool), first_value)
    stored = read_stored(connection, target, extent, rows)
    rows = laid_over(stored.rows, rows, shelf.lanes, target.key)
    difference = changed(stored.rows, rows, target.key)
    delete_rows(connection, target, take(stored.addresses, difference.stale))
    fresh = take(rows, difference.fresh)
    append(connection, leg, fresh)
    return written(fresh, difference.lanes[difference.fresh], first_value)


def _target(leg: Leg) -> Target:
    shape = packed_shape(leg.averages)
    return Target(table=leg.table, key=shape.key, time=shape.time)


def append(connection: Connection, leg: Leg, rows: Rows) -> None:
    """Append packed rows. Every row has all bits of its shelf, so that each can be asked for."""
    closed = rows[CLOSED]
    bits = np.zeros((len(closed), leg.shelf_width), bool)
    bits[:, : closed.shape[1]] = closed
    bulk.write(connection, METADATA.tables[leg.table], {**rows, CLOSED: bits})


def read_last(connection: Connection, leg: Leg, spans: Spans, shelf: int, lanes: Lanes, names: Sequence[str]) -> Rows:
    """Some columns of a shelf at the daily bar that each span continues: id, and a matrix per column."""
    query = f"""
        SELECT p.id, {quoted(names, "p")} FROM {ROWS_OF_SPANS}
        JOIN {leg.table} p ON p.id = s.id AND p.ts = s.carry_at AND p.shelf = :shelf
    """
    fields = {"id": bulk.INT, **dict.fromkeys(names, wire.floats_field(lanes.width))}
    return bulk.read(connection, query, spans.values(shelf=shelf), fields)


NULLS_OF = "nulls of {0}"
"""The name of the matrix that says which values of a column are NULL."""


def read_series(connection: Connection, leg: Leg, places: Places, id: int, series: list[tuple[str, int]]) -> list[Rows]:
    """Everything stored of some series of an asset, a row per value: ``ts``, ``series`` (its position), and columns.

    ``NULLS_OF`` a column is true where it is NULL. Series without a place have no rows.
    """
    parts: list[Rows] = []
    placed = [position for position, pair in enumerate(series) if pair in places.of]
    for number, lanes in places.by_shelf([series[position] for position in placed]).items():
        for rows in _read_shelf(connection, leg, id, number, lanes):
            unpacked = unpack(rows, _is_there(leg, rows), lanes)
            position = np.array(placed)[lanes.series[unpacked.series]]
            parts.append({"ts": rows["ts"][unpacked.row], "series": position, **unpacked.columns})
    return parts


def _read_shelf(connection: Connection, leg: Leg, id: int, shelf: int, lanes: Lanes) -> Iterator[Rows]:
    """The rows of a shelf of an asset, as many at once as fit into memory, with the NULLs of each column."""
    columns = [name for average in leg.averages for name in average.columns]
    again = ", ".join(f't."{name}" AS "{NULLS_OF.format(name)}"' for name in columns)
    query = f"""
        SELECT t.*, {again} FROM {leg.table} t
        WHERE t.id = :id AND t.shelf = :shelf AND (CAST(:after AS timestamptz) IS NULL OR t.ts > :after)
        ORDER BY t.ts LIMIT :number
    """
    fields = {"ts": bulk.TIMESTAMP, CLOSED: wire.bits_field(lanes.width)}
    for name in columns:
        fields[name] = wire.floats_field(lanes.width)
        fields[NULLS_OF.format(name)] = wire.floats_field(lanes.width, "Infinity")
    number = max(CELLS_AT_ONCE // (lanes.width * len(columns)), 2)
    values: dict[str, Any] = {"id": id, "shelf": shelf, "after": None, "number": number}
    while True:
        rows = bulk.read(connection, query, values, fields)
        if count(rows):
            yield _with_nulls(rows, columns)
        if count(rows) < number or np.isnat(rows["ts"][-1]):
            return  # of infinite times, the later one is the last
        values["after"] = f"{rows['ts'][-1]}Z"


def _with_nulls(rows: Rows, columns: Sequence[str]) -> Rows:
    """NULL is what reads as NaN and as infinite."""
    for name in columns:
        again = NULLS_OF.format(name)
        rows[again] = np.isnan(rows[name]) & np.isposinf(rows[again])
    return rows


def _is_there(leg: Leg, rows: Rows) -> Array:
    """Which lanes have anything in them, (rows, lanes): a value of any column, or the bit of a canonical day."""
    values = [~rows[NULLS_OF.format(name)] for average in leg.averages for name in average.columns]
    return np.asarray(np.logical_or.reduce([rows[CLOSED], *values]))
