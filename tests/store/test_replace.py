"""A table that is made to hold what was computed: what is written, what is left alone, and what is marked dirty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from statements import ask, execute
from store.table_rows import Bar, bars, blank, day, floats, rejects, times

from refresh.catalog import Leg, by_key, dependants
from refresh.core.rows import DAY, NULL_TEXT, Rows, count
from refresh.store import tables
from refresh.store.bulk import BLOCK_ROWS
from refresh.store.database import transaction
from refresh.store.marks import BEGINNING
from refresh.store.replace import Extent, Target, mark_dependants, read_stored, replace

DAILY, SNAPSHOTS, EMAS = (by_key(key).legs[0] for key in ("bars.1d", "bars.multi_tf", "emas.v2"))
REJECTS = Target(
    table=tables.REJECTS,
    key=("id", "timestamp", "reason", "copy"),
    time="timestamp",
    not_compared=frozenset({"run_id", "rejected_at"}),
)
ASSET_1 = Extent(ids=[1], begins=[None])
BOTH = Extent(ids=[1, 2], begins=[None, None])
PAIRS = [("2D", 10), ("2D", 14), ("3D", 10), ("3D", 14)]

Marks = dict[tuple[int, str], datetime]
"""By asset and timeframe, from when on a follower is dirty."""


@dataclass(frozen=True)
class Effect:
    """What replacing rows did: rows written per asset, the number deleted, and the marks of the first follower."""

    written: dict[int, int]
    deleted: int
    marks: Marks


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Followers of the daily bars and of the rolling bars that have come far beyond every day of these tests."""
    averages = dependants(SNAPSHOTS.target)[0]
    for asset in (1, 2):
        execute(
            engine,
            f"INSERT INTO {SNAPSHOTS.state} (id, tf, seen_ts) VALUES (:asset, '2D', '2030-01-01')",
            f"""INSERT INTO {averages.state} (id, tf, periods, seen_ts, close_sum)
                SELECT :asset, tf, '{{10}}', '2030-01-01', 0 FROM unnest(CAST(:labels AS text[])) AS tf""",
            asset=asset,
            labels=list(map(label_of, PAIRS)),
        )
    return engine


def label_of(pair: tuple[str, int]) -> str:
    """A timeframe and a period as the timeframe of a snapshot."""
    return f"{pair[0]}-{pair[1]}"


def put(engine: Engine, leg: Leg, rows: Rows, extent: Extent = ASSET_1, *, rewrite: bool = False) -> Effect:
    """Make the table of a leg hold the rows and mark its followers, in a transaction of its own."""
    with transaction(engine) as connection:
        changes = replace(connection, Target.of(leg), extent, rows, rewrite=rewrite)
        mark_dependants(connection, leg, extent, changes)
    return Effect(changes.written, changes.deleted, take_marks(engine, leg))


def take_marks(engine: Engine, leg: Leg) -> Marks:
    """The marks of the first follower of a leg, which loses them."""
    followers = dependants(leg.target)
    if not followers:
        return {}
    state = followers[0].state
    rows = ask(engine, f"SELECT id, tf, dirty_from FROM {state} WHERE dirty_from IS NOT NULL")
    execute(engine, f"UPDATE {state} SET dirty_from = NULL")
    return {(id, tf): time for id, tf, time in rows}


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


def test_rewriting_some_series(engine: Engine) -> None:
    """A rebuild of some series leaves the others."""
    put(engine, EMAS, emas({(1, 1, *pair): (1.0, None) for pair in PAIRS}))
    extent = Extent(ids=[1, 2], begins=[None, None], tfs=("2D", "3D"), periods=(10, 14))
    assert put(engine, EMAS, emas({}), extent, rewrite=True) == Effect({}, 2, {})
    assert set(stored(engine, EMA_TABLE)) == {(1, 1, "2D", 14), (1, 1, "3D", 10)}


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


def test_many_rows_at_once(engine: Engine) -> None:
    """More rows than one block holds are compared, deleted and written."""
    size = 2 * BLOCK_ROWS
    single = emas({(1, 1, "2D", 10): (1.0, None)})
    rows = {name: np.repeat(column, size) for name, column in single.items()}
    rows["ts"] = rows["ts"] + np.arange(size).astype("m8[us]")
    assert put(engine, EMAS, rows).written == {1: size}
    odd = {name: column[1::2] for name, column in rows.items()}
    assert put(engine, EMAS, odd) == Effect({}, size // 2, {})
    assert ask(engine, f"SELECT count(*) FROM {EMAS.target}") == [(count(odd),)]
    assert put(engine, EMAS, rows).written == {1: size // 2}


# Any rows on any others

Key = tuple[int, int, str, int]
"""Asset, day of January 2024, timeframe, period."""
Values = tuple[float | None, float | None]
"""A column that others follow, and one that they do not."""
Pairs = Sequence[tuple[str, int]]
ABSENT = 3.0
"""Stands for NULL in a column that may not be NULL."""


def emas(rows: Mapping[Key, Values]) -> Rows:
    """Rows of an EMA table."""
    return blank(EMAS.target, len(rows)) | {
        "id": np.array([asset for asset, _, _, _ in rows], np.int32),
        "tf": np.array([tf for _, _, tf, _ in rows], "S2"),
        "ts": times(number for _, number, _, _ in rows),
        "period": np.array([period for _, _, _, period in rows], np.int32),
        "ema": floats(ema for ema, _ in rows.values()),
        "d1": floats(d1 for _, d1 in rows.values()),
    }


def snapshots(rows: Mapping[Key, Values]) -> Rows:
    """Rows of the rolling bars, whose timeframes stand for pairs."""
    return blank(SNAPSHOTS.target, len(rows)) | {
        "id": np.array([asset for asset, _, _, _ in rows], np.int32),
        "tf": np.array([label_of((tf, period)) for _, _, tf, period in rows], "S5"),
        "timestamp": times(number for _, number, _, _ in rows),
        "bar_seq": np.ones(len(rows), np.int64),
        "close": floats(ABSENT if close is None else close for close, _ in rows.values()),
        "volume": floats(volume for _, volume in rows.values()),
    }


@dataclass(frozen=True)
class Table:
    """A table that holds keys and values: how its rows are made and read, and the extent of some series."""

    leg: Leg
    rows: Callable[[Mapping[Key, Values]], Rows]
    key: str
    values: str
    of_pairs: Callable[[Pairs], Callable[..., Extent]]


def _series(pairs: Pairs) -> Callable[..., Extent]:
    tfs, periods = zip(*pairs, strict=True)
    return partial(Extent, tfs=tfs, periods=periods)


def _labels(pairs: Pairs) -> Callable[..., Extent]:
    return partial(Extent, tfs=tuple(map(label_of, pairs)))


EMA_TABLE = Table(EMAS, emas, "id, extract(day FROM ts)::int, tf, period", "ema, d1", _series)
SNAPSHOT_TABLE = Table(
    SNAPSHOTS,
    snapshots,
    """id, extract(day FROM "timestamp")::int, split_part(tf, '-', 1), split_part(tf, '-', 2)::int""",
    f"nullif(close, {ABSENT}), volume",
    _labels,
)


def stored(engine: Engine, table: Table) -> dict[Key, tuple[Values, str]]:
    """The stored values, each with the transaction that wrote its row."""
    rows = ask(engine, f"SELECT {table.key}, {table.values}, xmin::text FROM {table.leg.target}")
    return {row[:4]: (row[4:6], row[6]) for row in rows}


SOME_VALUES = st.tuples(st.sampled_from([1.0, 2.0, None]), st.sampled_from([1.0, None]))
KEYS = st.tuples(st.sampled_from([1, 2]), st.integers(1, 4), st.sampled_from(["2D", "3D"]), st.sampled_from([10, 14]))
BEGINS = st.tuples(*[st.none() | st.integers(1, 4)] * 2)
SOME_ROWS = st.dictionaries(KEYS, SOME_VALUES, max_size=20)


@pytest.mark.parametrize("table", [EMA_TABLE, SNAPSHOT_TABLE], ids=["averages", "bars"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=SOME_ROWS,
    new=SOME_ROWS,
    begins=BEGINS,
    pairs=st.lists(st.sampled_from(PAIRS), min_size=1, unique=True),
    kept=st.sets(KEYS, max_size=20),
)
def test_any_rows_on_any_others(
    engine: Engine,
    table: Table,
    old: dict[Key, Values],
    new: dict[Key, Values],
    begins: tuple[int | None, int | None],
    pairs: Pairs,
    kept: set[Key],
) -> None:
    """The extent holds the new rows afterwards, and only what differs was written and marked."""

    def is_inside(key: Key) -> bool:
        return key[2:] in pairs and key[1] >= (begins[key[0] - 1] or 0)

    new = {**new, **{key: old[key] for key in kept & old.keys()}}
    new = {key: values for key, values in new.items() if is_inside(key)}
    extent = table.of_pairs(pairs)(ids=[1, 2], begins=[begin and day(begin) for begin in begins])
    put(engine, table.leg, table.rows(old), BOTH)
    before = stored(engine, table)
    effect = put(engine, table.leg, table.rows(new), extent)
    after = stored(engine, table)

    expected = {key: values for key, (values, _) in before.items() if not is_inside(key)} | new
    assert {key: values for key, (values, _) in after.items()} == expected
    same = {key for key, (values, _) in before.items() if expected.get(key) == values}
    assert {key for key, row in after.items() if before.get(key) == row} == same
    written = [key[0] for key in new if key not in same]
    assert effect.written == {asset: written.count(asset) for asset in set(written)}
    assert effect.deleted == len(before.keys() - same)
    changed = {key for key in before.keys() | new.keys() if followed(before, key) != followed(after, key)}
    assert effect.marks == (first_days(changed) if table is SNAPSHOT_TABLE else {})


def followed(rows: Mapping[Key, tuple[Values, str]], key: Key) -> Any:
    """The value that others follow; a row that does not exist differs from every value."""
    if key not in rows:
        return "absent"
    (value, _), _ = rows[key]
    return value


def first_days(keys: set[Key]) -> Marks:
    """The first day of each asset and timeframe among the keys of snapshots."""
    first: Marks = {}
    for asset, number, *pair in sorted(keys):
        first.setdefault((asset, "-".join(map(str, pair))), day(number))
    return first


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
