"""Rows of bars and averages as readers ask for them: of some assets, one timeframe, and a span of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.core.rows import Rows
from refresh.errors import SchemaError
from refresh.store import bulk
from refresh.store.statements import array_of, quoted
from refresh.store.tables import TARGET_TABLES


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Which rows and columns of a table are wanted; ``None`` narrows nothing.

    ``since`` is included and ``before`` is not. ``is_closed``: only canonical rows.
    """

    names: Sequence[str]
    ids: Sequence[int] | None
    tf: str
    periods: Sequence[int] | None = None
    since: datetime | None = None
    before: datetime | None = None
    is_closed: bool = False


def read_target(connection: Connection, leg: Leg, asked: Asked) -> Rows:
    """The rows in the order of assets, then time, then periods. Raises ``SchemaError`` for a NULL where none may be.

    The timeframe is a condition and no column: a text costs more than a number, and this one is the same in every row.
    """
    among = f"FROM {leg.target} AS t WHERE {' AND '.join(_conditions(leg, asked))}"
    order = quoted((name for name in leg.shape.key if name != "tf"), "t")
    values = {
        "ids": array_of(asked.ids or ()),
        "tf": asked.tf,
        "periods": array_of(asked.periods or ()),
        "since": asked.since,
        "before": asked.before,
    }
    wide = [name for name in texts(leg) if name in asked.names]
    widths = bulk.text_widths(connection, f"SELECT * {among}", values, wide)
    fields = bulk.fields_as_declared(TARGET_TABLES[leg.target], asked.names) | widths
    query = f"SELECT {bulk.selected(fields, 't')} {among} ORDER BY {order}"
    try:
        return bulk.read_selected(connection, query, values, fields)
    except ValueError as error:
        raise SchemaError(
            f"{leg.target}: {error}, as if a NULL were where a refresh writes none; --validate finds what was changed"
        ) from None


def _conditions(leg: Leg, asked: Asked) -> Iterator[str]:
    yield "t.tf = :tf"
    if asked.ids is not None:
        yield "t.id = ANY(CAST(:ids AS int[]))"
    if asked.periods is not None:
        yield "t.period = ANY(CAST(:periods AS int[]))"
    if asked.since is not None:
        yield f't."{leg.shape.time}" >= :since'
    if asked.before is not None:
        yield f't."{leg.shape.time}" < :before'
    if asked.is_closed:
        yield f"NOT t.{_forming(leg)}"


def _forming(leg: Leg) -> str:
    """The column that is false on canonical rows."""
    return leg.averages[0].roll if leg.averages else "is_partial_end"


def texts(leg: Leg) -> list[str]:
    """The columns that are texts, beside the timeframe."""
    return [column.name for column in leg.shape.columns if column.type == "text" and column.name != "tf"]
