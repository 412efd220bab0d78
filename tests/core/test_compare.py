"""Stored rows against computed ones: a set as the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.compare import Difference, difference, earliest, rows_in_order
from refresh.core.rows import Array, Rows

Record = tuple[Any, ...]
KEYS = ("id", "timestamp", "tf")
VALUES = ("close", "closed_at", "tf_days", "is_partial_end", "name")
TYPES = {
    "id": "i4",
    "timestamp": "M8[us]",
    "tf": "S32",
    "close": "f8",
    "closed_at": "M8[us]",
    "tf_days": "i4",
    "is_partial_end": "?",
    "name": "S5",
}
OTHER_TYPES = TYPES | {"id": "i8", "timestamp": "M8[ms]", "tf": "S17", "tf_days": "i8", "name": "S9"}

TIMES = st.sampled_from(["2024-02-28T23:59:59.999", "2024-02-29T23:59:59.999", "1969-12-31T00:00", "NaT"])
KEY = st.tuples(st.integers(1, 3), TIMES, st.sampled_from([b"2D", b"1W_CAL_ANCHOR_ISO"]))
CLOSES = st.sampled_from([0.0, -0.0, 0.3, 0.1 + 0.2, float("nan"), float("inf"), -float("inf"), 5e-324])
VALUE = st.tuples(CLOSES, TIMES, st.integers(7, 8), st.booleans(), st.sampled_from([b"", b"Coin", b"\xff"]))
ROWS = st.dictionaries(KEY, VALUE, max_size=25).map(lambda rows: [(*key, *value) for key, value in rows.items()])


def as_rows(records: Sequence[Record], types: dict[str, str]) -> Rows:
    """Records as columns of these types."""
    rows: Rows = {}
    for position, (name, kind) in enumerate(types.items()):
        rows[name] = np.array([record[position] for record in records], kind)
    return rows


def plain(value: Any) -> Any:
    """A value that equals itself, also where it is NULL."""
    is_nan = isinstance(value, float) and np.isnan(value)
    return None if is_nan or value == "NaT" else value


def oracle(stored: list[Record], computed: list[Record], values: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """The masks of rows to delete and to write, by looking up each row on the other side."""
    old = [selected(record, values) for record in stored]
    new = [selected(record, values) for record in computed]
    return [row not in set(new) for row in old], [row not in set(old) for row in new]


def selected(record: Record, values: Sequence[str]) -> Record:
    """The key and some values of a record."""
    names = list(TYPES)
    return tuple(plain(record[names.index(name)]) for name in (*KEYS, *values))


def masks(rows: Difference) -> tuple[list[bool], list[bool]]:
    """The two masks as lists."""
    assert rows.stale.dtype == rows.fresh.dtype == np.bool_
    return rows.stale.tolist(), rows.fresh.tolist()


@settings(deadline=None)
@given(ROWS, ROWS, st.sets(st.sampled_from(VALUES)).map(sorted))
def test_difference_equals_a_set(stored: list[Record], computed: list[Record], values: list[str]) -> None:
    """Rows stay where a row of the same key has the same values. Others are deleted or written."""
    rows = difference(as_rows(stored, TYPES), as_rows(computed, OTHER_TYPES), KEYS, values)
    assert masks(rows) == oracle(stored, computed, values)


@settings(deadline=None)
@given(ROWS, st.data())
def test_difference_of_a_revision(stored: list[Record], data: st.DataObject) -> None:
    """Of rows that came back in another order, some of them changed, only the changed ones are affected."""
    positions = st.integers(0, len(VALUES) - 1)
    computed = []
    for record in data.draw(st.permutations(stored)):
        values = list(record[len(KEYS) :])
        if data.draw(st.booleans()):
            position = data.draw(positions)
            values[position] = data.draw(VALUE)[position]
        computed.append((*record[: len(KEYS)], *values))
    rows = difference(as_rows(stored, TYPES), as_rows(computed, TYPES), KEYS, VALUES)
    assert masks(rows) == oracle(stored, computed, VALUES)


@settings(deadline=None)
@given(ROWS, ROWS)
def test_applying_a_difference(stored: list[Record], computed: list[Record]) -> None:
    """What stays of the stored rows and what is written are together the computed rows, no key twice."""
    rows = difference(as_rows(stored, TYPES), as_rows(computed, TYPES), KEYS, VALUES)
    kept = [record for record, is_stale in zip(stored, rows.stale, strict=True) if not is_stale]
    written = [record for record, is_fresh in zip(computed, rows.fresh, strict=True) if is_fresh]
    assert sorted(map(comparable, kept + written)) == sorted(map(comparable, computed))


def comparable(record: Record) -> str:
    """A record as text, without the sign of a zero."""
    return repr(tuple(map(plain, record))).replace("-0.0", "0.0")


ROW = (1, "2024-02-29", b"2D", 1.0, "NaT", 7, False, b"Coin")


@pytest.mark.parametrize(
    ("name", "old", "new", "is_changed"),
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
def test_values_that_are_the_same(name: str, old: Any, new: Any, *, is_changed: bool) -> None:
    """NULL equals NULL and nothing else, zero equals minus zero, and every other bit counts."""
    position = list(TYPES).index(name)
    stored = (*ROW[:position], old, *ROW[position + 1 :])
    computed = (*ROW[:position], new, *ROW[position + 1 :])
    rows = difference(as_rows([stored], TYPES), as_rows([computed], TYPES), KEYS, VALUES)
    assert masks(rows) == ([is_changed], [is_changed])


def test_masked_values_are_null() -> None:
    """A computed NULL that is masked, as in rejects, equals a stored one."""
    stored, computed = as_rows([ROW], TYPES), as_rows([ROW], TYPES)
    stored["close"] = np.array([np.nan])
    computed["close"] = np.ma.MaskedArray([np.nan], mask=[True])
    assert masks(difference(stored, computed, KEYS, VALUES)) == ([False], [False])


def test_a_key_that_is_null() -> None:
    """Rows without a time have the same key, as rejects do."""
    record = (*ROW[:1], "NaT", *ROW[2:])
    rows = difference(as_rows([record, ROW], TYPES), as_rows([ROW, record], TYPES), KEYS, VALUES)
    assert masks(rows) == ([False, False], [False, False])


def test_empty_sides() -> None:
    """Nothing stored: all is written. Nothing computed: all is deleted. Neither: nothing happens."""
    none, some = as_rows([], TYPES), as_rows([ROW], TYPES)
    assert masks(difference(none, some, KEYS, VALUES)) == ([], [True])
    assert masks(difference(some, none, KEYS, VALUES)) == ([True], [])
    assert masks(difference(none, none, KEYS, VALUES)) == ([], [])


def test_many_distinct_keys() -> None:
    """Keys of hundreds of thousands of rows are distinguished."""
    size = 200_000
    numbers = np.arange(size)
    stored: Rows = {
        "id": numbers.astype(np.int32),
        "timestamp": numbers.astype("M8[us]"),
        "tf": numbers.astype("S32"),
        "close": np.zeros(size),
    }
    changed = stored | {"close": np.where(numbers % 1000 == 3, 1.0, 0.0)}
    computed = {name: column[::-1] for name, column in changed.items()}
    rows = difference(stored, computed, KEYS, ["close"])
    assert list(np.flatnonzero(rows.stale)) == list(range(3, size, 1000))
    assert list(np.flatnonzero(rows.fresh[::-1])) == list(range(3, size, 1000))


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_rows_in_order(stored: list[Record], random: Random) -> None:
    """Rows are sorted by their key, whatever their order."""
    keyed = [record for record in stored if record[1] != "NaT"]
    shuffled = as_rows(random.sample(keyed, len(keyed)), TYPES)
    expected = as_rows(sorted(keyed, key=lambda record: (record[0], np.datetime64(record[1]), record[2])), TYPES)
    rows = rows_in_order(shuffled, KEYS)
    assert {name: column.tobytes() for name, column in rows.items()} == {
        name: column.tobytes() for name, column in expected.items()
    }


# The earliest time of each group


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([b"2D", b"3D", b""]), st.integers(-5, 5)), max_size=30))
def test_earliest(records: list[tuple[int, bytes, int]]) -> None:
    """Each distinct group comes once, in order, with its earliest time."""
    ids = np.array([record[0] for record in records], "i4")
    tfs = np.array([record[1] for record in records], "S8")
    times = np.array([record[2] for record in records], "M8[us]")
    expected: dict[tuple[int, bytes], int] = {}
    for asset, tf, time in records:
        expected[asset, tf] = min(time, expected.get((asset, tf), time))
    groups = zip(*(column.tolist() for column in as_integers(earliest(times, ids, tfs))), strict=True)
    assert list(groups) == [(*group, time) for group, time in sorted(expected.items())]


def as_integers(columns: tuple[Array, ...]) -> list[Array]:
    """Columns, the last of them as integers."""
    return [*columns[:-1], columns[-1].astype(int)]


def test_earliest_of_one_column() -> None:
    """A group may be one column; its type and that of the times stay."""
    times: Array = np.array(["2024-03-02", "2024-03-01", "2024-03-05"], "M8[us]")
    ids, firsts = earliest(times, np.array([9, 9, 4], np.int32))
    assert ids.tolist() == [4, 9]
    assert ids.dtype == np.int32
    assert firsts.dtype == times.dtype
    assert [str(time)[:10] for time in firsts] == ["2024-03-05", "2024-03-01"]


def test_earliest_of_nothing() -> None:
    """No rows have no groups."""
    columns = earliest(np.array([], "M8[us]"), np.array([], np.int32), np.array([], "S8"))
    assert [len(column) for column in columns] == [0, 0, 0]
