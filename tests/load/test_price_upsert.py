"""Blocks of rows merged into the price table, on a real server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from statements import execute

from refresh.core.rows import NULL_TEXT, TIME, Rows
from refresh.errors import SchemaError
from refresh.store.database import connect
from refresh.store.price_days import Kept, Moved
from refresh.store.price_stage import Removed, Staged, stage
from refresh.store.prices import Counts, Merged, Origin, merge_prices, open_prices
from refresh.store.server_errors import ASSET_ERRORS

LAST = "23:59:59.999"
NOW = datetime(2024, 3, 8, 6, tzinfo=UTC)
LATER = datetime(2024, 3, 9, 6, tzinfo=UTC)
OHLC = ("open", "high", "low", "close")
PROVIDED = frozenset({"id", "timestamp", "name", *OHLC, "volume"})


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    with connect(database_url) as engine:
        yield engine


def block(
    *days: int, first_line: int = 2, asset: int = 1, name: bytes = b"Bitcoin", clock: str = LAST, **changed: float
) -> Rows:
    """Rows of these days of January 2024, in consecutive lines, with prices of ten times the day."""
    timestamp = np.array([f"2024-01-{day:02}T{clock}" for day in days], TIME)
    size = len(days)
    return {
        "line": np.arange(first_line, first_line + size),
        "day": timestamp.astype("M8[D]"),
        "stamped": timestamp,
        "id": np.full(size, asset, np.int32),
        "name": np.full(size, name),
        "timestamp": timestamp,
        "timeopen": timestamp.astype("M8[D]").astype(TIME),
        "timeclose": timestamp,
        **{price: np.array([changed.get(price, 10.0 * day) for day in days]) for price in (*OHLC, "volume")},
    }


def load(
    engine: Engine, *blocks: Rows, provided: frozenset[str] = PROVIDED, source_file: str = "a.csv", now: datetime = NOW,
    may_empty: bool = False,
) -> tuple[Staged, Merged]:  # fmt: skip
    """Stage and merge the blocks in a transaction of their own."""
    origin = Origin(provides=provided, source_file=source_file, now=now, may_empty=may_empty)
    with engine.begin() as connection:
        open_prices(connection)
        staged = stage(connection, iter(blocks), origin.tz)
        return staged, merge_prices(connection, staged, origin)


def upsert(engine: Engine, *blocks: Rows, **origin: Any) -> Counts:
    """The same; what is said of the rows."""
    return load(engine, *blocks, **origin)[1].counts


def stored(engine: Engine, columns: str) -> Sequence[tuple[Any, ...]]:
    """The rows of the table, by id and timestamp."""
    with engine.connect() as connection:
        query = f'SELECT {columns} FROM cmc_price_histories7 ORDER BY id, "timestamp"'
        return [tuple(row) for row in connection.execute(text(query))]


def test_new_rows(engine: Engine) -> None:
    """Every row of every block arrives, with its file and load time, in a table that is created for it."""
    assert upsert(engine, block(1, 2), block(3, first_line=4)) == Counts(inserted=3)
    midnight, close = datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 3, 23, 59, 59, 999000, tzinfo=UTC)
    columns = '"timestamp", id, name, timeopen, timeclose, timehigh, open, volume, source_file, load_ts'
    assert stored(engine, columns)[2] == (close, 1, "Bitcoin", midnight, close, None, 30, 30, "a.csv", NOW)


def test_same_rows_again(engine: Engine) -> None:
    """The same prices from another file are unchanged and keep their file and load time."""
    upsert(engine, block(1, 2))
    assert upsert(engine, block(1, 2), source_file="b.csv", now=LATER) == Counts(unchanged=2)
    assert set(stored(engine, "source_file, load_ts")) == {("a.csv", NOW)}


def test_changed_row(engine: Engine) -> None:
    """A row that differs is changed and gets the new file and load time; the others are left alone."""
    upsert(engine, block(1, 2))
    assert upsert(engine, block(2, 3, close=7.0), source_file="b.csv", now=LATER) == Counts(inserted=1, changed=1)
    assert stored(engine, "close, source_file, load_ts") == [
        (10, "a.csv", NOW),
        (7, "b.csv", LATER),
        (7, "b.csv", LATER),
    ]


@pytest.mark.parametrize(("before", "after"), [(1.0, np.nan), (np.nan, 1.0)])
def test_null_differs(engine: Engine, before: float, after: float) -> None:
    """A value that becomes NULL, or stops being NULL, is a change; a NULL that stays is not."""
    upsert(engine, block(1, volume=before))
    assert upsert(engine, block(1, volume=after)) == Counts(changed=1)
    assert upsert(engine, block(1, volume=after)) == Counts(unchanged=1)
    assert stored(engine, "volume") == [(None if np.isnan(after) else after,)]


def test_columns_not_provided_stay(engine: Engine) -> None:
    """A column that the file does not provide, missing or derived, is neither compared nor overwritten."""
    upsert(engine, block(1))
    execute(engine, "UPDATE cmc_price_histories7 SET marketcap = 5, timehigh = '2024-01-01 12:00Z', timeopen = NULL")
    unnamed = block(1, close=7.0)
    del unnamed["name"]
    assert upsert(engine, unnamed, provided=PROVIDED - {"name"}) == Counts(changed=1)
    assert stored(engine, "name, marketcap, timeopen, close") == [("Bitcoin", 5, None, 7)]


def test_repeated_lines(engine: Engine) -> None:
    """Of equal lines of an asset and day the last is loaded, across blocks; each other one is reported once."""
    staged, merged = load(engine, block(1, 2, 1), block(1, first_line=5), block(1, first_line=6, asset=2, close=8.0))
    assert merged.counts == Counts(inserted=3)
    assert staged.repeated == Removed(total=2, lines=((2, 5, "2024-01-01"), (4, 5, "2024-01-01")))
    assert staged.differing == staged.empty == Removed()
    assert stored(engine, "id, close") == [(1, 10), (1, 20), (2, 8)]


def test_lines_that_differ(engine: Engine) -> None:
    """Of lines of one day with different prices none is loaded: nothing says which is right."""
    upsert(engine, block(1, close=5.0))
    staged, merged = load(
        engine, block(1, 2), block(1, first_line=4, close=7.0), block(2, first_line=5, clock="16:00:00")
    )
    assert staged.differing == Removed(total=2, lines=((2, 4, "2024-01-01"), (4, 2, "2024-01-01")))
    assert staged.repeated == Removed(total=1, lines=((3, 5, "2024-01-02"),))
    assert (staged.differing_days, staged.days, staged.mostly_differ) == (1, 2, False)
    assert merged.counts == Counts(inserted=1)
    assert stored(engine, "close") == [(5,), (20,)]


def test_line_without_prices_loses(engine: Engine) -> None:
    """A line without prices gives way to one of the same day that has them, before or after it."""
    empty: dict[str, Any] = dict.fromkeys((*OHLC, "volume"), np.nan)
    staged, _ = load(engine, block(1, 2), block(1, first_line=4, **empty), block(3, 3, first_line=5))
    assert staged.empty == Removed(total=1, lines=((4, 2, "2024-01-01"),))
    assert stored(engine, "close") == [(10,), (20,), (30,)]


def test_many_repeats(engine: Engine) -> None:
    """All repeated lines are counted, but only the first are listed."""
    staged, merged = load(engine, block(*[1] * 50))
    assert (staged.repeated.total, len(staged.repeated.lines), staged.repeated.lines[0][:2]) == (49, 20, (2, 51))
    assert merged.counts == Counts(inserted=1)


def test_rows_finer_than_a_day(engine: Engine) -> None:
    """Rows of many times a day are kept, each at its time, midnight among them; those of a daily asset stay days."""
    hours = [block(*range(1, 6), first_line=10 * hour + 2, asset=7, clock=f"{hour:02}:00:00") for hour in (0, 8, 16)]
    staged, merged = load(engine, *hours, block(1, 2, 3, first_line=90))
    assert staged.fine == (7,)
    assert merged.counts == Counts(inserted=18)
    assert len(stored(engine, "id")) == 18
    more = [block(6, first_line=2 + hour, asset=7, clock=f"{hour:02}:00:00", close=1.0 * hour) for hour in range(24)]
    staged, merged = load(engine, *more)
    assert (staged.fine, merged.counts) == ((7,), Counts(inserted=24))


@pytest.mark.parametrize("clock", ["00:00:00", "16:00:00"])
def test_day_at_another_time(engine: Engine, clock: str) -> None:
    """A day is one row: that of the newest file, at its time, with what only the older file had."""
    upsert(engine, block(1, 2, 3, clock=clock))
    execute(engine, "UPDATE cmc_price_histories7 SET marketcap = 5")
    _, merged = load(engine, block(2, 3, 4, close=7.0), source_file="b.csv", now=LATER)
    assert merged.moved == Moved(moved=2, removed=0, first_day="2024-01-02")
    assert merged.counts == Counts(inserted=1, changed=2)
    assert stored(engine, '"timestamp"::time::text, close, marketcap') == [
        (clock, 10, 5), (LAST, 7, 5), (LAST, 7, 5), (LAST, 7, None),
    ]  # fmt: skip
    assert load(engine, block(2, 3, 4, close=7.0))[1].moved == Moved()


def test_day_stored_twice(engine: Engine) -> None:
    """Where the table has a day twice, one row stays, and it has the prices of the file."""
    upsert(engine, block(1, 2))
    execute(
        engine,
        """INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
           SELECT id, "timestamp" - interval '86399.999 s', timeopen, timeclose, open, high, low, 99, volume
           FROM cmc_price_histories7""",
    )
    _, merged = load(engine, block(1, close=7.0))
    assert merged.moved == Moved(moved=0, removed=1, first_day="2024-01-01")
    assert stored(engine, "close") == [(7,), (99,), (20,)]


def test_empty_prices_keep_stored_ones(engine: Engine) -> None:
    """A line without prices leaves those of the day, unless that is asked for; a new day is stored as it is."""
    upsert(engine, block(1, 2))
    partial = block(2, 3, close=np.nan)
    _, merged = load(engine, partial)
    assert merged.kept == Kept(total=1, days=("2024-01-02",))
    assert merged.counts == Counts(inserted=1)
    assert stored(engine, "close") == [(10,), (20,), (None,)]
    assert upsert(engine, partial, may_empty=True) == Counts(changed=1, unchanged=1)
    assert stored(engine, "close") == [(10,), (None,), (None,)]


@pytest.mark.parametrize(
    ("days", "may_repeat"), [((1, 2, 3), False), ((3, 2, 1), False), ((1, 3, 2), True), ((1, 2, 2), True)]
)
def test_order_of_a_file(engine: Engine, days: tuple[int, ...], may_repeat: bool) -> None:
    """Lines in any order are judged alike: equal ones of a day are found, wherever they are."""
    staged, merged = load(engine, block(*days[:2]), block(*days[2:], first_line=4))
    assert bool(staged.days) == may_repeat
    assert merged.counts.inserted == len(set(days))


def test_nothing_to_load(engine: Engine) -> None:
    """A file without rows is not an error."""
    assert upsert(engine) == Counts()
    assert upsert(engine, block()) == Counts()


def test_failure_leaves_nothing(engine: Engine) -> None:
    """A failure while blocks are read rolls the whole file back."""

    def failing() -> Iterator[Rows]:
        yield block(1)
        raise OSError("gone")

    def fail() -> None:
        with engine.begin() as connection:
            stage(connection, failing(), "UTC")

    upsert(engine, block(2))
    with pytest.raises(OSError, match="gone"):
        fail()
    assert stored(engine, "open") == [(20,)]


def test_text_and_null_text(engine: Engine) -> None:
    """Names beyond ASCII and NULL names arrive unchanged."""
    upsert(engine, block(1, name="Ξther — ₿".encode()), block(1, asset=2, name=NULL_TEXT))
    assert stored(engine, "name") == [("Ξther — ₿",), (None,)]


LEAN = """CREATE TABLE cmc_price_histories7 (
    id bigint, "timestamp" timestamp, timeopen timestamptz, timeclose timestamptz,
    open numeric, high numeric, low numeric, close real, volume float8{key}) {rest}"""
KEY = ', PRIMARY KEY ("timestamp", id)'


def test_lean_table_of_the_users(engine: Engine) -> None:
    """An existing table is written in its own columns and types, with or without time zone."""
    execute(engine, LEAN.format(key=KEY, rest=""))
    assert upsert(engine, block(1, 2)) == Counts(inserted=2)
    assert upsert(engine, block(1, 2)) == Counts(unchanged=2)
    assert stored(engine, '"timestamp", close')[0] == (datetime(2024, 1, 1, 23, 59, 59, 999000), 10)  # noqa: DTZ001


@pytest.mark.parametrize("kind", ["text", 'text COLLATE "C"', 'text COLLATE "POSIX"', "varchar(20)"])
def test_collation_of_names(engine: Engine, kind: str) -> None:
    """Names are compared under any collation of the user's column."""
    execute(engine, LEAN.format(key=KEY + f", name {kind}", rest=""))
    upsert(engine, block(1))
    assert upsert(engine, block(1)) == Counts(unchanged=1)
    assert upsert(engine, block(1, name=b"Ay")) == Counts(changed=1)


def test_partitioned_table(engine: Engine) -> None:
    """A partitioned table, which returns no system columns of the rows it wrote, is counted correctly too."""
    parts = [f"CREATE TABLE part{n} PARTITION OF cmc_price_histories7 FOR VALUES IN ({n})" for n in (1, 2)]
    execute(engine, LEAN.format(key=KEY, rest="PARTITION BY LIST (id)"), *parts)
    upsert(engine, block(1, 2))
    assert upsert(engine, block(2, 3, close=7.0), block(1, asset=2)) == Counts(inserted=2, changed=1)


def test_missing_columns(engine: Engine) -> None:
    """A table that lacks required columns is refused, naming them."""
    execute(engine, 'CREATE TABLE cmc_price_histories7 (id int, "timestamp" timestamptz, open float8, close float8)')
    with pytest.raises(SchemaError, match="lacks the columns timeopen, timeclose, high, low, volume"):
        upsert(engine, block(1))


@pytest.mark.parametrize(
    "index",
    [
        None,
        'CREATE INDEX ON cmc_price_histories7 (id, "timestamp")',
        'CREATE UNIQUE INDEX ON cmc_price_histories7 (id, "timestamp") WHERE id > 5',
        'CREATE UNIQUE INDEX ON cmc_price_histories7 (id, "timestamp", open)',
        "CREATE UNIQUE INDEX ON cmc_price_histories7 (id)",
    ],
)
def test_missing_key(engine: Engine, index: str | None) -> None:
    """A table without a key for the upsert is refused with the statement that adds it, and that statement works."""
    execute(engine, LEAN.format(key="", rest=""), *([index] if index else []))
    with pytest.raises(SchemaError) as error:
        upsert(engine, block(1))
    execute(engine, str(error.value).rpartition(": ")[2])
    assert upsert(engine, block(1)) == Counts(inserted=1)


def test_covering_unique_index(engine: Engine) -> None:
    """A unique index that includes further columns is a key."""
    execute(
        engine, LEAN.format(key="", rest=""),
        'CREATE UNIQUE INDEX ON cmc_price_histories7 ("timestamp", id) INCLUDE (close)',
    )  # fmt: skip
    assert upsert(engine, block(1)) == Counts(inserted=1)


def test_row_that_the_table_refuses(engine: Engine) -> None:
    """A constraint of the user's table stops the file with the server's own message."""
    execute(engine, LEAN.format(key=KEY + ", CHECK (volume < 15)", rest=""))
    with pytest.raises(ASSET_ERRORS, match="violates check constraint"):
        upsert(engine, block(1, 2))
    assert stored(engine, "id") == []


def test_columns_of_a_full_table(engine: Engine) -> None:
    """A table that is created for the prices has every column that can be written."""
    with engine.begin() as connection:
        assert open_prices(connection) >= PROVIDED | {"circulatingsupply", "source_file", "load_ts"}
