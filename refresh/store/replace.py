"""Makes a table hold what was computed: the only way in which builders write rows.

A rebuild deletes the series and writes them again. Everything else compares with what is stored and touches only rows
that differ. So an append, a revision and a repeated run are the same act, and the marks on what follows are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, text

from refresh.catalog import Leg, dependants
from refresh.core.compare import difference, earliest
from refresh.core.rows import TIME, Array, Rows, count, take, tally
from refresh.shapes import Shape
from refresh.store import bulk, wire
from refresh.store.marks import BEGINNING, Mark, mark_dirty
from refresh.store.partitions import tables_cut
from refresh.store.statements import array_of, columns_of, rows_of
from refresh.store.tables import METADATA

_ADDRESS = {"part": bulk.BIGINT, "address": bulk.ADDRESS}
"""The position of a row: in a partitioned table, an address alone is not enough."""
_DELETED_AT_ONCE = 50_000
"""The number of addresses that a statement names; a page has its rows deleted in one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A table with its key, the time of its rows, and the columns that are not compared.

    ``days``: dates that are read together with the stored columns: by name, SQL on a row t that may bind ``:tz``.
    """

    table: str
    key: tuple[str, ...]
    time: str
    not_compared: frozenset[str] = frozenset({"ingested_at"})
    days: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, leg: Leg) -> Target:
        """The table that a leg writes."""
        return cls(table=leg.target, key=leg.shape.key, time=leg.shape.time)

    @property
    def definition(self) -> Table:
        """The table as it is declared."""
        return METADATA.tables[self.table]

    @property
    def time_sql(self) -> str:
        """SQL for the time of a row t; NULL comes before all others."""
        column = f't."{self.time}"'
        return f"coalesce({column}, '-infinity')" if self.definition.columns[self.time].nullable else column


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """The rows that a batch is responsible for: per asset all from ``begins`` on, of some timeframes or of a shelf."""

    ids: Sequence[int]
    begins: Sequence[datetime | None]
    tfs: tuple[str, ...] = ()
    shelf: int | None = None
    tz: str = "UTC"

    @property
    def values(self) -> dict[str, Any]:
        """The values that ``_rows_of_extent`` binds."""
        assets = columns_of("s", id=self.ids, begin=self.begins)
        return {**assets, "tfs": sorted(set(self.tfs)), "shelf": self.shelf, "tz": self.tz}

    @property
    def condition(self) -> str:
        """Which rows t of an asset they are."""
        if self.shelf is not None:
            return "t.shelf = :shelf"
        return "t.tf = ANY(:tfs)" if self.tfs else "true"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The stored rows of an extent, and the address of each."""

    rows: Rows
    addresses: Rows

    def only(self, mask: Array) -> Stored:
        """Some of them."""
        return Stored(rows=take(self.rows, mask), addresses=take(self.addresses, mask))


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What was done: rows written per asset, the number deleted, and the rows deleted and written by a comparison.

    ``stale`` and ``fresh`` are ``None`` if everything was rewritten without comparing.
    """

    written: dict[int, int]
    deleted: int
    stale: Rows | None = None
    fresh: Rows | None = None


def replace(connection: Connection, target: Target, extent: Extent, rows: Rows, *, rewrite: bool) -> Changes:
    """Make the table hold exactly ``rows`` in ``extent``. ``rewrite`` deletes without comparing."""
    if rewrite:
        deleted = delete_extent(connection, target, extent)
        bulk.write(connection, target.definition, _columns(target, rows))
        return Changes(written=tally(rows["id"]), deleted=deleted)
    return write_difference(connection, target, read_stored(connection, target, extent, rows), rows)


def write_difference(connection: Connection, target: Target, stored: Stored, rows: Rows) -> Changes:
    """Delete the stored rows that are not among ``rows``, and write those that are not stored."""
    values = [name for name in stored.rows if name not in {*target.key, *target.days}]
    changed = difference(stored.rows, rows, target.key, values)
    stale, fresh = take(stored.rows, changed.stale), take(rows, changed.fresh)
    delete_rows(connection, target, take(stored.addresses, changed.stale))
    bulk.write(connection, target.definition, _columns(target, fresh))
    return Changes(written=tally(fresh["id"]), deleted=count(stale), stale=stale, fresh=fresh)


def mark_dependants(connection: Connection, leg: Leg, extent: Extent, changes: Changes) -> None:
    """Mark what follows a leg's table dirty from the first row on that changed in a column that it reads."""
    for follower in dependants(leg.target):
        if changes.stale is None or changes.fresh is None:
            marks = _marks_everywhere(leg.shape, extent)
        else:
            marks = _marks(leg.shape, follower.follows.columns, changes.stale, changes.fresh)
        mark_dirty(connection, follower, marks)


def _marks(shape: Shape, columns: Sequence[str], stale: Rows, fresh: Rows) -> list[Mark]:
    changed = difference(stale, fresh, shape.key, columns)
    marks = _first_rows(shape, take(stale, changed.stale))
    return marks + _first_rows(shape, take(fresh, changed.fresh))


def _first_rows(shape: Shape, rows: Rows) -> list[Mark]:
    """The first row per asset and, if the table has several timeframes, per timeframe."""
    if not count(rows):
        return []
    groups = [rows["id"], rows["tf"]] if shape.has_timeframes else [rows["id"]]
    ids, *tfs, firsts = earliest(rows[shape.time], *groups)
    labels: list[str | None] = [None] * len(ids)
    if tfs:
        labels = [tf.decode() for tf in tfs[0].tolist()]
    times = firsts.astype(TIME).tolist()
    marks = []
    for id, tf, time in zip(ids.tolist(), labels, times, strict=True):
        mark = Mark(id=id, tf=tf, time=time.replace(tzinfo=UTC))
        marks.append(mark)
    return marks


def _marks_everywhere(shape: Shape, extent: Extent) -> list[Mark]:
    tfs: tuple[str | None, ...] = extent.tfs if shape.has_timeframes else (None,)
    return [Mark(id=id, tf=tf, time=BEGINNING) for id in extent.ids for tf in tfs]


def _columns(target: Target, rows: Rows) -> Rows:
    return {column.name: rows[column.name] for column in target.definition.columns if column.name in rows}


def _rows_of_extent(target: Target, extent: Extent) -> str:
    """A query for the rows t of an extent, with the address of each.

    OFFSET 0 separates the assets, which an index finds, from the series: without statistics PostgreSQL assumes that
    the condition on series is the rare one, and reads the whole table for it.
    """
    days = "".join(f", {sql} AS {name}" for name, sql in target.days.items())
    return f"""
        SELECT t.*{days} FROM {rows_of("s", id="int", begin="timestamptz")}
        CROSS JOIN LATERAL (SELECT t.*, t.tableoid::int8 AS part, t.ctid AS address FROM {target.table} t
                            WHERE t.id = s.id AND {target.time_sql} >= coalesce(s.begin, '-infinity') OFFSET 0) AS t
        WHERE {extent.condition}
    """


def read_stored(connection: Connection, target: Target, extent: Extent, like: Rows) -> Stored:
    """The stored rows of an extent, in the columns that ``like`` has, with the address of each."""
    names = [name for name in _columns(target, like) if name not in target.not_compared]
    query = _rows_of_extent(target, extent)
    texts = [name for name in names if like[name].dtype.kind == "S" and name not in {"tf", "reason"}]
    matrices = {name: wire.matrix_field(like[name]) for name in names if like[name].ndim > 1}
    single = bulk.fields(target.definition, [name for name in names if name not in matrices])
    fields = single | matrices | bulk.text_widths(connection, query, extent.values, texts)
    if extent.tfs:
        fields["tf"] = bulk.text_field(max(map(len, extent.tfs)))
    fields |= dict.fromkeys(target.days, bulk.DATE)
    rows = bulk.read(connection, query, extent.values, fields | _ADDRESS)
    addresses = {"id": rows["id"], **{name: rows.pop(name) for name in _ADDRESS}}
    return Stored(rows=rows, addresses=addresses)


def delete_extent(connection: Connection, target: Target, extent: Extent) -> int:
    """Delete the rows of an extent. Returns their number."""
    query = f"""
        DELETE FROM {target.table} t USING ({_rows_of_extent(target, extent)}) AS s
        WHERE t.ctid = s.address AND t.tableoid = s.part::oid AND t.id = s.id
    """
    return connection.execute(text(query), extent.values).rowcount


def delete_rows(connection: Connection, target: Target, addresses: Rows) -> None:
    """Delete rows by address, part by part of a partitioned table, in which an asset says which part it is."""
    parts = np.unique(addresses["part"]).tolist()
    is_cut = bool(parts) and bool(tables_cut(connection, [target.table]))
    is_there = "t.ctid = ANY(CAST(:places AS tid[])) AND t.tableoid = :part"
    if is_cut:
        is_there += " AND t.id = ANY(CAST(:ids AS int[]))"
    query = text(f"DELETE FROM {target.table} t WHERE {is_there}")
    for part in parts:
        of_part = addresses["part"] == part
        places = wire.places(addresses["address"][of_part])
        ids = array_of(np.unique(addresses["id"][of_part]).tolist())
        for first in range(0, len(places), _DELETED_AT_ONCE):
            some = places[first : first + _DELETED_AT_ONCE]
            connection.execute(query, {"places": _array_of_pairs(some.tolist()), "part": part, "ids": ids})


def _array_of_pairs(pairs: list[tuple[int, int]]) -> str:
    """Pairs as PostgreSQL writes an array of them: what Python prints, which is fast, with other brackets."""
    printed = str(pairs).strip("[]").replace("(", '"(').replace(")", ')"')
    return f"{{{printed}}}"
