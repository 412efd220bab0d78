"""Bars and averages: from what a reader writes to the rows of one table and timeframe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from refresh.catalog import DEFAULT_ZONE, Group, Leg
from refresh.options.asset_names import asset_id
from refresh.reading import arguments
from refresh.reading.arguments import Time
from refresh.reading.frame import Frame
from refresh.reading.naming import meant
from refresh.reading.records import as_texts
from refresh.store import assets as known
from refresh.store.dimensions import read_dimensions
from refresh.store.settings import remembered_zone
from refresh.store.target_rows import Asked, read_target, texts


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a reader asks for; ``None`` narrows nothing. ``assets``: ids and symbols."""

    assets: Sequence[int | str] | None
    timeframe: str
    family: str | None
    periods: Sequence[int] | None
    closed: bool
    since: Time
    until: Time
    columns: Sequence[str] | None


def read_frame(connection: Connection, group: Group, question: Question) -> Frame:
    """The rows that a question is about. Raises ``UsageError`` for whatever of it does not exist."""
    dimensions = read_dimensions(connection)
    zone = remembered_zone(connection) or DEFAULT_ZONE
    place = meant(group, str(question.timeframe), question.family, dimensions.timeframes)
    leg = place.leg
    ids = periods = None
    if question.assets is not None:
        ids = asset_ids(connection, question.assets, known.built_ids(connection))
    if leg.shape.has_periods:
        periods = arguments.chosen_periods(question.periods, dimensions.periods)
    asked = Asked(
        names=_columns(leg, question.columns),
        ids=ids,
        tf=place.tf,
        periods=periods,
        since=arguments.lower_bound(question.since, zone),
        before=arguments.upper_bound(question.until, zone),
        is_closed=question.closed,
    )
    rows = read_target(connection, leg, asked)
    rows |= {name: as_texts(column) for name, column in rows.items() if column.dtype.kind == "S"}
    return Frame(rows, leg.target, place.tf)


def _columns(leg: Leg, named: Sequence[str] | None) -> list[str]:
    offered = [column.name for column in leg.shape.columns if column.name != "tf"]
    if named is None:
        return [name for name in offered if name not in texts(leg)]
    return arguments.chosen_columns(named, offered, leg.shape.key)


def asset_ids(connection: Connection, names: Sequence[int | str], among: Sequence[int]) -> list[int]:
    """The ids of the assets that are named by id or symbol, each once.

    Raises ``UsageError`` for a symbol that names none or several, and for an id that is not ``among`` those of others.
    """
    symbols = known.symbols(connection) if any(isinstance(name, str) for name in names) else {}
    ids = [name if isinstance(name, int) else asset_id(name, symbols, option="assets") for name in names]
    arguments.check_ids(ids, among)
    return list(dict.fromkeys(ids))
