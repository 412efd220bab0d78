"""Whether each asset is fresh in each table, judged as ``--check`` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from refresh.catalog import BUILDERS, DEFAULT_ZONE, Leg, by_key, legs
from refresh.core.rows import Rows
from refresh.due import survey
from refresh.due.freshness import Freshness, read_freshness
from refresh.due.lateness import not_fresh
from refresh.options.arguments import filter_flags
from refresh.options.request import Request
from refresh.reading.records import as_columns
from refresh.reading.target import asset_ids
from refresh.store import runs
from refresh.store.overview import reached
from refresh.store.settings import remembered_zone

MAX_AGE = Request().max_age
COLUMNS = {
    "id": "int4",
    "table": "text",
    "last_source": "timestamptz null",
    "last_bar": "timestamptz null",
    "lag": "interval null",
    "is_fresh": "bool",
    "why": "text",
}
Record = tuple[int, str, datetime | None, datetime | None, timedelta | None, bool, str]


def read_standing(
    connection: Connection, now: datetime, assets: Sequence[int | str] | None, max_age: timedelta
) -> Rows:
    """A row per asset and table, asset by asset. Days of the source newer than ``max_age`` are not late yet.

    Raises ``UsageError`` for an asset that does not exist, and ``SchemaError`` without a price table that fits.
    """
    request = Request().zoned(remembered_zone(connection) or DEFAULT_ZONE)
    scopes = survey.open_scopes(connection, BUILDERS, request.selection, now)
    known = survey.asset_ids(connection, scopes[0])
    named = None if assets is None else asset_ids(connection, assets, known)
    ids = known if named is None else named
    reasons = _left_by_runs(connection, named)
    for entry in not_fresh(connection, scopes, ids, now - max_age):
        reasons.setdefault((entry.id, entry.table), entry.why)
    fresh = read_freshness(connection, now, request.selection.tz)
    records: list[Record] = []
    for _, leg in legs():
        records += _of_leg(connection, leg, ids, fresh, reasons)
    records.sort(key=lambda record: record[0])
    return as_columns(records, COLUMNS)


def _left_by_runs(connection: Connection, ids: Sequence[int] | None) -> dict[tuple[int, str], str]:
    """What runs about some assets have left undone, by asset and table; ``None``: about all."""
    covers = runs.covers(connection, filter_flags(), ids)
    reasons: dict[tuple[int, str], str] = {}
    for entry in runs.open_since(connection, list(covers.values()), filter_flags(), ids):
        why = f"{entry.status.value} since {entry.since:%Y-%m-%d %H:%M} UTC: {entry.why}"
        reasons |= {(entry.id, leg.target): why for leg in by_key(entry.builder).legs}
    return reasons


@dataclass(frozen=True, kw_only=True, slots=True)
class _Times:
    """The last time of an asset in the source, and in a table."""

    source: datetime | None
    table: datetime | None


def _of_leg(
    connection: Connection, leg: Leg, ids: Sequence[int], fresh: Freshness, reasons: dict[tuple[int, str], str]
) -> Iterator[Record]:
    through = reached(connection, leg)
    for id in ids:
        times = _Times(source=fresh.last.get(id), table=through.get(id))
        why = reasons.get((id, leg.target), "")
        yield id, leg.target, times.source, times.table, _lag(fresh, id, times), not why, why


def _lag(fresh: Freshness, id: int, times: _Times) -> timedelta | None:
    """The trading time from the last day that the table has seen to the last one of the source.

    A table that has the last daily bar has seen everything that the daily bars have seen, refused rows included.
    """
    reach = fresh.daily.get(id)
    if times.source is None or times.table is None or reach is None:
        return None
    has_last_bar = reach.last_bar is not None and times.table >= reach.last_bar
    seen = reach.last_seen if has_last_bar else times.table
    if seen is None or seen >= times.source:
        return timedelta(0)
    return fresh.elapsed(id, seen, times.source)
