"""The state tables: how far every series has come, what is due, and which rows below a change are dirty.

A series is one (timeframe, period) pair; bars have period 0. An EMA state row stands for all periods of its timeframe
that have come equally far, so that a filtered run can leave the others where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import BUILDERS, DAILY, SOURCE, Leg
from refresh.core.series import NO_PERIOD, Series
from refresh.core.span import Action, Cause, Due
from refresh.store.tables import LEDGER, METADATA, OUTCOMES


def followed(leg: Leg) -> str:
    """The input whose watermark a leg follows: the last one named."""
    return leg.inputs[-1]


def dependants(table: str) -> list[Leg]:
    """The legs that follow a table."""
    return [leg for builder in BUILDERS for leg in builder.legs if followed(leg) == table]


def has_periods(leg: Leg) -> bool:
    """Whether a leg's state is kept per period: EMAs are, bars are not."""
    return leg.formula is not None


def time_column(leg: Leg) -> str:
    """The column that holds a row's daily timestamp."""
    return "ts" if has_periods(leg) else '"timestamp"'


def _input_watermarks(leg: Leg) -> str:
    """Per asset (and timeframe) how far the input reaches; an input that is dirty itself cannot be followed."""
    table = followed(leg)
    if table == DAILY:
        return f"SELECT id, NULL::text AS tf, last_src_ts AS through FROM {DAILY}_state"
    return f"SELECT id, tf, seen_ts AS through FROM {table}_state WHERE dirty_from IS NULL"


def _own_watermarks(leg: Leg) -> str:
    periods = (
        "CROSS JOIN unnest(s.periods) AS period"
        if has_periods(leg)
        else f"CROSS JOIN (VALUES ({NO_PERIOD})) AS p(period)"
    )
    return f"SELECT s.id, s.tf, period, s.seen_ts, s.dirty_from FROM {leg.state} s {periods}"


def _at(time: str) -> str:
    """A watermark that can be compared: an asset without any bar stands before every other."""
    return f"coalesce({time}, '-infinity')"


def _all_settled(connection: Connection, leg: Leg, parameters: Mapping[str, Any]) -> bool:
    """Whether every wanted series of every asset stands where its input does, told without unfolding the periods.

    By a difference of sets, which is hashed or sorted: a join of tables without statistics may be a loop in a loop.
    """
    query = text(f"""
        WITH wanted AS (
            SELECT tf COLLATE "C" AS tf, array_agg(period) AS periods
            FROM unnest(CAST(:tfs AS text[]), CAST(:periods AS int[])) AS w(tf, period) GROUP BY 1
        ),
        needed AS (
            SELECT i.id, w.tf, i.through, cardinality(w.periods)::bigint AS periods
            FROM ({_input_watermarks(leg)}) AS i JOIN wanted w ON i.tf IS NULL OR i.tf = w.tf
            WHERE :everything OR i.id = ANY(:ids)
        ),
        settled AS (
            SELECT s.id, s.tf, s.seen_ts, sum(cardinality(s.periods)) AS periods
            FROM {leg.state} s JOIN wanted w USING (tf)
            WHERE s.dirty_from IS NULL AND s.periods <@ w.periods GROUP BY s.id, s.tf, s.seen_ts
        )
        SELECT NOT EXISTS (SELECT * FROM needed EXCEPT SELECT * FROM settled) AND NOT EXISTS ({_contradicting(leg)})
    """)
    return bool(connection.execute(query, parameters).scalar_one())


def series_due(
    connection: Connection, leg: Leg, series: Sequence[Series], ids: Sequence[int] | None, *, rebuild: bool
) -> list[Due]:
    """What the series of a leg have to take in from its inputs, per asset and starting point."""
    if not series:
        return []
    query = text(f"""
        WITH wanted AS (
            SELECT * FROM unnest(CAST(:tfs AS text[]), CAST(:periods AS int[])) WITH ORDINALITY AS w(tf, period, n)
        ),
        input AS ({_input_watermarks(leg)}),
        own AS ({_own_watermarks(leg)}),
        contradicting AS ({_contradicting(leg)}),
        decided AS (
            SELECT i.id, w.n, i.through, CASE
                WHEN :rebuild THEN 'ASKED' WHEN o.id IS NULL THEN 'NEW'
                WHEN c.id IS NOT NULL OR (o.dirty_from IS NULL AND {_at("o.seen_ts")} > {_at("i.through")})
                THEN 'CONTRADICTION'
                WHEN o.dirty_from IS NOT NULL THEN 'REVISE' WHEN {_at("o.seen_ts")} < {_at("i.through")} THEN 'APPEND'
                END AS decision, o.seen_ts, o.dirty_from
            FROM input i JOIN wanted w ON i.tf IS NULL OR i.tf = w.tf
            LEFT JOIN own o ON o.id = i.id AND o.tf = w.tf AND o.period = w.period
            LEFT JOIN contradicting c ON c.id = i.id
            WHERE :everything OR i.id = ANY(:ids)
        ),
        due AS (
            SELECT id, decision, through, CASE decision
                WHEN 'REVISE' THEN dirty_from WHEN 'APPEND' THEN seen_ts + interval '1 microsecond' END AS since,
                array_agg(n::int - 1 ORDER BY n) AS series
            FROM decided WHERE decision IS NOT NULL GROUP BY 1, 2, 3, 4
        )
        SELECT id, decision, since, through, series, (
            SELECT count(*)::int FROM {DAILY} d WHERE d.id = due.id AND d."timestamp" <= due.through
               AND (due.since IS NULL OR d."timestamp" >= due.since)) AS days
        FROM due ORDER BY id, since NULLS FIRST, series
    """)
    parameters = {
        "tfs": [one.timeframe.tf for one in series],
        "periods": [one.period for one in series],
        "rebuild": rebuild,
        "everything": ids is None,
        "ids": list(ids or ()),
    }
    if has_periods(leg) and not rebuild and _all_settled(connection, leg, parameters):
        return []
    return [_due(row) for row in connection.execute(query, parameters)]


def _due(row: Any) -> Due:
    cause = Cause[row.decision] if row.decision in Cause.__members__ else None
    action = Action.REBUILD if cause else Action[row.decision]
    return Due(row.id, action, row.since, row.through, row.days, tuple(row.series), cause)


def forget_contradictions(connection: Connection, leg: Leg, ids: Sequence[int] | None) -> None:
    """Forget every series of an asset whose table does not hold what the state says, whatever a run was narrowed to.

    So that the series that are rebuilt now do not hide that the others are missing.
    """
    connection.execute(
        text(f"DELETE FROM {leg.state} WHERE id IN ({_contradicting(leg)}) AND (:everything OR id = ANY(:ids))"),
        {"everything": ids is None, "ids": list(ids or ())},
    )


def _contradicting(leg: Leg) -> str:
    return f"""
        SELECT id FROM (SELECT id, max(last_ts) AS last_ts FROM {leg.state} GROUP BY id) s
        WHERE last_ts IS DISTINCT FROM (SELECT max({time_column(leg)}) FROM {leg.target} t WHERE t.id = s.id)
    """


def pending_inputs(connection: Connection, leg: Leg, tfs: Sequence[str], ids: Sequence[int]) -> list[int]:
    """The assets whose input has rows that are marked dirty and not yet rewritten."""
    if followed(leg) in {SOURCE, DAILY}:
        return []
    query = text(f"""
        SELECT DISTINCT id FROM {followed(leg)}_state WHERE dirty_from IS NOT NULL AND tf = ANY(:tfs) AND id = ANY(:ids)
    """)
    return [row.id for row in connection.execute(query, {"tfs": list(tfs), "ids": list(ids)})]


def built_timeframes(connection: Connection, legs: Sequence[Leg]) -> set[str]:
    """Every timeframe that some table has series of."""
    queries = " UNION ".join(f"SELECT tf FROM {leg.state}" for leg in legs)
    return {row.tf for row in connection.execute(text(queries))} if legs else set()


def built_periods(connection: Connection, legs: Sequence[Leg]) -> set[int]:
    """Every period that some table has series of."""
    queries = " UNION ".join(f"SELECT unnest(periods) AS period FROM {leg.state}" for leg in legs if has_periods(leg))
    return {row.period for row in connection.execute(text(queries))} if queries else set()


def save_daily(connection: Connection, ids: Sequence[int], counts: dict[str, list[int]], now: datetime) -> None:
    """Advance the daily state of some assets to what the table now holds. ``counts``: per column, one per asset."""
    names = list(counts)
    updates = ", ".join(
        f"{name} = excluded.{name}" for name in ("last_src_ts", "daily_min_seen", "last_run_ts", *names)
    )
    arrays = ", ".join(f"CAST(:{name} AS bigint[])" for name in names)
    connection.execute(
        text(f"""
            INSERT INTO {DAILY}_state (id, last_src_ts, daily_min_seen, last_run_ts, {", ".join(names)})
            SELECT u.id, (SELECT max("timestamp") FROM {DAILY} d WHERE d.id = u.id),
                   (SELECT min("timestamp") FROM {DAILY} d WHERE d.id = u.id), :now,
                   {", ".join(f"u.{name}" for name in names)}
            FROM unnest(CAST(:ids AS int[]), {arrays}) AS u(id, {", ".join(names)})
            ON CONFLICT (id) DO UPDATE SET {updates}
        """),
        {"ids": list(ids), "now": now, **counts},
    )


@dataclass(frozen=True, slots=True)
class Advance:
    """How far one timeframe of one asset has come: the bars its series count, and the sum of their closes."""

    id: int
    tf: str
    through: datetime | None
    bars: int
    close_sum: float


def save_bars(connection: Connection, leg: Leg, advances: Sequence[Advance]) -> None:
    """Advance the state of bars; ``last_ts`` is set where the series has rows."""
    connection.execute(
        text(f"""
            INSERT INTO {leg.state} (id, tf, seen_ts, last_ts)
            SELECT id, tf, through, CASE WHEN bars > 0 THEN through END
            FROM unnest(CAST(:ids AS int[]), CAST(:tfs AS text[]), CAST(:throughs AS timestamptz[]),
                        CAST(:bars AS bigint[])) AS u(id, tf, through, bars)
            ON CONFLICT (id, tf) DO UPDATE SET seen_ts = excluded.seen_ts, last_ts = excluded.last_ts,
                dirty_from = NULL, updated_at = now()
        """),
        _columns(advances),
    )


def save_emas(
    connection: Connection, leg: Leg, advances: Sequence[Advance], selected: Iterable[tuple[str, int, int]]
) -> None:
    """Advance the state of EMA series, and regroup periods that now stand at the same place.

    ``selected``: (tf, period, how many bars the series needs before its first row).
    """
    tfs, periods, needed = zip(*selected, strict=True)
    connection.execute(
        text(f"""
            WITH done AS (
                SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:tfs AS text[]), CAST(:throughs AS timestamptz[]),
                    CAST(:bars AS bigint[]), CAST(:sums AS float8[])) AS u(id, tf, through, bars, close_sum)
            ),
            selected AS (
                SELECT * FROM unnest(CAST(:s_tfs AS text[]), CAST(:s_periods AS int[]), CAST(:s_needed AS bigint[]))
                    AS u(tf, period, needed)
            ),
            gone AS (
                DELETE FROM {leg.state} s USING done d WHERE s.id = d.id AND s.tf = d.tf RETURNING s.*
            ),
            series AS (
                SELECT g.id, g.tf, period, g.seen_ts, g.last_ts, g.dirty_from, g.close_sum
                FROM gone g CROSS JOIN unnest(g.periods) AS period
                WHERE (g.tf, period) NOT IN (SELECT tf, period FROM selected)
                UNION ALL
                SELECT d.id, d.tf, s.period, d.through, CASE WHEN d.bars >= s.needed THEN d.through END, NULL,
                       d.close_sum
                FROM done d JOIN selected s ON s.tf = d.tf
            )
            INSERT INTO {leg.state} (id, tf, periods, seen_ts, last_ts, dirty_from, close_sum)
            SELECT id, tf, array_agg(period ORDER BY period), seen_ts, last_ts, dirty_from, close_sum
            FROM series GROUP BY id, tf, seen_ts, last_ts, dirty_from, close_sum
        """),
        {
            **_columns(advances),
            "sums": [advance.close_sum for advance in advances],
            "s_tfs": list(tfs),
            "s_periods": list(periods),
            "s_needed": list(needed),
        },
    )


def _columns(advances: Sequence[Advance]) -> dict[str, Any]:
    return {
        "ids": [advance.id for advance in advances],
        "tfs": [advance.tf for advance in advances],
        "throughs": [advance.through for advance in advances],
        "bars": [advance.bars for advance in advances],
    }


def save_restatements(connection: Connection, dues: Sequence[Due], run_id: str) -> None:
    """One line in the ledger per asset whose known days were changed, deleted, or added to before the last one."""
    rows = [(due.revision, due.revision.restatement) for due in dues if due.revision and due.revision.restatement]
    if rows:
        connection.execute(
            METADATA.tables[LEDGER].insert(),
            [
                {
                    "id": revision.id,
                    "first_day": restatement.first,
                    "last_day": restatement.last,
                    "rows_changed": revision.rows,
                    "old_close": restatement.old_close,
                    "new_close": restatement.new_close,
                    "reason": revision.words,
                    "run_id": run_id,
                }
                for revision, restatement in rows
            ],
        )


def prune(connection: Connection, ids: Sequence[int]) -> int:
    """Remove assets from every table but the ledger and the history of runs. Returns how many rows went."""
    kept = {LEDGER, OUTCOMES}
    tables = [table for name, table in METADATA.tables.items() if "id" in table.columns and name not in kept]
    return sum(connection.execute(table.delete().where(table.columns["id"].in_(ids))).rowcount for table in tables)


def mark_dirty(connection: Connection, table: str, marks: Sequence[tuple[int, str | None, datetime]]) -> None:
    """Mark what follows a table dirty from the first changed row on, per asset and timeframe (``None``: every one).

    Series that have not come so far have nothing to rewrite and are left as they are.
    """
    if not marks:
        return
    ids, tfs, times = zip(*marks, strict=True)
    for leg in dependants(table):
        connection.execute(
            text(f"""
                UPDATE {leg.state} s SET dirty_from = least(s.dirty_from, m.ts)
                FROM (SELECT id, tf, min(ts) AS ts
                      FROM unnest(CAST(:ids AS int[]), CAST(:tfs AS text[]), CAST(:times AS timestamptz[]))
                           AS u(id, tf, ts) GROUP BY id, tf) m
                WHERE s.id = m.id AND (m.tf IS NULL OR m.tf = s.tf) AND s.seen_ts >= m.ts
            """),
            {"ids": list(ids), "tfs": list(tfs), "times": list(times)},
        )
