"""What is not where its input is: the series of a leg, by asset, with the facts that say what has to be done.

What follows from the facts is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import DAILY, Leg
from refresh.core.series import Series
from refresh.store.statements import ALL_OR_SOME, lists_of, rows_of, series_of, some_assets
from refresh.store.tables import ROWS_LOST
from refresh.store.watermarks import comparable, contradicting, input_of_timeframe, input_watermarks


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

    @property
    def is_settled(self) -> bool:
        """Whether the series are where their input is after all."""
        is_right = self.is_built and not self.contradicts and not self.is_outdated
        return is_right and self.dirty_from is None and self.seen_ts == self.through


_WANTED = rows_of("w", tf="text", period="int")


def unsettled(
    connection: Connection, leg: Leg, series: Sequence[Series], ids: Sequence[int] | None, *, everything: bool
) -> list[Unsettled]:
    """The series of a leg that are not where their input is; with ``everything``, all of them.

    Of all assets mostly none has any, which is found in one look; of chosen assets, most have.
    """
    values = {**series_of("w", series), **some_assets(ids), "version": leg.version}
    if ids is None and not everything and _all_settled(connection, leg, values):
        return []
    rows = connection.execute(text(_facts_sql(leg)), values)
    positions = _Positions(series)
    found: list[Unsettled] = []
    for _, of_asset in groupby(rows, attrgetter("id")):
        found += _of_asset(list(of_asset), positions)
    return [facts for facts in found if everything or not facts.is_settled]


def _facts_sql(leg: Leg) -> str:
    """Per asset and facts, the rows of the state that share them, as labels: ``7D{10,14}``, ``7D`` if all periods."""
    label = "w.tf || coalesce(s.periods::text, '')" if leg.shape.has_periods else "w.tf"
    return f"""
        WITH wanted AS (SELECT DISTINCT tf COLLATE "C" AS tf FROM {_WANTED}),
        input AS ({input_watermarks(leg)}),
        contradicting AS ({contradicting(leg, ALL_OR_SOME)})
        SELECT id, through, is_built, contradicts, is_lost, is_outdated, seen_ts, dirty_from,
               string_agg(label, ' ') AS labels
        FROM (
            SELECT i.id, i.through, s.id IS NOT NULL AS is_built, c.id IS NOT NULL AS contradicts,
                   coalesce(s.version = {ROWS_LOST}, false) AS is_lost,
                   coalesce(s.version <> {ROWS_LOST} AND s.version < :version, false) AS is_outdated,
                   s.seen_ts, s.dirty_from, {label} AS label
            FROM (SELECT * FROM input WHERE {ALL_OR_SOME}) AS i JOIN wanted w ON {input_of_timeframe(leg)}
            LEFT JOIN (SELECT * FROM {leg.state} WHERE {ALL_OR_SOME}) AS s ON s.id = i.id AND s.tf = w.tf
            LEFT JOIN contradicting c ON c.id = i.id
        ) AS compared
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY id
    """


def _of_asset(rows: Sequence[Any], positions: _Positions) -> Iterator[Unsettled]:
    """The facts of one asset, those of series that have no state included."""
    labels = tuple(frozenset(row.labels.split(" ")) for row in rows)
    for row, (built, missing) in zip(rows, positions.of(labels), strict=True):
        if built:
            yield Unsettled(
                id=row.id,
                through=row.through,
                is_built=row.is_built,
                contradicts=row.contradicts or row.is_lost,
                is_outdated=row.is_outdated,
                seen_ts=row.seen_ts,
                dirty_from=row.dirty_from,
                series=built,
            )
        if missing:
            yield Unsettled(
                id=row.id,
                through=row.through,
                is_built=False,
                contradicts=row.contradicts,
                seen_ts=None,
                dirty_from=None,
                series=missing,
            )


class _Positions:
    """Which series of a leg the labels of a state mean. Most assets have the same labels, which are read once."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._of_tf: dict[str, dict[int, int]] = {}
        for position, member in enumerate(series):
            self._of_tf.setdefault(member.timeframe.tf, {})[member.period] = position
        self.of = cache(self._read)

    def _read(self, labels: tuple[frozenset[str], ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Per row of one asset, the series that it is about, and those that no row of their timeframe is about."""
        rows = [list(map(self._named, of_row)) for of_row in labels]
        covered = {position for row in rows for _, positions in row for position in positions}
        read = []
        for row in rows:
            built = sorted(position for _, positions in row for position in positions)
            every = {position for tf, _ in row for position in self._of_tf[tf].values()}
            missing = sorted(every - covered)
            covered |= every
            read.append((tuple(built), tuple(missing)))
        return read

    def _named(self, label: str) -> tuple[str, list[int]]:
        """The timeframe of a label, and its series."""
        tf, has_periods, periods = label.partition("{")
        of_period = self._of_tf[tf]
        if not has_periods:
            return tf, list(of_period.values())
        named = map(int, filter(None, periods.removesuffix("}").split(",")))
        return tf, [of_period[period] for period in named if period in of_period]


def _all_settled(connection: Connection, leg: Leg, values: Mapping[str, Any]) -> bool:
    """Whether every wanted series of every asset is where its input is. May miss it where timeframes differ.

    By a difference of sets, which is hashed or sorted: a join of tables without statistics may be a loop in a loop.
    What is needed from and up to must have been seen up to and from, so both are one time.
    """
    number, are_wanted = "count(*)", "true"
    if leg.shape.has_periods:
        number, are_wanted = "sum(cardinality(s.periods))", "s.periods <@ w.periods"
    through, seen = comparable("i.through"), comparable("s.seen_ts")
    query = text(f"""
        WITH wanted AS (SELECT tf COLLATE "C" AS tf, array_agg(period) AS periods FROM {_WANTED} GROUP BY 1),
        needed AS (
            SELECT i.id, min({through}), max({through}), sum(cardinality(w.periods))
            FROM ({input_watermarks(leg)}) AS i JOIN wanted w ON {input_of_timeframe(leg)} GROUP BY i.id
        ),
        settled AS (
            SELECT s.id, max({seen}), min({seen}), {number}
            FROM {leg.state} s JOIN wanted w USING (tf)
            WHERE s.dirty_from IS NULL AND s.version >= :version AND {are_wanted} GROUP BY s.id
        )
        SELECT NOT EXISTS (SELECT * FROM needed EXCEPT SELECT * FROM settled) AND NOT EXISTS ({contradicting(leg)})
    """)
    return bool(connection.execute(query, values).scalar_one())


def count_daily_bars(connection: Connection, stretches: Sequence[Any]) -> list[int]:
    """The number of daily bars of each stretch (``id``, ``since``, ``through``); ``since`` ``None``: from the first."""
    query = text(f"""
        SELECT (SELECT count(*)::int FROM {DAILY} d WHERE d.id = u.id AND d."timestamp" <= u.through
                   AND d."timestamp" >= coalesce(u.since, '-infinity'))
        FROM {rows_of("u", ordinal="n", id="int", since="timestamptz", through="timestamptz")} ORDER BY n
    """)
    values = lists_of("u", stretches, "id", "since", "through")
    return list(connection.execute(query, values).scalars())


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
    groups = [f"SELECT DISTINCT periods FROM {state}" for state in states]
    return _distinct(connection, [f"SELECT unnest(periods) AS period FROM ({group}) AS s" for group in groups])


def _distinct(connection: Connection, queries: Sequence[str]) -> set[Any]:
    if not queries:
        return set()
    return set(connection.execute(text(" UNION ".join(queries))).scalars())
