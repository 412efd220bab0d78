"""The rows of one price file in a temporary table, and what they are to each other: one line per asset and day stays.

An asset with several rows on many days is finer than a day: its rows keep their times. Refuses to know files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Column, Connection, Date, DateTime, MetaData, Row, Table, Text, text
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from refresh.catalog import SOURCE
from refresh.core.rows import Array, Rows, count, starts
from refresh.store import bulk
from refresh.store.granularity import FINE_DAYS, FINE_SHARE, clock
from refresh.store.source import TABLE
from refresh.store.statements import array_of, day_of

SHOWN = 20
"""Of lines of one kind so many are told by their number."""
_NOT_OF_THE_SOURCE = ("line", "day", "stamped")
ORIGIN = ("source_file", "load_ts")
PRICES = ("open", "high", "low", "close")


def _uncollated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type without its own collation, which could contradict that of the user's column."""
    return Text() if isinstance(kind, Text) else kind


STAGE = Table(
    "prices_stage",
    MetaData(),
    Column("line", BigInteger, nullable=False),
    Column("day", Date, nullable=False),
    Column("stamped", DateTime(timezone=True), nullable=False),
    *(Column(column.name, _uncollated(column.type)) for column in TABLE.columns if column.name not in ORIGIN),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
OF_THE_SOURCE = tuple(column.name for column in STAGE.columns if column.name not in _NOT_OF_THE_SOURCE)
"""The columns of the stage that the price table may have."""


def has_prices(alias: str) -> str:
    """SQL: whether a row has all four prices."""
    return "(" + " AND ".join(f'{alias}."{name}" IS NOT NULL' for name in PRICES) + ")"


_NUMBERS = ", ".join(f'"{name}"' for name in (*PRICES, "volume", "marketcap", "circulatingsupply"))
SLOT = 'CASE WHEN {0}.id = ANY(CAST(:fine AS int[])) THEN {0}."timestamp" ELSE {0}.day::timestamptz END'
"""What one asset has once: a day, or a time where its rows are finer."""

_FINE = f"""
    SELECT id FROM (SELECT id, day, count(DISTINCT {clock("local")}) AS number
                    FROM (SELECT id, day, moment AT TIME ZONE :tz AS local FROM ({{rows}}) AS r) AS r
                    GROUP BY id, day) AS d
    GROUP BY id HAVING count(*) FILTER (WHERE number > 1) >= {FINE_DAYS}
       AND count(*) FILTER (WHERE number > 1) * {FINE_SHARE} > count(*)
"""

_JUDGED = f"""
    WITH slots AS (
        SELECT line, id, day, has_prices, hash_record_extended(ROW({_NUMBERS}), 0) AS digest, slot,
               count(*) OVER same AS number, bool_or(has_prices) OVER same AS has_any
        FROM (SELECT s.*, {SLOT.format("s")} AS slot, {has_prices("s")} AS has_prices FROM {STAGE.name} s) AS s
        WINDOW same AS (PARTITION BY id, slot)
    ),
    rivals AS (
        SELECT id, slot, count(DISTINCT digest) > 1 AS differ, max(line) AS last, min(line) AS first
        FROM slots WHERE number > 1 AND has_prices = has_any GROUP BY id, slot
    ),
    removed AS (
        DELETE FROM {STAGE.name} s USING slots t JOIN rivals r USING (id, slot)
        WHERE s.line = t.line AND t.number > 1 AND (s.line <> r.last OR r.differ)
        RETURNING s.line, s.id, s.day, CASE WHEN t.has_prices <> t.has_any THEN 'empty'
            WHEN r.differ THEN 'differs' ELSE 'repeated' END AS why,
            CASE WHEN s.line = r.last THEN r.first ELSE r.last END AS other
    ),
    numbered AS (
        SELECT *, row_number() OVER (PARTITION BY why ORDER BY line) AS place,
               count(*) OVER (PARTITION BY why) AS total
        FROM removed
    )
    SELECT why, line, day, other, total, (SELECT count(DISTINCT (id, day)) FROM removed WHERE why = 'differs') AS days
    FROM numbered WHERE place <= {SHOWN} ORDER BY why, line
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Lines that are not loaded because of another line of the same asset and day: all, and the first of them.

    ``lines``: pairs of a line and the one that it was compared with, with their day.
    """

    total: int = 0
    lines: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a file's lines are to each other.

    ``rows``: how many are left. ``repeated``: equal to the line that is loaded. ``empty``: without prices, beside one
    that has them. ``differing``: with other prices, so that neither is loaded; on ``differing_days`` of ``days`` days.
    ``fine``: the assets whose rows are finer than a day.
    """

    rows: int
    repeated: Removed = field(default_factory=Removed)
    empty: Removed = field(default_factory=Removed)
    differing: Removed = field(default_factory=Removed)
    differing_days: int = 0
    days: int = 0
    fine: tuple[int, ...] = ()

    @property
    def mostly_differ(self) -> bool:
        """Whether so many days have several lines with other prices that the file cannot be of one row a day."""
        return self.differing_days >= FINE_DAYS and self.differing_days * FINE_SHARE > self.days


class _Order:
    """Watches whether rows come in such an order that no asset can have two of one day."""

    def __init__(self) -> None:
        self.may_repeat = False
        self._last: tuple[int, int] | None = None
        self._seen: set[int] = set()
        self._direction = 0

    def add(self, rows: Rows) -> None:
        """Take in a block: of each asset all rows are together, and its days only grow, or only fall."""
        if self.may_repeat or not count(rows):
            return
        ids, days = rows["id"], rows["day"].astype(np.int64)
        if self._last is not None:
            ids, days = np.append(self._last[0], ids), np.append(self._last[1], days)
        begins = starts(ids)
        begins[0] = begins[0] and self._last is None
        fresh = ids[begins].tolist()
        self.may_repeat = not self._grows(np.diff(days)[~begins[1:]]) or bool(self._seen.intersection(fresh))
        self.may_repeat |= len(set(fresh)) < len(fresh)
        self._seen.update(fresh)
        self._last = int(ids[-1]), int(days[-1])

    def _grows(self, steps: Array) -> bool:
        if not len(steps):
            return True
        direction = int(np.sign(steps[0]))
        is_same = direction != 0 and self._direction in {0, direction} and bool((np.sign(steps) == direction).all())
        self._direction = direction
        return is_same


def stage(connection: Connection, blocks: Iterable[Rows], tz: str) -> Staged:
    """Write a file's rows, as ``load.prices`` makes them, to the stage and leave there what is to be loaded."""
    connection.execute(CreateTable(STAGE))
    order = _Order()
    rows = 0
    for block in blocks:
        order.add(block)
        rows += bulk.write(connection, STAGE, block)
    staged = _judged(connection, rows, tz) if order.may_repeat else Staged(rows=rows)
    connection.execute(text(f"ANALYZE {STAGE.name}"))
    return staged


def _judged(connection: Connection, rows: int, tz: str) -> Staged:
    """Remove what is repeated, empty beside others, or contradicted; and let rows that are finer keep their times."""
    fine = _fine_in_stage(connection, tz)
    if fine:
        _restore_times(connection, fine)
    days = connection.execute(text(f"SELECT count(DISTINCT (id, day)) FROM {STAGE.name}")).scalar_one()
    removed = connection.execute(text(_JUDGED), {"fine": array_of(fine)}).all()
    repeated, empty, differing = (_removed(removed, why) for why in ("repeated", "empty", "differs"))
    return Staged(
        rows=rows - repeated.total - empty.total - differing.total,
        repeated=repeated,
        empty=empty,
        differing=differing,
        differing_days=removed[0].days if removed else 0,
        days=days,
        fine=tuple(fine),
    )


def _removed(rows: Sequence[Row[Any]], why: str) -> Removed:
    for_that = [row for row in rows if row.why == why]
    lines = tuple((row.line, row.other, str(row.day)) for row in for_that)
    return Removed(total=for_that[0].total if for_that else 0, lines=lines)


def _fine_in_stage(connection: Connection, tz: str) -> list[int]:
    """The assets of the stage whose rows are finer than a day, by the file itself or by what is stored already."""
    rows = f"SELECT id, day, stamped AS moment FROM {STAGE.name}"
    fine = list(connection.execute(text(_FINE.format(rows=rows)), {"tz": tz}).scalars())
    several = text(f"SELECT DISTINCT id FROM (SELECT id FROM {STAGE.name} GROUP BY id, day HAVING count(*) > 1) AS r")
    others = [id for id in connection.execute(several).scalars() if id not in fine]
    return sorted([*fine, *fine_in_source(connection, others, tz)])


def fine_in_source(connection: Connection, ids: Sequence[int], tz: str) -> list[int]:
    """Those of some assets whose stored rows are finer than a day."""
    if not ids:
        return []
    moment = 'p."timestamp"'
    of_ids = "p.id = ANY(CAST(:ids AS int[]))"
    rows = f"SELECT p.id, {day_of(moment)} AS day, {moment} AS moment FROM {SOURCE} p WHERE {of_ids}"
    query = text(_FINE.format(rows=rows))
    return list(connection.execute(query, {"ids": array_of(ids), "tz": tz}).scalars())


def _restore_times(connection: Connection, ids: Sequence[int]) -> None:
    """Give rows that are finer than a day the times that are written: midnight is a time among others there."""
    implied = 'timeclose = CASE WHEN timeclose = "timestamp" THEN stamped ELSE timeclose END'
    query = text(f'UPDATE {STAGE.name} SET "timestamp" = stamped, {implied} WHERE id = ANY(CAST(:ids AS int[]))')
    connection.execute(query, {"ids": array_of(ids)})
