"""The state tables: how far every series has come, and where that is behind its input.

A series is one (timeframe, period) pair; bars have period 0. An EMA state row covers all periods of its timeframe that
have come equally far, so that a filtered run can leave the others as they are. What follows from a state is not
decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg, legs
from refresh.core.series import Series
from refresh.store.statements import ALL_OR_SOME, columns_of, lists_of, rows_of, series_of, some_assets
from refresh.store.tables import DAILY_STATE, ROWS_LOST
from refresh.store.watermarks import comparable, contradicting, input_watermarks, own_watermarks


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsettled:
    """Series of one asset that are not where their input is: all that share the same facts.

    ``through``: how far the input reaches. ``seen_ts``, ``dirty_from``: the state of the series, if ``is_built``.
    ``contradicts``: the state of the asset does not fit its table, or the series lost rows. ``is_outdated``: older
    formulas or columns made the rows. ``series``: positions in the leg's selection.
    """

    id: int
    through: datetime | None
    is_built: bool
    contradicts: bool
    seen_ts: datetime | None
    dirty_from: datetime | None
    series: tuple[int, ...]
    is_outdated: bool = False


_WANTED = rows_of("w", ordinal="n", tf="text", period="int")


def unsettled(
    connection: Connection, leg: Leg, series: Sequence[Series], ids: Sequence[int] | None, *, everything: bool
) -> list[Unsettled]:
    """The series of a leg that are not where their input is; with ``everything``, all of them."""
    values = {**series_of("w", series), **some_assets(ids), "all_series": everything, "version": leg.version}
    if leg.shape.has_periods and not everything and _all_settled(connection, leg, values):
        return []
    rows = connection.execute(text(_unsettled_sql(leg)), values).mappings()
    return [Unsettled(**{**row, "series": tuple(row["series"])}) for row in rows]


def _unsettled_sql(leg: Leg) -> str:
    return f"""
        WITH wanted AS (SELECT * FROM {_WANTED}),
        input AS ({input_watermarks(leg)}),
        own AS ({own_watermarks(leg)}),
        contradicting AS ({contradicting(leg)}),
        compared AS (
            SELECT i.id, w.n, i.through, o.id IS NOT NULL AS is_built, o.seen_ts, o.dirty_from,
                   c.id IS NOT NULL OR coalesce(o.version = {ROWS_LOST}, false) AS contradicts,
                   coalesce(o.version <> {ROWS_LOST} AND o.version < :version, false) AS is_outdated
            FROM (SELECT * FROM input WHERE {ALL_OR_SOME}) AS i JOIN wanted w ON i.tf IS NULL OR i.tf = w.tf
            LEFT JOIN own o ON o.id = i.id AND o.tf = w.tf AND o.period = w.period
            LEFT JOIN contradicting c ON c.id = i.id
        )
        SELECT id, through, is_built, contradicts, is_outdated, seen_ts, dirty_from,
               array_agg(n::int - 1 ORDER BY n) AS series
        FROM compared
        WHERE :all_series OR NOT is_built OR contradicts OR is_outdated OR dirty_from IS NOT NULL
           OR {comparable("seen_ts")} <> {comparable("through")}
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    """


def _all_settled(connection: Connection, leg: Leg, values: Mapping[str, Any]) -> bool:
    """Whether every wanted series of every asset is where its input is, without unfolding the periods.

    By a difference of sets, which is hashed or sorted: a join of tables without statistics may be a loop in a loop.
    """
    query = text(f"""
        WITH wanted AS (
            SELECT tf COLLATE "C" AS tf, array_agg(period) AS periods FROM {_WANTED} GROUP BY 1
        ),
        needed AS (
            SELECT i.id, w.tf, i.through, cardinality(w.periods)::bigint AS periods
            FROM ({input_watermarks(leg)}) AS i JOIN wanted w ON i.tf IS NULL OR i.tf = w.tf
            WHERE {ALL_OR_SOME}
        ),
        settled AS (
            SELECT s.id, s.tf, s.seen_ts, sum(cardinality(s.periods)) AS periods
            FROM {leg.state} s JOIN wanted w USING (tf)
            WHERE s.dirty_from IS NULL AND s.version >= :version AND s.periods <@ w.periods
            GROUP BY s.id, s.tf, s.seen_ts
        )
        SELECT NOT EXISTS (SELECT * FROM needed EXCEPT SELECT * FROM settled) AND NOT EXISTS ({contradicting(leg)})
    """)
    return bool(connection.execute(query, values).scalar_one())


def count_daily_bars(connection: Connection, stretches: Sequence[Any]) -> list[int]:
    """The number of daily bars of each stretch (``id``, ``since``, ``through``); ``since`` ``None``: from the first."""
    query = text(f"""
        SELECT (SELECT count(*)::int FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" <= u.through
                   AND (u.since IS NULL OR d."timestamp" >= u.since))
        FROM {rows_of("u", ordinal="n", id="int", since="timestamptz", through="timestamptz")} ORDER BY n
    """)
    values = lists_of("u", stretches, "id", "since", "through")
    return list(connection.execute(query, values).scalars())


def forget_contradictions(connection: Connection, leg: Leg, ids: Sequence[int] | None) -> None:
    """Forget every series of an asset whose table does not hold what the state says, whatever a run was narrowed to.

    Otherwise the series that are rebuilt now would hide that the others are missing.
    """
    query = text(f"DELETE FROM {leg.state} WHERE id IN ({contradicting(leg)}) AND {ALL_OR_SOME}")
    connection.execute(query, some_assets(ids))


def pending_inputs(connection: Connection, leg: Leg, tfs: Sequence[str], ids: Sequence[int]) -> list[int]:
    """The assets whose input has rows that are marked dirty and not yet rewritten."""
    query = text(f"""
        SELECT DISTINCT id FROM {leg.follows.table}_state
        WHERE dirty_from IS NOT NULL AND tf = ANY(:tfs) AND id = ANY(:ids)
    """)
    return list(connection.execute(query, {"tfs": list(tfs), "ids": list(ids)}).scalars())


def built_timeframes(connection: Connection, legs: Sequence[Leg]) -> set[str]:
    """Every timeframe that some table has series of."""
    return _distinct(connection, [f"SELECT tf FROM {leg.state}" for leg in legs])


def built_periods(connection: Connection, legs: Sequence[Leg]) -> set[int]:
    """Every period that some table has series of."""
    states = [leg.state for leg in legs if leg.shape.has_periods]
    return _distinct(connection, [f"SELECT unnest(periods) AS period FROM {state}" for state in states])


def _distinct(connection: Connection, queries: Sequence[str]) -> set[Any]:
    if not queries:
        return set()
    return set(connection.execute(text(" UNION ".join(queries))).scalars())


_DAILY_VERSION = next(leg.version for _, leg in legs() if leg.target == DAILY)


def save_daily(connection: Connection, ids: Sequence[int], counts: Mapping[str, list[int]], now: datetime) -> None:
    """Advance the daily state of some assets to what the table now holds. ``counts``: by column, one per asset."""
    names = list(counts)
    set_columns = ["version", "last_src_ts", "daily_min_seen", "last_run_ts", *names]
    updates = ", ".join(f"{name} = excluded.{name}" for name in set_columns)
    connection.execute(
        text(f"""
            INSERT INTO {DAILY_STATE} (id, {", ".join(set_columns)})
            SELECT u.id, :version, (SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id),
                   (SELECT min("timestamp") FROM {DAILY} d WHERE d.id = u.id), :now, {", ".join(names)}
            FROM {rows_of("u", id="int", **dict.fromkeys(names, "bigint"))}
            ON CONFLICT (id) DO UPDATE SET {updates}
        """),
        {"now": now, "version": _DAILY_VERSION, **columns_of("u", id=ids, **counts)},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """How far one timeframe of one asset has come: the bars its series count, and the sum of their closes."""

    id: int
    tf: str
    through: datetime | None
    bars: int
    close_sum: float = 0.0


_ADVANCES = rows_of("u", id="int", tf="text", through="timestamptz", bars="bigint", close_sum="float8")


def _advances(advances: Sequence[Advance]) -> dict[str, str]:
    return lists_of("u", advances, "id", "tf", "through", "bars", "close_sum")


def save_bars(connection: Connection, leg: Leg, advances: Sequence[Advance]) -> None:
    """Advance the state of bars; ``last_ts`` is set for series that have rows."""
    connection.execute(
        text(f"""
            INSERT INTO {leg.state} (id, tf, seen_ts, last_ts, version)
            SELECT id, tf, through, CASE WHEN bars > 0 THEN through END, :version FROM {_ADVANCES}
            ON CONFLICT (id, tf) DO UPDATE SET seen_ts = excluded.seen_ts, last_ts = excluded.last_ts,
                dirty_from = NULL, updated_at = now(), version = excluded.version
        """),
        {**_advances(advances), "version": leg.version},
    )


def save_emas(
    connection: Connection, leg: Leg, advances: Sequence[Advance], selected: Iterable[tuple[str, int, int]]
) -> None:
    """Advance the state of EMA series, and regroup periods that are now equally far.

    ``selected``: (tf, period, number of bars that the series needs before its first row).
    """
    tfs, periods, needed = zip(*selected, strict=True)
    values = {**_advances(advances), "version": leg.version, **columns_of("s", tf=tfs, period=periods, needed=needed)}
    connection.execute(text(_REGROUP.format(state=leg.state)), values)


_REGROUP = f"""
    WITH done AS (SELECT * FROM {_ADVANCES}),
    selected AS (SELECT * FROM {rows_of("s", tf="text", period="int", needed="bigint")}),
    removed AS (
        DELETE FROM {{state}} s USING done d WHERE s.id = d.id AND s.tf = d.tf RETURNING s.*
    ),
    series AS (
        SELECT r.id, r.tf, period, r.seen_ts, r.last_ts, r.dirty_from, r.close_sum, r.version
        FROM removed r CROSS JOIN unnest(r.periods) AS period
        WHERE (r.tf, period) NOT IN (SELECT tf, period FROM selected)
        UNION ALL
        SELECT d.id, d.tf, s.period, d.through, CASE WHEN d.bars >= s.needed THEN d.through END, NULL, d.close_sum,
               :version
        FROM done d JOIN selected s ON s.tf = d.tf
    )
    INSERT INTO {{state}} (id, tf, periods, seen_ts, last_ts, dirty_from, close_sum, version)
    SELECT id, tf, array_agg(period ORDER BY period), seen_ts, last_ts, dirty_from, close_sum, version
    FROM series GROUP BY id, tf, seen_ts, last_ts, dirty_from, close_sum, version
"""
