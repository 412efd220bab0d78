"""A table that is made to hold what was computed: what is written, what is left alone, what is told to others."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from statements import ask, execute

from refresh.builder.daily import BARS, REJECTS
from refresh.core.rows import NULL_TEXT, TIME, Rows, count
from refresh.store.bulk import BLOCK_ROWS
from refresh.store.database import transaction
from refresh.store.replace import BEGINNING, Changes, Place, Target, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMAS = Target("cmc_ema_multi_tf_v2", ("id", "ts", "tf", "period"), "ts", ("ema",))
PAIRS = [("2D", 10), ("2D", 14), ("3D", 10), ("3D", 14)]

Key = tuple[int, int, str, int]
"""Asset, day of January 2024, timeframe, period."""
Values = tuple[float | None, float | None]
"""The column that others follow, and one that they do not."""


def day(number: int) -> datetime:
    """A day of January 2024."""
    return datetime(2024, 1, number, tzinfo=UTC)


def naive(number: int) -> np.datetime64:
    """The same day as arrays hold it."""
    return np.datetime64(day(number).replace(tzinfo=None), "us")


def floats(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers with NaN for NULL."""
    return np.array([np.nan if value is None else value for value in values], float)


def emas(held: Mapping[Key, Values]) -> Rows:
    """Rows of an EMA table."""
    assets, days, tfs, periods = zip(*held, strict=True) if held else ((), (), (), ())
    return {
        "id": np.array(assets, np.int32),
        "tf": np.array([tf.encode() for tf in tfs], "S2"),
        "ts": np.array([naive(number) for number in days], TIME),
        "period": np.array(periods, np.int32),
        "tf_days": np.full(len(held), 2, np.int32),
        "roll": np.full(len(held), False),
        "ema": floats([ema for ema, _ in held.values()]),
        "d1": floats([d1 for _, d1 in held.values()]),
        "d2": np.full(len(held), np.nan),
        "d1_roll": np.full(len(held), np.nan),
        "d2_roll": np.full(len(held), np.nan),
    }


@dataclass(frozen=True)
class Bar:
    """A daily bar, as far as it matters here."""

    number: int
    close: float = 10.0
    volume: float | None = 1.0
    name: bytes = b"Bitcoin"
    asset: int = 1


def bars(*held: Bar) -> Rows:
    """Rows of the daily table, one per day."""
    times = np.array([naive(bar.number) for bar in held], TIME)
    size = len(held)
    return {
        "id": np.array([bar.asset for bar in held], np.int32),
        "timestamp": times,
        "tf": np.full(size, b"1D", "S2"),
        "bar_seq": np.array([bar.number for bar in held], np.int64),
        **dict.fromkeys(("time_open", "time_close", "time_high", "time_low"), times),
        **dict.fromkeys(("open", "high", "low"), np.full(size, 10.0)),
        "close": np.array([bar.close for bar in held], float),
        "volume": floats([bar.volume for bar in held]),
        "market_cap": np.full(size, np.nan),
        **dict.fromkeys(("is_partial_start", "is_partial_end", "is_missing_days"), np.full(size, False)),
        "count_missing_days": np.zeros(size, np.int32),
        **dict.fromkeys((f"repaired_{name}" for name in ("high", "low", "timehigh", "timelow")), np.full(size, False)),
        "src_name": np.array([bar.name for bar in held], "S"),
        "src_load_ts": np.full(size, np.datetime64("NaT"), TIME),
        "src_file": np.full(size, NULL_TEXT),
    }


def rejects(*held: tuple[int | None, str, int], close: float = 10.0, run: str = "first") -> Rows:
    """Rows of the rejects table: day or NULL, reason, copy."""
    absent = np.datetime64("NaT", "us")
    size = len(held)
    numbers = np.ma.MaskedArray(np.full(size, close), mask=np.zeros(size, bool))
    return {
        "id": np.ones(size, np.int32),
        "timestamp": np.array([absent if number is None else naive(number) for number, _, _ in held], TIME),
        "reason": np.array([reason.encode() for _, reason, _ in held], "S20"),
        "copy": np.array([copy for _, _, copy in held], np.int32),
        **dict.fromkeys(("timeopen", "timeclose", "timehigh", "timelow"), np.full(size, absent)),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "marketcap"), numbers),
        "run_id": np.full(size, run.encode()),
    }


def put(engine: Engine, target: Target, rows: Rows, place: Place | None = None, *, rewrite: bool = False) -> Changes:
    """Make the table hold the rows, in a transaction of its own; asset 1 from its beginning where nothing is said.

    Of several marks on the same series the earliest one is shown: the others say nothing more.
    """
    with transaction(engine) as connection:
        changes = replace(connection, target, place or Place([1], [None]), rows, rewrite=rewrite)
    earliest: dict[tuple[int, str | None], datetime] = {}
    for asset, tf, time in changes.marks:
        earliest[asset, tf] = min(time, earliest.get((asset, tf), time))
    marks = [(*series, time) for series, time in sorted(earliest.items(), key=str)]
    return changed(changes, marks=marks)


def held(engine: Engine) -> dict[Key, tuple[Values, str]]:
    """The EMA rows, each with the transaction that wrote it."""
    query = f"SELECT id, extract(day FROM ts)::int, tf, period, ema, d1, xmin::text FROM {EMAS.table}"
    return {(row[0], row[1], row[2], row[3]): ((row[4], row[5]), row[6]) for row in ask(engine, query)}


def writers(engine: Engine, table: str = BARS.table) -> list[str]:
    """The transactions that wrote the rows, by asset and time."""
    return [xmin for (xmin,) in ask(engine, f'SELECT xmin::text FROM {table} ORDER BY id, "timestamp", ctid')]


def test_same_rows_again(engine: Engine) -> None:
    """Rows that are there are left alone, and nobody is told of anything."""
    rows = bars(Bar(1), Bar(2, volume=None), Bar(3, name=("₿" * 20).encode()))
    assert put(engine, BARS, rows) == Changes({1: 3}, 0, [(1, None, day(1))])
    before = writers(engine)
    assert put(engine, BARS, rows) == Changes({}, 0, [])
    assert writers(engine) == before


def test_appended_row(engine: Engine) -> None:
    """Only the new row is written."""
    put(engine, BARS, bars(Bar(1), Bar(2)))
    before = writers(engine)
    assert put(engine, BARS, bars(Bar(1), Bar(2), Bar(3))) == Changes({1: 1}, 0, [(1, None, day(3))])
    assert writers(engine)[:2] == before


def test_changed_row(engine: Engine) -> None:
    """Of a changed row the old version goes and the new one comes; its neighbours are not written again."""
    put(engine, BARS, bars(Bar(1), Bar(2), Bar(3)))
    before = writers(engine)
    assert put(engine, BARS, bars(Bar(1), Bar(2, close=9.0), Bar(3))) == Changes({1: 1}, 1, [(1, None, day(2))])
    assert [old == new for old, new in zip(before, writers(engine), strict=True)] == [True, False, True]


def test_vanished_rows(engine: Engine) -> None:
    """Rows that were not computed again are deleted, and what follows is told from the first of them on."""
    put(engine, BARS, bars(Bar(1), Bar(2), Bar(3), Bar(4)))
    assert put(engine, BARS, bars(Bar(1), Bar(3))) == Changes({}, 2, [(1, None, day(2))])
    assert ask(engine, f"SELECT bar_seq FROM {BARS.table} ORDER BY 1") == [(1,), (3,)]


@pytest.mark.parametrize(("before", "after"), [(1.0, None), (None, 1.0), (1.0, 2.0)])
def test_null_is_a_value(engine: Engine, before: float | None, after: float | None) -> None:
    """A value that becomes NULL, or no longer is, is a change."""
    put(engine, BARS, bars(Bar(1, volume=before)))
    assert put(engine, BARS, bars(Bar(1, volume=after))).marks == [(1, None, day(1))]
    assert ask(engine, f"SELECT volume FROM {BARS.table}") == [(after,)]


@pytest.mark.parametrize("name", [b"", b"Bitcoin2", "₿itcoin".encode(), NULL_TEXT])
def test_columns_that_nobody_follows(engine: Engine, name: bytes) -> None:
    """A change of no concern to others is written, and they are not told."""
    put(engine, BARS, bars(Bar(1), Bar(2)))
    assert put(engine, BARS, bars(Bar(1), Bar(2, name=name))) == Changes({1: 1}, 1, [])
    expected = None if name == NULL_TEXT else name.decode()
    assert ask(engine, f"SELECT src_name FROM {BARS.table} WHERE bar_seq = 2") == [(expected,)]


def test_columns_that_are_not_compared(engine: Engine) -> None:
    """Who wrote a row and when is no difference."""
    put(engine, REJECTS, rejects((1, "bad_volume", 1)))
    assert put(engine, REJECTS, rejects((1, "bad_volume", 1), run="second")) == Changes({}, 0, [])
    assert ask(engine, f"SELECT run_id FROM {REJECTS.table}") == [("first",)]


def test_rows_outside_of_the_place(engine: Engine) -> None:
    """Earlier rows of an asset and all rows of other assets are not touched."""
    both = bars(Bar(1), Bar(2), Bar(3), Bar(1, asset=2), Bar(2, asset=2))
    put(engine, BARS, both, Place([1, 2], [None, None]))
    before = writers(engine)
    assert put(engine, BARS, bars(), Place([1], [day(2)])) == Changes({}, 2, [(1, None, day(2))])
    assert writers(engine) == [before[0], *before[3:]]


def test_assets_begin_where_they_begin(engine: Engine) -> None:
    """Each asset of a batch has its own first row."""
    put(engine, BARS, bars(*(Bar(n, asset=asset) for asset in (1, 2) for n in (1, 2, 3))), Place([1, 2], [None, None]))
    rows = bars(Bar(3, close=9.0), Bar(2, close=9.0, asset=2), Bar(3, asset=2))
    changes = put(engine, BARS, rows, Place([1, 2], [day(3), day(2)]))
    assert changes == Changes({1: 1, 2: 1}, 2, [(1, None, day(3)), (2, None, day(2))])


def test_rewriting(engine: Engine) -> None:
    """A rebuild writes every row anew, equal or not, and tells everybody from the beginning on."""
    put(engine, BARS, bars(Bar(1), Bar(2), Bar(1, asset=2)), Place([1, 2], [None, None]))
    before = writers(engine)
    changes = put(engine, BARS, bars(Bar(1)), rewrite=True)
    assert changes == Changes({1: 1}, 2, [(1, None, BEGINNING)])
    after = writers(engine)
    assert after[0] not in before
    assert after[1:] == before[2:]


def test_rewriting_tells_each_timeframe(engine: Engine) -> None:
    """A rebuild of some timeframes tells those that follow them, also where no row is left."""
    put(engine, EMAS, emas({(1, 1, tf, 10): (1.0, None) for tf in ("2D", "3D")}))
    changes = put(engine, EMAS, emas({}), Place([1, 2], [None, None], ("2D",), (10,)), rewrite=True)
    assert changes == Changes({}, 1, [(1, "2D", BEGINNING), (2, "2D", BEGINNING)])
    assert list(held(engine)) == [(1, 1, "3D", 10)]


def test_nobody_follows(engine: Engine) -> None:
    """A table that nothing follows tells of nothing."""
    target = changed(EMAS, followed=())
    assert put(engine, target, emas({(1, 1, "2D", 10): (1.0, None)})).marks == []
    assert put(engine, target, emas({}), rewrite=True).marks == []


def test_rejects_without_a_time(engine: Engine) -> None:
    """A key with a NULL names its row: it stays where it is the same, and goes where it does not come again."""
    twice = ((None, "null_time", 1), (None, "null_time", 2), (3, "bad_volume", 1))
    put(engine, REJECTS, rejects(*twice))
    before = writers(engine, REJECTS.table)
    assert put(engine, REJECTS, rejects(*twice)) == Changes({}, 0, [])
    assert put(engine, REJECTS, rejects(twice[0], twice[2])) == Changes({}, 1, [])
    assert writers(engine, REJECTS.table) == [before[0], before[2]]
    assert ask(engine, f'SELECT "timestamp", copy FROM {REJECTS.table} ORDER BY 1') == [(day(3), 1), (None, 1)]


def test_rejects_without_a_time_stand_before_all_others(engine: Engine) -> None:
    """They belong to an asset's beginning: a later stretch does not touch them."""
    put(engine, REJECTS, rejects((None, "null_time", 1), (3, "bad_volume", 1)))
    assert put(engine, REJECTS, rejects(), Place([1], [day(2)])) == Changes({}, 1, [])
    assert put(engine, REJECTS, rejects()) == Changes({}, 1, [])


def test_changed_reject_without_a_time(engine: Engine) -> None:
    """Its values are compared like any others."""
    put(engine, REJECTS, rejects((None, "null_time", 1)))
    assert put(engine, REJECTS, rejects((None, "null_time", 1), close=11.0)) == Changes({1: 1}, 1, [])
    assert ask(engine, f"SELECT close FROM {REJECTS.table}") == [(11,)]


def test_many_rows_at_once(engine: Engine) -> None:
    """More rows than one block holds are compared, deleted and written."""
    size = 2 * BLOCK_ROWS
    one = emas({(1, 1, "2D", 10): (1.0, None)})
    rows = {name: np.repeat(column, size) for name, column in one.items()}
    rows["ts"] = rows["ts"] + np.arange(size).astype("m8[us]")
    assert put(engine, EMAS, rows).written == {1: size}
    odd = {name: column[1::2] for name, column in rows.items()}
    assert put(engine, EMAS, odd) == Changes({}, size // 2, [(1, "2D", day(1))])
    assert count(odd) == ask(engine, f"SELECT count(*) FROM {EMAS.table}")[0][0]
    assert put(engine, EMAS, rows).written == {1: size // 2}


VALUES = st.tuples(st.sampled_from([1.0, 2.0, None]), st.sampled_from([1.0, None]))
KEYS = st.tuples(st.sampled_from([1, 2]), st.integers(1, 4), st.sampled_from(["2D", "3D"]), st.sampled_from([10, 14]))
PLACES = st.builds(
    lambda begins, pairs: (dict(zip((1, 2), begins, strict=True)), pairs),
    st.tuples(*[st.none() | st.integers(1, 4)] * 2),
    st.lists(st.sampled_from(PAIRS), min_size=1, unique=True),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=st.dictionaries(KEYS, VALUES, max_size=20),
    new=st.dictionaries(KEYS, VALUES, max_size=20),
    where=PLACES,
    kept=st.sets(KEYS, max_size=20),
)
def test_any_rows_on_any_others(
    engine: Engine,
    old: dict[Key, Values],
    new: dict[Key, Values],
    where: tuple[dict[int, int | None], list[tuple[str, int]]],
    kept: set[Key],
) -> None:
    """Whatever stood there, the place holds the new rows afterwards, and only what differs was written and told."""
    begins, pairs = where

    def inside(key: Key) -> bool:
        return key[2:] in pairs and key[1] >= (begins[key[0]] or 0)

    new = {
        key: values for key, values in {**new, **{key: old[key] for key in kept & old.keys()}}.items() if inside(key)
    }
    put(engine, EMAS, emas(old), Place([1, 2], [None, None]))
    before = held(engine)
    place = Place(
        [1, 2],
        [None if begin is None else day(begin) for begin in begins.values()],
        tuple(tf for tf, _ in pairs),
        tuple(period for _, period in pairs),
    )
    changes = put(engine, EMAS, emas(new), place)
    after = held(engine)

    outside = {key: row for key, row in before.items() if not inside(key)}
    assert {key: values for key, (values, _) in after.items()} == {k: v for k, (v, _) in outside.items()} | new
    same = {key for key, (values, _) in before.items() if not inside(key) or new.get(key) == values}
    assert {key for key, row in after.items() if before.get(key) == row} == same
    written = [key[0] for key in new if key not in same]
    assert changes.written == {asset: written.count(asset) for asset in set(written)}
    assert changes.deleted == len(before.keys() - same)
    told = {key for key in before.keys() | new.keys() if inside(key) and followed(before, key) != followed(new, key)}
    expected: dict[tuple[int, str], int] = {}
    for asset, number, tf, _ in told:
        expected[asset, tf] = min(number, expected.get((asset, tf), number))
    assert {(asset, tf): time for asset, tf, time in changes.marks} == {key: day(n) for key, n in expected.items()}


def followed(rows: Mapping[Key, Any], key: Key) -> Any:
    """The value that others follow; a row that is not there has none, which is not the same as NULL."""
    if key not in rows:
        return "absent"
    first = rows[key][0]
    return first[0] if isinstance(first, tuple) else first


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_table_that_was_parted(engine: Engine, *, rewrite: bool) -> None:
    """In a table in several parts, whose rows share addresses, only the rows of the place are touched."""
    execute(
        engine,
        f"ALTER TABLE {BARS.table} RENAME TO whole",
        f"CREATE TABLE {BARS.table} (LIKE whole INCLUDING DEFAULTS) PARTITION BY LIST (id)",
        *(f"CREATE TABLE part{id} PARTITION OF {BARS.table} FOR VALUES IN ({id})" for id in (1, 2)),
    )
    put(
        engine,
        BARS,
        bars(*(Bar(number, asset=asset) for asset in (1, 2) for number in (1, 2, 3))),
        Place([1, 2], [None] * 2),
    )
    put(engine, BARS, bars(Bar(1), Bar(2, close=11.0)), rewrite=rewrite)
    days = f'SELECT id, extract(day FROM "timestamp")::int, close FROM {BARS.table} ORDER BY 1, 2'
    assert ask(engine, days) == [(1, 1, 10.0), (1, 2, 11.0), (2, 1, 10.0), (2, 2, 10.0), (2, 3, 10.0)]
