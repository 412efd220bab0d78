"""Makes a table hold what was computed: the one way in which any builder writes rows.

A rebuild deletes the series and writes them anew. Everything else compares with what is stored and touches only rows
that differ, so that an append, a revision and a run twice are the same act, and the marks on what follows are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, text
from sqlalchemy.schema import CreateTable

from refresh.core.compare import difference, earliest
from refresh.core.rows import Array, Rows, count, take
from refresh.store import bulk
from refresh.store.database import raw_cursor
from refresh.store.tables import METADATA

_ADDRESS = {"part": bulk.BIGINT, "address": bulk.ADDRESS}
"""Where a row lies: in a table that was parted, an address alone is not enough."""
_STALE = Table(
    "stale_rows",
    MetaData(),
    Column("part", BigInteger, nullable=False),
    Column("address", bulk.Address(), nullable=False),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_SAME_ROW = "t.ctid = s.address AND t.tableoid = s.part::oid"

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""Before every row."""


@dataclass(frozen=True, slots=True)
class Target:
    """A table with its key, the time of its rows, and the columns whose change concerns what follows it."""

    table: str
    key: tuple[str, ...]
    time: str
    followed: tuple[str, ...] = ()
    unseen: frozenset[str] = frozenset({"ingested_at"})

    @property
    def moment(self) -> str:
        """SQL for the time of a row, where NULL stands before all others."""
        nullable = METADATA.tables[self.table].columns[self.time].nullable
        return f"""coalesce(t."{self.time}", '-infinity')""" if nullable else f't."{self.time}"'

    @property
    def marks_timeframes(self) -> bool:
        """Whether what follows the table follows each timeframe by itself."""
        return "tf" in self.key


@dataclass(frozen=True, slots=True)
class Place:
    """The rows that a batch answers for: per asset all from ``begins`` on, of some timeframes or series."""

    ids: list[int]
    begins: list[datetime | None]
    tfs: tuple[str, ...] = ()
    periods: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done: rows written per asset, how many were deleted, and the first change of concern to dependants."""

    written: dict[int, int]
    deleted: int
    marks: list[tuple[int, str | None, datetime]]


def replace(connection: Connection, target: Target, place: Place, rows: Rows, *, rewrite: bool) -> Changes:
    """Make the table hold exactly ``rows`` at ``place``. ``rewrite`` deletes without comparing."""
    if rewrite:
        deleted = _delete_place(connection, target, place)
        bulk.write(connection, METADATA.tables[target.table], _columns(target, rows))
        return Changes(_per_asset(rows["id"]), deleted, _all_marks(target, place))
    stored = _read_place(connection, target, place, rows)
    addresses = {name: stored.pop(name) for name in _ADDRESS}
    values = [name for name in stored if name not in target.key]
    changed = difference(stored, rows, target.key, values)
    stale, fresh = take(stored, changed.stale), take(rows, changed.fresh)
    _delete_rows(connection, target, take(addresses, changed.stale))
    bulk.write(connection, METADATA.tables[target.table], _columns(target, fresh))
    concern = difference(stale, fresh, target.key, target.followed)
    marks = [*_marks(target, take(stale, concern.stale)), *_marks(target, take(fresh, concern.fresh))]
    return Changes(_per_asset(fresh["id"]), count(stale), marks)


def _columns(target: Target, rows: Rows) -> Rows:
    return {name: rows[name] for name in METADATA.tables[target.table].columns.keys() if name in rows}  # noqa: SIM118


def _per_asset(ids: Array) -> dict[int, int]:
    return dict(zip(*(part.tolist() for part in np.unique(ids, return_counts=True)), strict=True))


def _marks(target: Target, rows: Rows) -> list[tuple[int, str | None, datetime]]:
    """The first row of concern per asset and, where the table has timeframes to follow, per timeframe."""
    if not target.followed or not count(rows):
        return []
    groups = (rows["id"], rows["tf"]) if target.marks_timeframes else (rows["id"], np.full(count(rows), b""))
    ids, tfs, times = earliest(rows[target.time], *groups)
    return [
        (id, tf.decode() or None, time.replace(tzinfo=UTC))
        for id, tf, time in zip(ids.tolist(), tfs.tolist(), times.astype("M8[us]").tolist(), strict=True)
    ]


def _all_marks(target: Target, place: Place) -> list[tuple[int, str | None, datetime]]:
    if not target.followed:
        return []
    tfs = place.tfs if target.marks_timeframes else (None,)
    return [(id, tf, BEGINNING) for id in place.ids for tf in tfs]


def _at_place(target: Target, place: Place) -> str:
    """A query for the rows t of a place, with the address of each.

    OFFSET 0 parts the assets, which an index finds, from the series: without statistics PostgreSQL takes the condition
    on series for the rare one, and goes through the whole table for it.
    """
    return f"""
        SELECT t.* FROM unnest(%(ids)s::int[], %(begins)s::timestamptz[]) AS s(id, begin)
        CROSS JOIN LATERAL (SELECT t.*, t.tableoid::int8 AS part, t.ctid AS address FROM {target.table} t
                            WHERE t.id = s.id AND {target.moment} >= coalesce(s.begin, '-infinity') OFFSET 0) AS t
        WHERE {_among(place)}
    """


def _among(place: Place) -> str:
    """SQL for the series of a place: lists that a row is looked up in, where pairs would be compared one by one."""
    if not place.tfs:
        return "true"
    by_tf = "t.tf = ANY(%(tfs)s)"
    if not place.periods:
        return by_tf
    by_both = f"{by_tf} AND t.period = ANY(%(periods)s)"
    every_pair = len(set(place.tfs)) * len(set(place.periods)) == len(place.tfs)
    return by_both if every_pair else f"{by_both} AND t.tf || ':' || t.period = ANY(%(pairs)s)"


def _parameters(place: Place) -> dict[str, Any]:
    pairs = [f"{tf}:{period}" for tf, period in zip(place.tfs, place.periods, strict=False)]
    lists = {"tfs": sorted(set(place.tfs)), "periods": sorted(set(place.periods)), "pairs": pairs}
    return {"ids": place.ids, "begins": place.begins, **lists}


def _read_place(connection: Connection, target: Target, place: Place, rows: Rows) -> Rows:
    """The stored rows of a place, with the address of each."""
    table = METADATA.tables[target.table]
    names = [name for name in _columns(target, rows) if name not in target.unseen]
    query = _at_place(target, place)
    texts = [name for name in names if rows[name].dtype.kind == "S" and name not in {"tf", "reason"}]
    parameters = _parameters(place)
    widths = bulk.text_widths(connection, query, parameters, texts) if texts else {}
    if place.tfs:
        widths["tf"] = bulk.text_field(max(map(len, place.tfs)))
    fields = bulk.fields(table, names) | widths | _ADDRESS
    return bulk.read(connection, query, parameters, fields)


def _delete_place(connection: Connection, target: Target, place: Place) -> int:
    with raw_cursor(connection) as cursor:
        cursor.execute(
            f"DELETE FROM {target.table} t USING ({_at_place(target, place)}) AS s WHERE {_SAME_ROW}",
            _parameters(place),
        )
        return int(cursor.rowcount)


def _delete_rows(connection: Connection, target: Target, addresses: Rows) -> None:
    """Delete rows by address: the addresses go to a temporary table first, however many there are."""
    if not count(addresses):
        return
    connection.execute(CreateTable(_STALE))
    bulk.write(connection, _STALE, addresses)
    connection.execute(text(f"DELETE FROM {target.table} t USING {_STALE.name} s WHERE {_SAME_ROW}"))
    connection.execute(text(f"DROP TABLE {_STALE.name}"))
