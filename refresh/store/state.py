"""The state tables: how far every series has come, as builders write it.

A series is one (timeframe, period) pair; bars have period 0. An EMA state row covers all periods of its timeframe that
have come equally far, so that a filtered run can leave the others as they are. What is behind its input is found in
``unsettled``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg, legs
from refresh.store.statements import array_of, columns_of, lists_of, rows_of
from refresh.store.tables import DAILY_STATE

_DAILY_VERSION = next(leg.version for _, leg in legs() if leg.target == DAILY)


def save_daily(
    connection: Connection,
    ids: Sequence[int],
    counts: Mapping[str, list[int]],
    now: datetime,
    folded: Sequence[bool] | None = None,
) -> None:
    """Advance the daily state of some assets to what the table now holds. ``counts``: by column, one per asset.

    ``folded``: whether the rows of each asset were folded into days; ``None``: of no asset.
    """
    names = list(counts)
    set_columns = ["version", "last_src_ts", "daily_min_seen", "last_run_ts", "is_folded", *names]
    updates = ", ".join(f"{name} = excluded.{name}" for name in set_columns)
    is_folded = [False] * len(ids) if folded is None else folded
    connection.execute(
        text(f"""
            INSERT INTO {DAILY_STATE} (id, {", ".join(set_columns)})
            SELECT u.id, :version, (SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id),
                   (SELECT min("timestamp") FROM {DAILY} d WHERE d.id = u.id), :now, is_folded, {", ".join(names)}
            FROM {rows_of("u", id="int", is_folded="bool", **dict.fromkeys(names, "bigint"))}
            ON CONFLICT (id) DO UPDATE SET {updates}
        """),
        {"now": now, "version": _DAILY_VERSION, **columns_of("u", id=ids, is_folded=is_folded, **counts)},
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
    throughs = _throughs(advances)
    times = columns_of("u", through=[throughs[advance.id] for advance in advances])
    return lists_of("u", advances, "id", "tf", "bars", "close_sum") | times


def _throughs(advances: Sequence[Advance]) -> dict[int, str | None]:
    """How far each asset has come, as text: every timeframe of it has come equally far."""
    times = {advance.id: advance.through for advance in advances}
    return {id: str(time) if time else None for id, time in times.items()}


def save_bars(connection: Connection, leg: Leg, advances: Sequence[Advance]) -> None:
    """Advance the state of bars; ``last_ts`` is set for series that have rows.

    Rows that exist are updated where they are. Only if some are missing, the rest is inserted.
    """
    values = {**_advances(advances), "version": leg.version}
    advanced = connection.execute(text(_ADVANCE_BARS.format(state=leg.state)), values).rowcount
    if advanced < len(advances):
        connection.execute(text(_ADD_BARS.format(state=leg.state)), values)


_BARS_NOW = f"SELECT id, tf, through, CASE WHEN bars > 0 THEN through END AS last FROM {_ADVANCES}"
_ADVANCE_BARS = f"""
    UPDATE {{state}} s SET seen_ts = d.through, last_ts = d.last, dirty_from = NULL, updated_at = now(),
        version = :version
    FROM ({_BARS_NOW}) AS d WHERE s.id = d.id AND s.tf = d.tf
"""
_ADD_BARS = f"""
    INSERT INTO {{state}} (id, tf, seen_ts, last_ts, version) SELECT id, tf, through, last, :version
    FROM ({_BARS_NOW}) AS d ON CONFLICT (id, tf) DO NOTHING
"""


def save_emas(
    connection: Connection, leg: Leg, advances: Sequence[Advance], selected: Iterable[tuple[str, int, int]]
) -> None:
    """Advance the state of EMA series, and regroup periods that are now equally far.

    ``selected``: (tf, period, number of bars that the series needs before its first row). Mostly the periods of a row
    stay together, and it is updated where it is. Only rows whose periods part or meet are replaced.
    """
    series = list(selected)
    rows = _rows_after(advances, series)
    if not rows:
        return
    ids, tfs, periods, throughs, are_defined, close_sums = zip(*rows, strict=True)
    after = columns_of(
        "g", id=ids, tf=tfs, periods=periods, through=throughs, is_defined=are_defined, close_sum=close_sums
    )
    values = {**after, "version": leg.version, "ids": array_of(set(ids)), "tfs": array_of(set(tfs))}
    numbers = connection.execute(text(_ADVANCE.format(state=leg.state)), values).one()
    if numbers.advanced == numbers.present == len(rows):
        return
    parted = {(row.id, row.tf) for row in connection.execute(text(_PARTED.format(state=leg.state)), values)}
    _regroup(connection, leg, [advance for advance in advances if (advance.id, advance.tf) in parted], series)


def _rows_after(
    advances: Sequence[Advance], selected: Sequence[tuple[str, int, int]]
) -> list[tuple[int, str, str, str | None, bool, float]]:
    """The rows of the state that the advances lead to: id, tf, periods, through, whether they have rows, close_sum.

    Periods that have rows share one row of the state, and those that wait for more bars another one.
    """
    members: dict[str, list[tuple[int, int]]] = {}
    for tf, period, needed in selected:
        members.setdefault(tf, []).append((needed, period))

    @cache
    def groups(tf: str, bars: int) -> list[tuple[str, bool]]:
        of_tf = members.get(tf, ())
        defined = sorted(period for needed, period in of_tf if needed <= bars)
        waiting = sorted(period for needed, period in of_tf if needed > bars)
        return [(array_of(part), part is defined) for part in (defined, waiting) if part]

    throughs = _throughs(advances)
    rows = []
    for advance in advances:
        for periods, is_defined in groups(advance.tf, advance.bars):
            row = advance.id, advance.tf, periods, throughs[advance.id], is_defined, advance.close_sum
            rows.append(row)
    return rows


_AFTER = rows_of("g", id="int", tf="text", periods="text", through="timestamptz", is_defined="bool", close_sum="float8")
_GROUPS = f"""
    SELECT id, tf, CAST(periods AS int[]) AS periods, through, CASE WHEN is_defined THEN through END AS last, close_sum
    FROM {_AFTER}"""
_PRESENT = "{state} s WHERE s.id = ANY(CAST(:ids AS int[])) AND s.tf = ANY(CAST(:tfs AS text[]))"
_ADVANCE = f"""
    WITH advanced AS (
        UPDATE {{state}} s SET seen_ts = g.through, last_ts = g.last, dirty_from = NULL, close_sum = g.close_sum,
            updated_at = now(), version = :version
        FROM ({_GROUPS}) AS g WHERE s.id = g.id AND s.tf = g.tf AND s.periods = g.periods RETURNING 1
    )
    SELECT (SELECT count(*) FROM advanced) AS advanced, (SELECT count(*) FROM {_PRESENT}) AS present
"""
_PARTED = f"""
    SELECT DISTINCT id, tf FROM (
        SELECT id, tf, periods FROM ({_GROUPS}) AS g UNION ALL SELECT s.id, s.tf, s.periods FROM {_PRESENT}
    ) AS rows GROUP BY id, tf, periods HAVING count(*) = 1
"""
"""The timeframes whose rows are not, or not alone, those that the advances lead to."""


def _regroup(
    connection: Connection, leg: Leg, advances: Sequence[Advance], selected: Sequence[tuple[str, int, int]]
) -> None:
    """Replace the rows of some timeframes, so that periods that are equally far share one."""
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
