"""What is stored of an asset's daily bars, and whether the state says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, SOURCE, legs
from refresh.store.statements import columns_of, day_of, rows_of
from refresh.store.tables import DAILY_STATE, MONTHS, ROWS_LOST

BUILT_IDS = f"""
    SELECT id FROM {DAILY_STATE} UNION (
        WITH RECURSIVE owners AS (
            (SELECT id FROM {DAILY} ORDER BY id LIMIT 1) UNION ALL
            SELECT (SELECT d.id FROM {DAILY} d WHERE d.id > o.id ORDER BY d.id LIMIT 1) FROM owners o
            WHERE o.id IS NOT NULL
        ) SELECT id FROM owners WHERE id IS NOT NULL
    )"""
"""Every asset that has daily bars or a state of them; the key leads from each asset to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyState:
    """What is stored of an asset's daily bars, and whether table and state agree.

    ``rows``: the number of source rows that were last processed, up to the time ``processed``. ``bars``, ``first``,
    ``last``: what the table holds. ``is_outdated``: older formulas or columns made the bars. ``is_folded``: they were
    folded from rows finer than a day. ``calendar``: the name of the one in effect; ``None`` is 24/7.
    """

    rows: int
    bars: int
    first: datetime | None
    last: datetime | None
    processed: datetime | None
    agrees: bool
    is_outdated: bool = False
    is_folded: bool = False
    calendar: str | None = None


NO_BARS = DailyState(rows=0, bars=0, first=None, last=None, processed=None, agrees=False)
"""Nothing is stored of the asset."""


_PROCESSED_IDS = f"""
    WITH RECURSIVE owners AS (
        (SELECT id FROM {MONTHS} ORDER BY id LIMIT 1) UNION ALL
        SELECT (SELECT m.id FROM {MONTHS} m WHERE m.id > o.id ORDER BY m.id LIMIT 1) FROM owners o
        WHERE o.id IS NOT NULL
    ) SELECT id FROM owners WHERE id IS NOT NULL"""
_VERSION = next(leg.version for _, leg in legs() if leg.target == DAILY)


def daily_states(connection: Connection, ids: Sequence[int] | None) -> dict[int, DailyState]:
    """What is stored of each asset that has daily bars or a state of them, and whether the state says the same.

    An asset of the source that has neither, although its rows were processed, is one whose state contradicts.
    """
    edge = f"""(SELECT "timestamp" FROM {DAILY} d WHERE d.id = s.id ORDER BY "timestamp" """
    candidates = f"{BUILT_IDS} UNION ({_PROCESSED_IDS})"
    if ids is not None:
        candidates = f"SELECT id FROM {rows_of('u', id='int')}"
    query = text(f"""
        SELECT * FROM (
            SELECT s.id, (SELECT sum(row_count)::int FROM {MONTHS} m WHERE m.id = s.id) AS rows,
                   (SELECT max(bar_seq) FROM {DAILY} d WHERE d.id = s.id AND d.tf = '1D') AS bars,
                   {edge} LIMIT 1) AS first_ts, {edge} DESC LIMIT 1) AS last_ts,
                   state.id IS NOT NULL AS has_state, state.last_src_ts, state.version, state.is_folded, state.calendar
            FROM ({candidates}) AS s LEFT JOIN {DAILY_STATE} state USING (id)) AS stored
        WHERE has_state OR bars IS NOT NULL
           OR rows IS NOT NULL AND EXISTS (SELECT FROM {SOURCE} p WHERE p.id = stored.id)
    """)
    return {row.id: _daily_state(row) for row in connection.execute(query, columns_of("u", id=ids or ()))}


def _daily_state(row: Any) -> DailyState:
    is_whole = row.has_state and row.version != ROWS_LOST
    return DailyState(
        rows=row.rows or 0,
        bars=row.bars or 0,
        first=row.first_ts,
        last=row.last_ts,
        processed=row.last_src_ts if row.has_state else row.last_ts,
        agrees=is_whole and row.last_ts == row.last_src_ts,
        is_outdated=is_whole and row.version < _VERSION,
        is_folded=bool(row.is_folded),
        calendar=row.calendar,
    )


@dataclass(frozen=True, slots=True)
class DailyEdges:
    """The first and the last day of an asset's daily bars, and the close of the first."""

    first: date
    last: date
    close: float


def daily_edges(connection: Connection, ids: Sequence[int], tz: str) -> dict[int, DailyEdges]:
    """The edges of each asset that has daily bars."""
    day = day_of('"timestamp"')
    edge = f'SELECT {day} AS day, close FROM {DAILY} d WHERE d.id = u.id ORDER BY "timestamp"'
    query = text(f"""
        SELECT u.id, f.day AS first, l.day AS last, f.close FROM {rows_of("u", id="int")}
        CROSS JOIN LATERAL ({edge} LIMIT 1) AS f CROSS JOIN LATERAL ({edge} DESC LIMIT 1) AS l
    """)
    rows = connection.execute(query, {"tz": tz, **columns_of("u", id=ids)})
    return {row.id: DailyEdges(row.first, row.last, row.close) for row in rows}


def number_of_assets(connection: Connection) -> int:
    """The number of assets that have daily bars or a state of them."""
    return int(connection.execute(text(f"SELECT count(*) FROM ({BUILT_IDS}) AS built")).scalar_one())
