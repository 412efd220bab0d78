"""Where one asset stands: what there is to say of it before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TableStanding:
    """One table of one asset.

    ``through``: the last row of the series that is furthest behind; ``dirty_from``: the first row to be rewritten;
    ``missing_days``: days without a bar between the first and the last; known of the daily bars alone.
    """

    builder: str
    table: str
    through: datetime | None
    dirty_from: datetime | None
    missing_days: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The last time that a builder failed at the asset, if nothing was done for it since."""

    builder: str
    at: datetime
    run_id: str
    error: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One asset: the source, every table, and what is still wrong."""

    id: int
    rows: int
    first: datetime | None
    last: datetime | None
    rejected: int
    tables: tuple[TableStanding, ...]
    failures: tuple[Failure, ...]
