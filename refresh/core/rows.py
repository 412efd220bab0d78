"""Rows as columns: a dict of equally long 1-d arrays, the one shape in which data travels.

Times are ``datetime64[us]`` in UTC, days ``datetime64[D]``, text is UTF-8 in fixed-width bytes (``S``).
NULL is NaN, NaT or ``NULL_TEXT``; integers and booleans are never NULL.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = dict[str, Array]

NULL_TEXT = b"\xff"
"""A byte that UTF-8 never holds."""

TIME = "M8[us]"
DAY = "M8[D]"


def count(rows: Mapping[str, Array]) -> int:
    """The number of rows; 0 without columns."""
    return len(next(iter(rows.values()))) if rows else 0


def take(rows: Mapping[str, Array], where: Array | slice) -> Rows:
    """The rows that a mask, an array of indices or a slice picks, in its order."""
    return {name: column[where] for name, column in rows.items()}


def stack(parts: Sequence[Mapping[str, Array]]) -> Rows:
    """The rows of all parts, one after another. The parts have the same columns; at least one is given."""
    return {name: _joined(parts, name) for name in parts[0]}


def _joined(parts: Sequence[Mapping[str, Array]], name: str) -> Array:
    return np.concatenate([part[name] for part in parts])


def merge(parts: Sequence[MutableMapping[str, Array]], keys: Sequence[str]) -> Rows:
    """The rows of all parts, sorted by ``keys``. Empties the parts, so that one column at a time is in memory twice."""
    order = np.lexsort([_joined(parts, key) for key in reversed(keys)])
    merged: Rows = {}
    for name in tuple(parts[0]):
        columns = [part.pop(name) for part in parts]
        merged[name] = np.concatenate(columns)[order]
    return merged


def starts(*keys: Array) -> Array:
    """Where a new run of equal keys begins, shape (rows,), bool; the first row always begins one."""
    is_first = np.zeros(len(keys[0]), bool)
    is_first[:1] = True
    for key in keys:
        is_first[1:] |= key[1:] != key[:-1]
    return is_first


def run_heads(*keys: Array) -> Array:
    """Per row, the index of the first row of its run of equal keys, shape (rows,)."""
    row = np.arange(len(keys[0]))
    return np.maximum.accumulate(np.where(starts(*keys), row, 0))


def positions(*keys: Array) -> Array:
    """Per row, its position in its run of equal keys, counted from 0, shape (rows,)."""
    return np.arange(len(keys[0])) - run_heads(*keys)


def tally(ids: Array) -> dict[int, int]:
    """The number of rows of each asset."""
    distinct, counts = np.unique(ids, return_counts=True)
    return dict(zip(distinct.tolist(), counts.tolist(), strict=True))
