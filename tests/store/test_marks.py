"""Marks: from which row on a series has to be rewritten, and whose change marks it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from statements import ask, execute
from store.table_rows import blank, day, times

from refresh.catalog import Leg, by_key, dependants, legs
from refresh.core.rows import Rows
from refresh.store.database import transaction
from refresh.store.marks import Mark, mark_dirty
from refresh.store.replace import Extent, Target, mark_dependants, replace
from refresh.store.state import Advance, save_emas

DAILY, BARS, EMAS, V2 = (by_key(key).legs[0] for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.v2"))
WINDOWED = dependants(DAILY.target)[:5]
FAR = "2030-01-01"
DAYS, WEEKS = Extent(ids=[1], begins=[None]), Extent(ids=[1], begins=[None], tfs=("7D",))


def advance(asset: int, tf: str, through: datetime | None) -> Advance:
    """The rolling EMAs of an asset and timeframe have come to a time."""
    return Advance(id=asset, tf=tf, through=through, bars=15, close_sum=1.5)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Two timeframes of the rolling EMAs of assets 1 and 2 that have seen the ninth of January, without a mark."""
    advances = [advance(asset, tf, day(9)) for asset in (1, 2) for tf in ("7D", "14D")]
    with engine.begin() as connection:
        save_emas(connection, EMAS, advances, [("7D", 10, 10), ("14D", 10, 10)])
    return engine


def mark(engine: Engine, *marks: tuple[int, str | None, datetime]) -> None:
    """Mark the rolling EMAs."""
    with engine.begin() as connection:
        mark_dirty(connection, EMAS, [Mark(id=id, tf=tf, time=time) for id, tf, time in marks])


def dirty(engine: Engine, leg: Leg = EMAS) -> dict[tuple[int, str], int]:
    """The day of January from which on a timeframe of an asset is dirty."""
    query = f"SELECT id, tf, extract(day FROM dirty_from)::int FROM {leg.state} WHERE dirty_from IS NOT NULL"
    return {(id, tf): number for id, tf, number in ask(engine, query)}


def test_earliest_mark_counts(engine: Engine) -> None:
    """Of several marks on a series the earliest one stays, in any order."""
    mark(engine, (1, "7D", day(5)), (1, "7D", day(3)), (1, "7D", day(8)), (2, "7D", day(6)))
    assert dirty(engine) == {(1, "7D"): 3, (2, "7D"): 6}


@pytest.mark.parametrize(("second", "stays"), [(2, 2), (7, 5)])
def test_earlier_mark_stays(engine: Engine, second: int, stays: int) -> None:
    """A second mark moves the first one back, but never forward."""
    mark(engine, (1, "7D", day(5)))
    mark(engine, (1, "7D", day(second)))
    assert dirty(engine) == {(1, "7D"): stays}


def test_mark_on_every_timeframe(engine: Engine) -> None:
    """A mark without a timeframe marks every timeframe of the asset."""
    mark(engine, (1, None, day(5)), (1, None, day(4)))
    assert dirty(engine) == {(1, "7D"): 4, (1, "14D"): 4}


@pytest.mark.parametrize(("number", "is_marked"), [(9, True), (10, False)])
def test_series_that_have_not_come_that_far(engine: Engine, number: int, is_marked: bool) -> None:
    """A change after the last row that a series has seen is an append to it."""
    mark(engine, (1, "7D", day(number)))
    assert dirty(engine) == ({(1, "7D"): number} if is_marked else {})


def test_series_that_has_seen_nothing(engine: Engine) -> None:
    """A series without any bar has nothing to rewrite."""
    with engine.begin() as connection:
        save_emas(connection, EMAS, [advance(1, "7D", None)], [("7D", 10, 10)])
    mark(engine, (1, "7D", day(1)))
    assert dirty(engine) == {}


def test_no_marks(engine: Engine) -> None:
    """Without marks nothing is dirty."""
    mark(engine)
    assert dirty(engine) == {}


# Who follows whom


@pytest.fixture
def followers(engine: Engine) -> Engine:
    """Series of every table of asset 1 that have come far beyond every day of these tests."""
    for _, leg in legs():
        if leg.shape.has_periods:
            execute(
                engine,
                f"DELETE FROM {leg.state}",
                f"""INSERT INTO {leg.state} (id, tf, periods, seen_ts, close_sum)
                    VALUES (1, '7D', '{{10}}', '{FAR}', 0)""",
            )
        elif leg.shape.has_timeframes:
            execute(engine, f"INSERT INTO {leg.state} (id, tf, seen_ts) VALUES (1, '7D', '{FAR}')")
    return engine


def put(engine: Engine, leg: Leg, rows: Rows, *, rewrite: bool = False) -> None:
    """Make the table of a leg hold the rows of asset 1, and mark what follows."""
    extent = WEEKS if leg.shape.has_timeframes else DAYS
    with transaction(engine) as connection:
        changes = replace(connection, Target.of(leg), extent, rows, rewrite=rewrite)
        mark_dependants(connection, leg, extent, changes)


def take_marked(engine: Engine) -> set[str]:
    """The tables that have marks, which they lose."""
    marked: set[str] = set()
    for _, leg in legs():
        if leg.shape.has_timeframes:
            if dirty(engine, leg):
                marked.add(leg.target)
            execute(engine, f"UPDATE {leg.state} SET dirty_from = NULL")
    return marked


def january(leg: Leg) -> Rows:
    """Three days of asset 1 in a table of bars."""
    tf = b"7D" if leg.shape.has_timeframes else b"1D"
    rows = blank(leg.target, 3)
    return rows | {"timestamp": times([1, 2, 3]), "tf": np.full(3, tf), "bar_seq": np.arange(1, 4)}


def changed_value(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The column with another value on the second day."""
    values = column.copy()
    if column.dtype.kind == "b":
        values[1] = ~values[1]
    elif column.dtype.kind == "S":
        values[1] = b"else"
    else:
        values[1] += 5
    return values


@pytest.mark.parametrize("leg", [DAILY, BARS], ids=["daily bars", "bars of a window"])
def test_followers_are_marked_by_the_columns_that_they_read(followers: Engine, leg: Leg) -> None:
    """A change of a single column marks the tables that read it according to the catalogue, and no other table."""
    rows = january(leg)
    names = [name for name in rows if name not in leg.shape.key and name != "tf"]
    read = {follower.target: follower.follows.columns for follower in dependants(leg.target)}
    for name in names:
        put(followers, leg, rows)
        take_marked(followers)
        put(followers, leg, rows | {name: changed_value(rows[name])})
        expected = {target for target, columns in read.items() if name in columns}
        assert take_marked(followers) == expected, name
    assert all(set(columns) <= set(names) for columns in read.values())


def test_volume_of_a_daily_bar(followers: Engine) -> None:
    """A change of the volume alone marks every table of windows from that day on, and no EMA."""
    rows = january(DAILY)
    put(followers, DAILY, rows)
    take_marked(followers)
    put(followers, DAILY, rows | {"volume": changed_value(rows["volume"])})
    for leg in WINDOWED:
        assert dirty(followers, leg) == {(1, "7D"): 2}
    assert dirty(followers, V2) == {}
    assert take_marked(followers) == {leg.target for leg in WINDOWED}


@pytest.mark.parametrize(("column", "marked"), [("high", set[str]()), ("close", {EMAS.target})])
def test_prices_of_a_bar(followers: Engine, column: str, marked: set[str]) -> None:
    """EMAs over closes are marked by a change of a close, not by one of a high."""
    rows = january(BARS)
    put(followers, BARS, rows)
    take_marked(followers)
    put(followers, BARS, rows | {column: changed_value(rows[column])})
    assert take_marked(followers) == marked


def test_deleted_and_added_rows(followers: Engine) -> None:
    """A row that vanishes or is added marks every follower, whatever columns it reads."""
    rows = january(DAILY)
    two_days = {name: values[:2] for name, values in rows.items()}
    expected = {leg.target for leg in dependants(DAILY.target)}
    put(followers, DAILY, two_days)
    assert take_marked(followers) == expected
    put(followers, DAILY, rows)
    for leg in dependants(DAILY.target):
        assert dirty(followers, leg) == {(1, "7D"): 3}
    assert take_marked(followers) == expected
    put(followers, DAILY, two_days)
    assert take_marked(followers) == expected


def test_rebuild_marks_every_follower(followers: Engine) -> None:
    """A rebuild marks the windows and the daily EMAs; EMAs over bars wait for their bars."""
    put(followers, DAILY, january(DAILY), rewrite=True)
    daily = [leg for _, leg in legs() if leg.shape.has_timeframes and leg.inputs == (DAILY.target,)]
    assert take_marked(followers) == {leg.target for leg in daily}
    put(followers, BARS, january(BARS), rewrite=True)
    assert take_marked(followers) == {EMAS.target}


def test_timeframes_that_were_not_rebuilt(followers: Engine) -> None:
    """A rebuild of one timeframe does not mark another."""
    execute(
        followers,
        f"INSERT INTO {EMAS.state} (id, tf, periods, seen_ts, close_sum) VALUES (1, '14D', '{{10}}', '{FAR}', 0)",
    )
    put(followers, BARS, january(BARS), rewrite=True)
    assert dirty(followers).keys() == {(1, "7D")}
