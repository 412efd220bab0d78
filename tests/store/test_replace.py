"""A table that is made to hold what was computed: what is written, what is left alone, and what is marked dirty."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import Engine
from statements import ask, execute
from store.replacing import (
    ASSET_1,
    BOTH,
    DAILY,
    PAIRS,
    SNAPSHOTS,
    Effect,
    Marks,
    add_followers,
    put,
    snapshots,
)  # fmt: skip
from store.table_rows import Bar, bars, day, rejects

from refresh.core.rows import DAY, NULL_TEXT, Rows, count
from refresh.store import tables
from refresh.store.bulk import BLOCK_ROWS
from refresh.store.database import transaction
from refresh.store.marks import BEGINNING
from refresh.store.replace import Extent, Target, read_stored, replace

REJECTS = Target(
    table=tables.REJECTS,
    key=("id", "timestamp", "reason", "copy"),
    time="timestamp",
    not_compared=frozenset({"run_id", "rejected_at"}),
)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database in which other tables follow the bars."""
    add_followers(engine)
    return engine


def dirty(asset: int, time: datetime) -> Marks:
    """The mark of the only timeframe that follows the daily bars."""
    return {(asset, "2D"): time}


def put_rejects(engine: Engine, rows: Rows, extent: Extent = ASSET_1) -> tuple[dict[int, int], int]:
    """Make the table of rejects hold the rows: rows written per asset, and the number deleted."""
    with transaction(engine) as connection:
        changes = replace(connection, REJECTS, extent, rows, rewrite=False)
    return changes.written, changes.deleted


def writers(engine: Engine, table: str = DAILY.target) -> list[str]:
    """The transactions that wrote the rows, by asset and time."""
    return [xmin for (xmin,) in ask(engine, f'SELECT xmin::text FROM {table} ORDER BY id, "timestamp", ctid')]


def test_same_rows_again(engine: Engine) -> None:
    """Rows that are stored are left alone, and nothing is marked."""
    rows = bars(Bar(1), Bar(2, volume=None), Bar(3, name=("₿" * 20).encode()))
    assert put(engine, DAILY, rows) == Effect({1: 3}, 0, dirty(1, day(1)))
    before = writers(engine)
    assert put(engine, DAILY, rows) == Effect({}, 0, {})
    assert writers(engine) == before


def test_appended_row(engine: Engine) -> None:
    """Only the new row is written."""
    put(engine, DAILY, bars(Bar(1), Bar(2)))
    before = writers(engine)
    assert put(engine, DAILY, bars(Bar(1), Bar(2), Bar(3))) == Effect({1: 1}, 0, dirty(1, day(3)))
    assert writers(engine)[:2] == before


def test_changed_row(engine: Engine) -> None:
    """A changed row is replaced; its neighbours are not written again."""
    put(engine, DAILY, bars(Bar(1), Bar(2), Bar(3)))
    before = writers(engine)
    assert put(engine, DAILY, bars(Bar(1), Bar(2, close=9.0), Bar(3))) == Effect({1: 1}, 1, dirty(1, day(2)))
    assert [old == new for old, new in zip(before, writers(engine), strict=True)] == [True, False, True]


def test_vanished_rows(engine: Engine) -> None:
    """Rows that were not computed again are deleted, and followers are marked from the first of them on."""
    put(engine, DAILY, bars(Bar(1), Bar(2), Bar(3), Bar(4)))
    assert put(engine, DAILY, bars(Bar(1), Bar(3))) == Effect({}, 2, dirty(1, day(2)))
    assert ask(engine, f"SELECT bar_seq FROM {DAILY.target} ORDER BY 1") == [(1,), (3,)]


@pytest.mark.parametrize(("before", "after"), [(1.0, None), (None, 1.0), (1.0, 2.0)])
def test_null_is_a_value(engine: Engine, before: float | None, after: float | None) -> None:
    """A value that becomes NULL, or no longer is NULL, is a change."""
    put(engine, DAILY, bars(Bar(1, volume=before)))
    assert put(engine, DAILY, bars(Bar(1, volume=after))) == Effect({1: 1}, 1, dirty(1, day(1)))
    assert ask(engine, f"SELECT volume FROM {DAILY.target}") == [(after,)]


@pytest.mark.parametrize("name", [b"", b"Bitcoin2", "₿itcoin".encode(), NULL_TEXT])
def test_columns_that_nothing_follows(engine: Engine, name: bytes) -> None:
    """A change of a column that no follower reads is written, and marks nothing."""
    put(engine, DAILY, bars(Bar(1), Bar(2)))
    assert put(engine, DAILY, bars(Bar(1), Bar(2, name=name))) == Effect({1: 1}, 1, {})
    expected = None if name == NULL_TEXT else name.decode()
    assert ask(engine, f"SELECT src_name FROM {DAILY.target} WHERE bar_seq = 2") == [(expected,)]


def test_columns_that_are_not_compared(engine: Engine) -> None:
    """The run that wrote a row is no difference."""
    put_rejects(engine, rejects((1, "bad_volume", 1)))
    assert put_rejects(engine, rejects((1, "bad_volume", 1), run="second")) == ({}, 0)
    assert ask(engine, f"SELECT run_id FROM {REJECTS.table}") == [("first",)]


def test_rows_outside_of_the_extent(engine: Engine) -> None:
    """Earlier rows of an asset and all rows of other assets are not touched."""
    put(engine, DAILY, bars(Bar(1), Bar(2), Bar(3), Bar(1, asset=2), Bar(2, asset=2)), BOTH)
    before = writers(engine)
    later = Extent(ids=[1], begins=[day(2)])
    assert put(engine, DAILY, bars(), later) == Effect({}, 2, dirty(1, day(2)))
    assert writers(engine) == [before[0], *before[3:]]


def test_each_asset_has_its_own_begin(engine: Engine) -> None:
    """Each asset of a batch has its own first row."""
    put(engine, DAILY, bars(*(Bar(number, asset=asset) for asset in (1, 2) for number in (1, 2, 3))), BOTH)
    rows = bars(Bar(3, close=9.0), Bar(2, close=9.0, asset=2), Bar(3, asset=2))
    effect = put(engine, DAILY, rows, Extent(ids=[1, 2], begins=[day(3), day(2)]))
    assert effect == Effect({1: 1, 2: 1}, 2, dirty(1, day(3)) | dirty(2, day(2)))


def test_rewriting(engine: Engine) -> None:
    """A rebuild writes every row again, equal or not, and marks followers from the beginning on."""
    put(engine, DAILY, bars(Bar(1), Bar(2), Bar(1, asset=2)), BOTH)
    before = writers(engine)
    assert put(engine, DAILY, bars(Bar(1)), rewrite=True) == Effect({1: 1}, 2, dirty(1, BEGINNING))
    after = writers(engine)
    assert after[0] not in before
    assert after[1:] == before[2:]


def test_rewriting_marks_each_timeframe(engine: Engine) -> None:
    """A rebuild of some timeframes marks those that follow them, even if no row is left."""
    put(engine, SNAPSHOTS, snapshots({(1, 1, *pair): (1.0, None) for pair in PAIRS}))
    extent = Extent(ids=[1, 2], begins=[None, None], tfs=("2D-10",))
    marks = {(1, "2D-10"): BEGINNING, (2, "2D-10"): BEGINNING}
    assert put(engine, SNAPSHOTS, snapshots({}), extent, rewrite=True) == Effect({}, 1, marks)
    labels = ask(engine, f"SELECT tf FROM {SNAPSHOTS.target} ORDER BY 1")
    assert labels == [("2D-14",), ("3D-10",), ("3D-14",)]


def test_rejects_without_a_time(engine: Engine) -> None:
    """A key with a NULL identifies its row: an equal row stays, and one that does not come again is deleted."""
    thrice = ((None, "null_time", 1), (None, "null_time", 2), (3, "bad_volume", 1))
    put_rejects(engine, rejects(*thrice))
    before = writers(engine, REJECTS.table)
    assert put_rejects(engine, rejects(*thrice)) == ({}, 0)
    assert put_rejects(engine, rejects(thrice[0], thrice[2])) == ({}, 1)
    assert writers(engine, REJECTS.table) == [before[0], before[2]]
    assert ask(engine, f'SELECT "timestamp", copy FROM {REJECTS.table} ORDER BY 1') == [(day(3), 1), (None, 1)]


def test_rejects_without_a_time_come_before_all_others(engine: Engine) -> None:
    """They belong to an asset's beginning: a later stretch does not touch them."""
    put_rejects(engine, rejects((None, "null_time", 1), (3, "bad_volume", 1)))
    assert put_rejects(engine, rejects(), Extent(ids=[1], begins=[day(2)])) == ({}, 1)
    assert put_rejects(engine, rejects()) == ({}, 1)


def test_changed_reject_without_a_time(engine: Engine) -> None:
    """Its values are compared like any others."""
    put_rejects(engine, rejects((None, "null_time", 1)))
    assert put_rejects(engine, rejects((None, "null_time", 1), close=11.0)) == ({1: 1}, 1)
    assert ask(engine, f"SELECT close FROM {REJECTS.table}") == [(11,)]


def test_days_beside_the_stored_rows(engine: Engine) -> None:
    """Dates that a target adds are read in the time zone of the extent."""
    put(engine, DAILY, bars(Bar(1), Bar(2)))
    target = Target(
        table=DAILY.target,
        key=DAILY.shape.key,
        time="timestamp",
        days={"day": '(t."timestamp" AT TIME ZONE :tz)::date'},
    )
    west = Extent(ids=[1], begins=[None], tz="America/New_York")
    with engine.connect() as connection:
        rows = read_stored(connection, target, west, bars()).rows
    np.testing.assert_array_equal(np.sort(rows["day"]), np.array(["2023-12-31", "2024-01-01"], DAY))
    assert count(rows) == 2


def test_many_rows_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than one block holds and than one statement deletes are compared, deleted and written."""
    monkeypatch.setattr("refresh.store.replace._DELETED_AT_ONCE", 100)
    size = 2 * BLOCK_ROWS
    single = snapshots({(1, 1, "2D", 10): (1.0, None)})
    rows = {name: np.repeat(column, size) for name, column in single.items()}
    rows["timestamp"] = rows["timestamp"] + np.arange(size).astype("m8[us]")
    assert put(engine, SNAPSHOTS, rows).written == {1: size}
    odd = {name: column[1::2] for name, column in rows.items()}
    assert put(engine, SNAPSHOTS, odd).deleted == size // 2
    assert ask(engine, f"SELECT count(*) FROM {SNAPSHOTS.target}") == [(count(odd),)]
    assert put(engine, SNAPSHOTS, rows).written == {1: size // 2}


@pytest.mark.parametrize("rewrite", [False, True])
def test_partitioned_table(engine: Engine, *, rewrite: bool) -> None:
    """In a table of several partitions, whose rows share addresses, only the rows of the extent are touched."""
    table = DAILY.target
    execute(
        engine,
        f"ALTER TABLE {table} RENAME TO whole",
        f"CREATE TABLE {table} (LIKE whole INCLUDING DEFAULTS) PARTITION BY LIST (id)",
        f"CREATE TABLE part1 PARTITION OF {table} FOR VALUES IN (1)",
        f"CREATE TABLE part2 PARTITION OF {table} FOR VALUES IN (2)",
    )
    put(engine, DAILY, bars(*(Bar(number, asset=asset) for asset in (1, 2) for number in (1, 2, 3))), BOTH)
    put(engine, DAILY, bars(Bar(1), Bar(2, close=11.0)), rewrite=rewrite)
    days = f'SELECT id, extract(day FROM "timestamp")::int, close FROM {table} ORDER BY 1, 2'
    assert ask(engine, days) == [(1, 1, 10.0), (1, 2, 11.0), (2, 1, 10.0), (2, 2, 10.0), (2, 3, 10.0)]
