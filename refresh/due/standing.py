"""The state of one asset: its source rows, every table, missing days, and what failed last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from refresh.catalog import BuilderConfig, Leg
from refresh.core.calendar import ALWAYS, OPEN, Calendar, shown
from refresh.store import asset, calendars


@dataclass(frozen=True, kw_only=True, slots=True)
class TableStanding:
    """One table of one asset.

    ``through``: the last row of the series that is furthest behind. ``dirty_from``: the first row to be rewritten.
    ``missing_days``: the number of days without a bar between the first and the last; ``None`` except for daily bars.
    """

    builder: str
    table: str
    through: datetime | None
    dirty_from: datetime | None
    missing_days: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The last failure of a builder at the asset, if the asset was not done since."""

    builder: str
    failed_at: datetime
    run_id: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One asset: its source rows, every table, and what is still wrong.

    ``calendar``: the one in effect; ``calendar_name``: the same as people write it.
    """

    id: int
    rows: int
    first: datetime | None
    last: datetime | None
    rejected: int
    tables: tuple[TableStanding, ...]
    failures: tuple[Failure, ...]
    calendar: Calendar = OPEN
    calendar_name: str = ALWAYS


def standing(connection: Connection, builders: Sequence[BuilderConfig], id: int, now: datetime) -> Standing:
    """Read the source, the tables of some builders, and the history."""
    prices = asset.prices_of(connection, id, now)
    tables = [_table(connection, builder, leg, id) for builder in builders for leg in builder.legs]
    failures = [_failure(connection, builder, id) for builder in builders]
    name, calendar = calendars.in_effect(connection, id)
    return Standing(
        id=id,
        rows=prices.rows,
        first=prices.first,
        last=prices.last,
        rejected=prices.rejected,
        tables=tuple(tables),
        failures=tuple(failure for failure in failures if failure),
        calendar=calendar,
        calendar_name=shown(name),
    )


def _table(connection: Connection, builder: BuilderConfig, leg: Leg, id: int) -> TableStanding:
    reach = asset.reach_of(connection, leg, id)
    missing_days = None
    if not leg.shape.has_timeframes:
        missing_days = asset.missing_days(connection, id)
    return TableStanding(
        builder=builder.key,
        table=leg.target,
        through=reach.through,
        dirty_from=reach.dirty_from,
        missing_days=missing_days,
    )


def _failure(connection: Connection, builder: BuilderConfig, id: int) -> Failure | None:
    row = asset.last_failure(connection, builder.key, id)
    if row is None:
        return None
    return Failure(builder=builder.key, failed_at=row.noted_at, run_id=row.run_id, error=row.error)
