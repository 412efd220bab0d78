"""Stored rows against computed ones: a dictionary as the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.compare import Difference, difference, earliest
from refresh.core.rows import Array, Rows, count

if TYPE_CHECKING:
    from collections.abc import Sequence

Record = tuple[Any, ...]
KEYS = ("id", "timestamp", "tf")
VALUES = ("close", "closed_at", "tf_days", "is_partial_end", "name")
TYPES = dict(zip((*KEYS, *VALUES), ("i4", "M8[us]", "S32", "f8", "M8[us]", "i4", "?", "S5"), strict=True))
OTHER_TYPES = TYPES | {"id": "i8", "timestamp": "M8[ms]", "tf": "S17", "tf_days": "i8", "name": "S9"}

TIMES = st.sampled_from(["2024-02-28T23:59:59.999", "2024-02-29T23:59:59.999", "1969-12-31T00:00", "NaT"])
KEY = st.tuples(st.integers(1, 3), TIMES, st.sampled_from([b"2D", b"1W_CAL_ANCHOR_ISO"]))
CLOSES = st.sampled_from([0.0, -0.0, 0.3, 0.1 + 0.2, float("nan"), float("inf"), -float("inf"), 5e-324])
VALUE = st.tuples(CLOSES, TIMES, st.integers(7, 8), st.booleans(), st.sampled_from([b"", b"Coin", b"\xff"]))
ROWS = st.dictionaries(KEY, VALUE, max_size=25).map(lambda rows: [(*key, *value) for key, value in rows.items()])


def as_rows(records: Sequence[Record], types: dict[str, str]) -> Rows:
    """Records as columns of these types."""
    return {name: np.array([record[place] for record in records], kind)
            for place, (name, kind) in enumerate(types.items())}  # fmt: skip


def plain(value: Any) -> Any:
    """A value that equals itself, also where it is NULL."""
    return None if value == "NaT" or (isinstance(value, float) and np.isnan(value)) else value


def oracle(stored: list[Record], computed: list[Record], values: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """The masks of rows to delete and to write, by looking up each row's key on the other side."""
    places = [*range(len(KEYS)), *(list(TYPES).index(name) for name in values)]
    old, new = ([tuple(plain(record[place]) for place in places) for record in rows] for rows in (stored, computed))
    return [row not in set(new) for row in old], [row not in set(old) for row in new]


def masks(found: Difference) -> tuple[list[bool], list[bool]]:
    """The two masks as lists."""
    assert found.stale.dtype == found.fresh.dtype == np.bool_
    return found.stale.tolist(), found.fresh.tolist()


@settings(deadline=None)
@given(ROWS, ROWS, st.sets(st.sampled_from(VALUES)).map(sorted))
def test_difference_equals_a_dictionary(stored: list[Record], computed: list[Record], values: list[str]) -> None:
    """Rows stay where a row of the same key holds the same values, and else go or are written."""
    found = difference(as_rows(stored, TYPES), as_rows(computed, OTHER_TYPES), KEYS, values)
    assert masks(found) == oracle(stored, computed, values)


@settings(deadline=None)
@given(ROWS, st.data())
def test_difference_of_a_revision(stored: list[Record], data: st.DataObject) -> None:
    """Of rows that came back in another order, some of them changed, only the changed ones are touched."""
    names = st.integers(0, len(VALUES) - 1)
    computed = []
    for record in data.draw(st.permutations(stored)):
        values = list(record[len(KEYS) :])
        if data.draw(st.booleans()):
            place = data.draw(names)
            values[place] = data.draw(VALUE)[place]
        computed.append((*record[: len(KEYS)], *values))
    found = difference(as_rows(stored, TYPES), as_rows(computed, TYPES), KEYS, VALUES)
    assert masks(found) == oracle(stored, computed, VALUES)


@settings(deadline=None)
@given(ROWS, ROWS)
def test_applying_a_difference(stored: list[Record], computed: list[Record]) -> None:
    """What stays of the stored rows and what is written together are the computed rows, no key twice."""
    found = difference(as_rows(stored, TYPES), as_rows(computed, TYPES), KEYS, VALUES)
    kept = [record for record, stale in zip(stored, found.stale, strict=True) if not stale]
    written = [record for record, fresh in zip(computed, found.fresh, strict=True) if fresh]
    result = sorted((tuple(map(plain, record)) for record in kept + written), key=repr)
    expected = sorted((tuple(map(plain, record)) for record in computed), key=repr)
    assert len(result) == len(expected)
    assert all(one == other or same_zero(one, other) for one, other in zip(result, expected, strict=True))


def same_zero(one: Record, other: Record) -> bool:
    """Whether two rows differ in the sign of a zero at most."""
    return repr(one).replace("-0.0", "0.0") == repr(other).replace("-0.0", "0.0")


ROW = (1, "2024-02-29", b"2D", 1.0, "NaT", 7, False, b"Coin")


@pytest.mark.parametrize(
    ("name", "one", "other", "changed"),
    [
        ("close", 0.0, -0.0, False),
        ("close", float("nan"), float("nan"), False),
        ("close", float("nan"), 0.0, True),
        ("close", 0.0, float("nan"), True),
        ("close", float("inf"), float("inf"), False),
        ("close", 0.3, 0.1 + 0.2, True),
        ("closed_at", "NaT", "NaT", False),
        ("closed_at", "NaT", "1970-01-01", True),
        ("is_partial_end", True, False, True),
        ("name", b"\xff", b"", True),
        ("name", b"\xff", b"\xff", False),
    ],
)
def test_values_that_are_the_same(name: str, one: Any, other: Any, *, changed: bool) -> None:
    """NULL equals NULL and nothing else, zero equals minus zero, and every other bit counts."""
    place = list(TYPES).index(name)
    stored, computed = ((*ROW[:place], value, *ROW[place + 1 :]) for value in (one, other))
    found = difference(as_rows([stored], TYPES), as_rows([computed], TYPES), KEYS, VALUES)
    assert masks(found) == ([changed], [changed])


def test_masked_values_are_null() -> None:
    """A computed NULL that is masked, as in rejects, equals a stored one."""
    stored, computed = as_rows([ROW], TYPES), as_rows([ROW], TYPES)
    stored["close"] = np.array([np.nan])
    computed["close"] = np.ma.MaskedArray([np.nan], mask=[True])
    assert masks(difference(stored, computed, KEYS, VALUES)) == ([False], [False])


def test_a_key_that_is_null() -> None:
    """Rows without a time have the same key, as rejects do."""
    record = (*ROW[:1], "NaT", *ROW[2:])
    found = difference(as_rows([record, ROW], TYPES), as_rows([ROW, record], TYPES), KEYS, VALUES)
    assert masks(found) == ([False, False], [False, False])


def test_empty_sides() -> None:
    """Nothing stored: all is written; nothing computed: all goes; neither: nothing happens."""
    none, some = as_rows([], TYPES), as_rows([ROW], TYPES)
    assert masks(difference(none, some, KEYS, VALUES)) == ([], [True])
    assert masks(difference(some, none, KEYS, VALUES)) == ([True], [])
    assert masks(difference(none, none, KEYS, VALUES)) == ([], [])


def test_many_distinct_keys() -> None:
    """Keys of hundreds of thousands of rows are told apart."""
    size = 200_000
    rows: Rows = {
        "id": np.arange(size, dtype=np.int32), "timestamp": np.arange(size).astype("M8[us]"),
        "tf": np.arange(size).astype("S32"), "close": np.zeros(size),
    }  # fmt: skip
    changed = rows | {"close": np.where(np.arange(size) % 1000 == 3, 1.0, 0.0)}
    found = difference(rows, {name: column[::-1] for name, column in changed.items()}, KEYS, ["close"])
    assert list(np.flatnonzero(found.stale)) == list(range(3, size, 1000))
    assert list(np.flatnonzero(found.fresh[::-1])) == list(range(3, size, 1000))


# The earliest time of each group


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([b"2D", b"3D", b""]), st.integers(-5, 5)), max_size=30))
def test_earliest(records: list[tuple[int, bytes, int]]) -> None:
    """Each distinct group comes once, in order, with its earliest time."""
    ids, tfs, times = (np.array([record[place] for record in records], kind)
                       for place, kind in enumerate(("i4", "S8", "M8[us]")))  # fmt: skip
    expected: dict[tuple[int, bytes], int] = {}
    for asset, tf, time in records:
        expected[asset, tf] = min(time, expected.get((asset, tf), time))
    found = earliest(times, ids, tfs)
    assert list(zip(found[0].tolist(), found[1].tolist(), found[2].astype(int).tolist(), strict=True)) == [
        (*group, time) for group, time in sorted(expected.items())
    ]


def test_earliest_of_one_column() -> None:
    """A group may be one column; its type and the times' stay."""
    times: Array = np.array(["2024-03-02", "2024-03-01", "2024-03-05"], "M8[us]")
    ids, firsts = earliest(times, np.array([9, 9, 4], np.int32))
    assert ids.tolist() == [4, 9]
    assert ids.dtype == np.int32
    assert [str(time)[:10] for time in firsts] == ["2024-03-05", "2024-03-01"]


def test_earliest_of_nothing() -> None:
    """No rows have no groups."""
    found = earliest(np.array([], "M8[us]"), np.array([], np.int32), np.array([], "S8"))
    assert [count({"": column}) for column in found] == [0, 0, 0]
