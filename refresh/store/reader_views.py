"""Views for readers: closed bars, the latest bars and averages, bars with averages, and how fresh every table is.

The latest rows are found from the state tables, which say where each series ends, so no history is read. What finds
the rows of one day of an asset is fenced off (``OFFSET 0``): no plan can join it with a whole table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from refresh.catalog import DAILY, Leg, legs, shape_of
from refresh.shapes import CLOSED
from refresh.store.source_index import FUTURE_DAYS
from refresh.store.source_times import CALL
from refresh.store.tables import DAILY_STATE, REJECTS, SETTINGS

FRESHNESS = "refresh_freshness"
_OF_SERIES = ("tf", "period", "tf_days")


def closed_name(leg: Leg) -> str:
    """The view of the finished bars of a table."""
    return f"{leg.target}_closed"


def latest_name(leg: Leg) -> str:
    """The view of the last row of each series of a table."""
    return f"{leg.target}_latest"


def with_bars_name(leg: Leg) -> str:
    """The view of averages with the bars that they follow."""
    return f"{leg.target}_with_bars"


def names_of(leg: Leg) -> list[str]:
    """The columns of what a leg builds."""
    return [column.name for column in leg.shape.columns]


def _selected(names: Iterable[str], expressions: dict[str, str], alias: str) -> str:
    """Columns of a table, except those that have an expression of their own."""
    return ", ".join(expressions.get(name, f'{alias}."{name}"') + f' AS "{name}"' for name in names)


def unpacked(leg: Leg) -> dict[str, str]:
    """SQL for each column of averages, of a packed row p and a series s."""
    of_series = {name: f"s.{name}" for name in _OF_SERIES}
    rolls = {average.roll: f"get_bit(p.{CLOSED}, s.place - 1) = 0" for average in leg.averages}
    values = {name: f'p."{name}"[s.place]' for average in leg.averages for name in average.columns}
    return {**of_series, **rolls, **values}


def is_defined(leg: Leg) -> str:
    """SQL for whether a packed row p has a value of series s."""
    return f'p."{leg.averages[0].name}"[s.place] IS NOT NULL'


def _closed(leg: Leg) -> str:
    return f"SELECT {_selected(names_of(leg), {}, 'b')} FROM {leg.target} b WHERE NOT b.is_partial_end"


def _ends(leg: Leg) -> str:
    """The days on which series of an asset end, mostly one; ``is_only``: whether it is."""
    if not leg.shape.has_timeframes:
        return f"(SELECT id, last_src_ts AS last_ts FROM {leg.state})"
    return f"""(
        SELECT e.id, e.last_ts, count(*) OVER (PARTITION BY e.id) = 1 AS is_only
        FROM (SELECT DISTINCT id, last_ts FROM {leg.state} WHERE last_ts IS NOT NULL) e)"""


def _rows_of_ends(leg: Leg) -> str:
    """The ends d of an asset's series, each with the rows r of its day."""
    time = f'r."{leg.shape.time}"'
    return f"""{_ends(leg)} d
        CROSS JOIN LATERAL (SELECT * FROM {leg.table} r WHERE r.id = d.id AND {time} = d.last_ts OFFSET 0) p"""


def _is_its_end(leg: Leg, condition: str) -> str:
    """Whether a series ends on that day. Only where there are several such days, that has to be looked up."""
    return f"""(d.is_only OR EXISTS (
            SELECT FROM {leg.state} e WHERE e.id = d.id AND e.last_ts = d.last_ts AND {condition}))"""


def _latest_bars(leg: Leg) -> str:
    """The last row of each timeframe; a condition on the asset reaches the state."""
    columns = _selected(names_of(leg), {"id": "d.id"}, "p")
    found = f"SELECT {columns} FROM {_rows_of_ends(leg)}"
    return f"{found} WHERE {_is_its_end(leg, 'e.tf = p.tf')}" if leg.shape.has_timeframes else found


def _latest_averages(leg: Leg) -> str:
    """The last value of each series."""
    columns = _selected(names_of(leg), {**unpacked(leg), "id": "d.id"}, "p")
    is_its_end = _is_its_end(leg, "e.tf = s.tf AND s.period = ANY (e.periods)")
    return f"""
        SELECT {columns} FROM {_rows_of_ends(leg)} JOIN {leg.places} s ON s.shelf = p.shelf
        WHERE {is_defined(leg)} AND {is_its_end}"""


def with_bars_columns(leg: Leg) -> tuple[list[str], list[str]]:
    """The columns of averages with bars: those of the bar, the keys of both first, and those of the averages."""
    first = ["id", "timestamp", "tf", "period"]
    bar = [column.name for column in shape_of(leg.follows.table).columns]
    bars = [*first[:3], *(name for name in bar if name not in {*first, "ingested_at"})]
    return bars, [name for name in names_of(leg) if name not in {*bars, "ts", "ingested_at"}]


def _with_bars(leg: Leg) -> str:
    bars, averages = with_bars_columns(leg)
    of_average = unpacked(leg)
    is_same = "AND b.tf = s.tf" if shape_of(leg.follows.table).has_timeframes else ""
    own = {name: of_average[name] for name in ["tf", *averages]}
    names = [*bars[:3], "period", *bars[3:], *(name for name in averages if name != "period")]
    return f"""
        SELECT {_selected(names, own, "b")} FROM {leg.table} p JOIN {leg.places} s ON s.shelf = p.shelf
        JOIN {leg.follows.table} b ON b.id = p.id AND b."timestamp" = p.ts {is_same} WHERE {is_defined(leg)}"""


def _reached(leg: Leg) -> str:
    """How far each asset has come in a table, in the enabled series that is furthest behind."""
    is_enabled = "s.tf IN (SELECT tf FROM dim_timeframe WHERE is_enabled)"
    if leg.shape.has_periods:
        is_enabled += " AND s.periods && ARRAY(SELECT period FROM dim_period WHERE is_enabled)"
    return f"""
        SELECT s.id, '{leg.target}' AS table_name, min(s.seen_ts) AS seen, min(s.dirty_from) AS dirty_from,
               max(s.updated_at) AS updated_at FROM {leg.state} s WHERE {is_enabled} GROUP BY s.id"""


def _freshness(series: Sequence[Leg]) -> str:
    """Refused rows of the source have been seen; a table that has the last daily bar has seen what that has seen."""
    names = [DAILY, *(leg.target for leg in series)]
    tables = ", ".join(f"('{name}')" for name in names)
    reached = " UNION ALL ".join(map(_reached, series))
    day = "(({0}) AT TIME ZONE (SELECT value FROM {1} WHERE name = 'tz'))::date"
    source_day, own_day = day.format("f.source_ts", SETTINGS), day.format("f.last_ts", SETTINGS)
    return f"""
        WITH daily AS (
            SELECT d.id, d.last_src_ts AS bar, d.last_run_ts AS updated_at, greatest(d.last_src_ts, (
                SELECT max(r."timestamp") FROM {REJECTS} r
                WHERE r.id = d.id AND r."timestamp" <= now() + interval '{FUTURE_DAYS} days')) AS seen
            FROM {DAILY_STATE} d),
        source AS (SELECT * FROM {CALL}),
        assets AS (SELECT id FROM daily UNION SELECT id FROM source WHERE last IS NOT NULL),
        reached AS (
            SELECT id, '{DAILY}' AS table_name, bar AS seen, NULL::timestamptz AS dirty_from, updated_at FROM daily
            UNION ALL {reached}),
        found AS (
            SELECT a.id, t.table_name, s.last AS source_ts, r.dirty_from, r.updated_at,
                   CASE WHEN d.bar IS NULL OR r.seen >= d.bar THEN d.seen ELSE r.seen END AS last_ts
            FROM assets a CROSS JOIN (VALUES {tables}) AS t(table_name) LEFT JOIN daily d ON d.id = a.id
            LEFT JOIN source s ON s.id = a.id
            LEFT JOIN reached r ON r.id = a.id AND r.table_name = t.table_name)
        SELECT f.id, f.table_name, f.source_ts, f.last_ts, f.dirty_from, f.updated_at,
               CASE WHEN f.source_ts < f.last_ts THEN 0 ELSE {source_day} - {own_day} END AS days_behind
        FROM found f"""


def _declared() -> dict[str, str]:
    views: dict[str, str] = {}
    series = [leg for _, leg in legs() if leg.shape.has_timeframes]
    for _, leg in legs():
        if leg.averages:
            views[latest_name(leg)] = _latest_averages(leg)
            views[with_bars_name(leg)] = _with_bars(leg)
            continue
        views[latest_name(leg)] = _latest_bars(leg)
        if leg.shape.has_timeframes:
            views[closed_name(leg)] = _closed(leg)
    return {**views, FRESHNESS: _freshness(series)}


READER_VIEWS = _declared()
"""The definition of each view by its name."""
