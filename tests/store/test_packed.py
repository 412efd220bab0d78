"""Packed averages hold what was computed of some series, and keep the others; each row of the view is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from statements import ask, execute
from store.table_rows import day, times

from refresh.catalog import Leg, by_key
from refresh.core.packing import Lanes, gather
from refresh.core.rows import Rows
from refresh.core.series import Series
from refresh.core.timeframe import DEFAULT_TIMEFRAMES
from refresh.families import ROLLING
from refresh.store.database import read_committed, transaction
from refresh.store.packed import Shelf, replace_shelf
from refresh.store.places import give_places, read_places
from refresh.store.replace import Extent

V2, CAL = (by_key(key).legs[0] for key in ("emas.v2", "emas.cal"))
ROLLING_TIMEFRAMES = [timeframe for timeframe in DEFAULT_TIMEFRAMES if timeframe.belongs_to(ROLLING)]
SERIES = [Series(timeframe, period) for timeframe in ROLLING_TIMEFRAMES[:2] for period in (5, 2)]
PAIRS = [(series.timeframe.tf, series.period) for series in SERIES]
DAYS = [series.timeframe.days_nominal * series.period for series in SERIES]
EARLIEST = DAYS.index(min(DAYS))
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

Key = tuple[int, int, int]
"""Asset, day of January 2024, position of the series."""
Values = tuple[float, float | None, bool]
"""The average, a difference, and whether the day is canonical."""
KEYS = st.tuples(st.sampled_from([1, 2]), st.integers(1, 4), st.integers(0, len(SERIES) - 1))
VALUES = st.tuples(st.sampled_from([1.0, 2.0]), st.sampled_from([None, 0.5, 0.0]), st.booleans())
ROWS = st.dictionaries(KEYS, VALUES, max_size=20)
BEGINS = st.tuples(*[st.none() | st.integers(1, 4)] * 2)


def packed(rows: Mapping[Key, Values], lanes: Lanes) -> Rows:
    """Some values as packed rows, by hand."""
    parts: dict[tuple[int, int], dict[int, Values]] = {}
    of_series = dict(zip(lanes.series.tolist(), lanes.lanes.tolist(), strict=True))
    for (asset, number, series), values in sorted(rows.items()):
        parts.setdefault((asset, number), {})[of_series[series]] = values
    size = len(parts)
    columns: Rows = {name: np.full((size, lanes.width), np.nan) for name in V2.averages[0].columns}
    closed = np.zeros((size, lanes.width), bool)
    for row, part in enumerate(parts.values()):
        for lane, (value, difference, is_closed) in part.items():
            columns["ema"][row, lane] = value
            columns["d1_roll"][row, lane] = np.nan if difference is None else difference
            closed[row, lane] = is_closed
    return {
        "id": np.array([asset for asset, _ in parts], np.int32),
        "ts": times(number for _, number in parts),
        "shelf": np.zeros(size, np.int32),
        "closed": closed,
        **columns,
    }


def put(
    engine: Engine, rows: Mapping[Key, Values], series: list[int], begins: tuple[int | None, int | None] = (None, None)
) -> dict[int, int]:
    """Make the table hold the rows of some series. Returns the values written per asset."""
    with transaction(engine) as connection:
        (lanes,) = read_places(connection, V2).by_shelf([PAIRS[position] for position in series]).values()
        positions = {position: index for index, position in enumerate(series)}
        own = {(asset, number, positions[position]): values for (asset, number, position), values in rows.items()}
        extent = Extent(ids=[1, 2], begins=[None if begin is None else day(begin) for begin in begins], shelf=0)
        shelf = Shelf(lanes=lanes, rows=packed(own, lanes))
        return replace_shelf(connection, V2, extent, shelf, rewrite=False)


def shown(engine: Engine) -> dict[Key, Values]:
    """What the view shows."""
    rows = ask(engine, f"SELECT id, extract(day FROM ts)::int, tf, period, ema, d1_roll, NOT roll FROM {V2.target}")
    keys = [(row[0], row[1], PAIRS.index((row[2], row[3]))) for row in rows]
    assert len(keys) == len(set(keys))
    return {key: (row[4], row[5], row[6]) for key, row in zip(keys, rows, strict=True)}


@pytest.fixture
def placed(engine: Engine) -> Engine:
    """A database in which the series have places, in another order than here."""
    with read_committed(engine) as connection:
        give_places(connection, V2, SERIES)
    return engine


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=ROWS,
    new=ROWS,
    kept=st.sets(KEYS, max_size=20),
    series=st.lists(st.integers(0, len(SERIES) - 1), min_size=1, unique=True),
    begins=BEGINS,
)
def test_any_values_on_any_others(
    placed: Engine,
    old: dict[Key, Values],
    new: dict[Key, Values],
    kept: set[Key],
    series: list[int],
    begins: tuple[int | None, int | None],
) -> None:
    """The series hold the new values from the first day on, and the others theirs; only what differs was written."""

    def is_in(key: Key) -> bool:
        begin = begins[key[0] - 1]
        return key[2] in series and (begin is None or key[1] >= begin)

    put(placed, old, list(range(len(SERIES))))
    assert shown(placed) == old
    execute(placed, f"UPDATE {V2.table} SET ingested_at = :then", then=LONG_AGO)
    new = {key: values for key, values in new.items() if is_in(key)}
    new |= {key: values for key, values in old.items() if key in kept and is_in(key)}
    effect = put(placed, new, series, begins)
    expected = {key: values for key, values in old.items() if not is_in(key)} | new
    assert shown(placed) == expected
    changed = {key for key in old.keys() | expected.keys() if old.get(key) != expected.get(key)}
    written = [key[0] for key in changed if key in new]
    assert effect == {asset: written.count(asset) for asset in set(written)}
    query = f"SELECT id, extract(day FROM ts)::int FROM {V2.table} WHERE ingested_at > :then"
    rewritten = {key[:2] for key in changed}.intersection({key[:2] for key in expected})
    assert set(ask(placed, query, then=LONG_AGO)) == rewritten


def test_arrays_end_with_their_last_value(placed: Engine) -> None:
    """What is not defined at the end takes no room, and what is nowhere defined is NULL."""
    put(placed, {(1, 1, EARLIEST): (1.0, None, True)}, list(range(len(SERIES))))
    assert ask(placed, f"SELECT ema, d1_roll, octet_length(closed) FROM {V2.table}") == [([1.0], None, 8)]


def test_places_are_given_once(engine: Engine) -> None:
    """Series that begin early come first; a place is never given again, even after its series is gone."""
    with read_committed(engine) as connection:
        give_places(connection, V2, SERIES)
    assert ask(engine, f"SELECT place FROM {V2.places} ORDER BY tf_days * period, tf") == [(1,), (2,), (3,), (4,)]
    execute(engine, f"DELETE FROM {V2.places} WHERE place = 4")
    with read_committed(engine) as connection:
        give_places(connection, V2, SERIES)
    assert ask(engine, f"SELECT max(place), count(*) FROM {V2.places}") == [(5, 4)]


@pytest.mark.parametrize("leg", [V2, CAL], ids=["one average", "two averages"])
def test_full_shelves(engine: Engine, leg: Leg) -> None:
    """A row with a value in every lane of every column fits into a page."""
    numbers = f"array_fill(random(), ARRAY[{leg.shelf_width}])"
    columns = [name for average in leg.averages for name in average.columns]
    execute(
        engine,
        f"""INSERT INTO {leg.table} (id, ts, shelf, closed, {", ".join(columns)})
            SELECT 1, now(), 0, decode(repeat('ff', {-(-leg.shelf_width // 8)}), 'hex'),
                   {", ".join([numbers] * len(columns))}""",
    )
    assert ask(engine, f"SELECT pg_relation_size('{leg.table}')") == [(8192,)]


def test_values_of_days_become_rows() -> None:
    """Each day is a row with its values in their lanes."""
    lanes = Lanes(series=np.arange(2), lanes=np.array([0, 2]), others=np.array([False, True, False]))
    values = {"ema": np.array([1.0, 2.0, 3.0]), "closed": np.array([True, False, True])}
    first, rows = gather(times([1, 1, 2]), values, np.array([0, 2, 2]), lanes)
    assert first.tolist() == [0, 2]
    np.testing.assert_array_equal(rows["ema"], [[1.0, np.nan, 2.0], [np.nan, np.nan, 3.0]])
    np.testing.assert_array_equal(rows["closed"], [[True, False, False], [False, False, True]])
