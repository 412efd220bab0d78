"""Rows as columns: runs of equal keys, positions in them, and numbers of rows."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.rows import Array, Rows, count, merge, positions, run_heads, stack, starts, take, tally

KEYS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from([b"2D", b"7D", b"\xff"])), max_size=30)


def columns(keys: list[tuple[int, bytes]]) -> tuple[Array, Array]:
    """Two key columns."""
    ids = np.array([key[0] for key in keys], np.int32)
    return ids, np.array([key[1] for key in keys], "S8")


def runs(keys: list[tuple[int, bytes]]) -> list[list[int]]:
    """The indices of each run of equal keys."""
    indices = range(len(keys))
    return [list(run) for _, run in groupby(indices, key=keys.__getitem__)]


@settings(deadline=None)
@given(KEYS)
def test_runs_of_equal_keys(keys: list[tuple[int, bytes]]) -> None:
    """Rows know whether a run begins with them, where theirs begins, and their position in it."""
    expected = [(index == run[0], run[0], position) for run in runs(keys) for position, index in enumerate(run)]
    both = columns(keys)
    facts = zip(starts(*both).tolist(), run_heads(*both).tolist(), positions(*both).tolist(), strict=True)
    assert list(facts) == expected


def test_a_key_that_comes_again_begins_another_run() -> None:
    """A run ends with the first other key, even if the key returns."""
    ids = np.array([7, 7, 3, 7, 7, 7])
    assert run_heads(ids).tolist() == [0, 0, 2, 3, 3, 3]
    assert positions(ids).tolist() == [0, 1, 0, 0, 1, 2]


def test_no_rows_have_no_runs() -> None:
    """Without rows there is nothing to begin, to count or to tally."""
    ids = np.zeros(0, np.int32)
    assert [len(column) for column in (starts(ids), run_heads(ids), positions(ids))] == [0, 0, 0]
    assert tally(ids) == {}
    assert count({}) == count({"id": ids}) == 0


@settings(deadline=None)
@given(st.lists(st.integers(-3, 2_000_000_000), max_size=30))
def test_tally(ids: list[int]) -> None:
    """The number of rows of each asset, in order, as integers of Python's."""
    numbers = tally(np.array(ids, np.int64))
    assert numbers == Counter(ids)
    assert list(numbers) == sorted(numbers)
    assert {type(value) for pair in numbers.items() for value in pair} <= {int}


@settings(deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=4))
def test_merge_equals_sorting_all_rows(parts: list[list[tuple[int, bytes]]]) -> None:
    """All rows of all parts come in the order of their keys, equal ones as they came; the parts are emptied."""
    everything = [key for part in parts for key in part]
    rows: list[Rows] = []
    first = 0
    for part in parts:
        ids, tfs = columns(part)
        rows.append({"id": ids, "tf": tfs, "number": np.arange(first, first + len(part))})
        first += len(part)
    stacked = stack(rows)
    merged = merge(rows, ("id", "tf"))
    expected = sorted(range(len(everything)), key=everything.__getitem__)
    assert merged["number"].tolist() == expected
    for name, column in take(stacked, np.array(expected, int)).items():
        assert merged[name].tolist() == column.tolist()
    assert rows == [{}] * len(parts)
