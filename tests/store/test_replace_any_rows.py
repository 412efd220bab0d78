"""Any rows on any others: the table holds the new rows afterwards, and only what differs was touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from store.replacing import BOTH, PAIRS, SNAPSHOTS, Key, Marks, Values, add_followers, part_of, put, snapshots, stored
from store.table_rows import day

from refresh.store.replace import Extent


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database in which other tables follow the bars."""
    add_followers(engine)
    return engine


@dataclass(frozen=True)
class Part:
    """A part of a table: all days from a first one on, or from the beginning, of assets 1 and 2 and of some pairs."""

    begins: tuple[int | None, int | None]
    pairs: list[tuple[str, int]]

    def __contains__(self, key: Key) -> bool:
        asset, number, *pair = key
        begin = self.begins[asset - 1]
        return tuple(pair) in self.pairs and (begin is None or number >= begin)

    def extent(self) -> Extent:
        """The part as an extent."""
        return part_of(self.pairs, ids=[1, 2], begins=[begin and day(begin) for begin in self.begins])


SOME_VALUES = st.tuples(st.sampled_from([1.0, 2.0, None]), st.sampled_from([1.0, None]))
KEYS = st.tuples(st.sampled_from([1, 2]), st.integers(1, 4), st.sampled_from(["2D", "3D"]), st.sampled_from([10, 14]))
PARTS = st.builds(
    Part,
    st.tuples(*[st.none() | st.integers(1, 4)] * 2),
    st.lists(st.sampled_from(PAIRS), min_size=1, unique=True),
)
SOME_ROWS = st.dictionaries(KEYS, SOME_VALUES, max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=SOME_ROWS, new=SOME_ROWS, kept=st.sets(KEYS, max_size=20), part=PARTS)
def test_any_rows_on_any_others(
    engine: Engine, old: dict[Key, Values], new: dict[Key, Values], kept: set[Key], part: Part
) -> None:
    """The part holds the new rows afterwards, and only what differs was written and marked."""
    new = {key: values for key, values in new.items() if key in part}
    new |= {key: values for key, values in old.items() if key in kept and key in part}
    put(engine, SNAPSHOTS, snapshots(old), BOTH)
    before = stored(engine)
    effect = put(engine, SNAPSHOTS, snapshots(new), part.extent())
    after = stored(engine)

    expected = {key: values for key, (values, _) in before.items() if key not in part} | new
    assert {key: values for key, (values, _) in after.items()} == expected
    same = {key for key, (values, _) in before.items() if expected.get(key) == values}
    assert {key for key, row in after.items() if before.get(key) == row} == same
    written = [key[0] for key in new if key not in same]
    assert effect.written == {asset: written.count(asset) for asset in set(written)}
    assert effect.deleted == len(before.keys() - same)
    changed = {key for key in before.keys() | new.keys() if followed(before, key) != followed(after, key)}
    assert effect.marks == first_days(changed)


def followed(rows: Mapping[Key, tuple[Values, str]], key: Key) -> float | str | None:
    """The value that others follow; a row that does not exist differs from every value."""
    if key not in rows:
        return "absent"
    (value, _), _ = rows[key]
    return value


def first_days(keys: Iterable[Key]) -> Marks:
    """The first day of each asset and timeframe among the keys of snapshots."""
    first: Marks = {}
    for asset, number, tf, period in sorted(keys):
        first.setdefault((asset, f"{tf}-{period}"), day(number))
    return first
