"""Stored rows against computed ones: which to delete and which to write, so that the computed ones are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import Array, Rows, count, starts, take


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Masks of the stored rows to delete and of the computed rows to write. A changed row is in both."""

    stale: Array
    fresh: Array


def difference(stored: Rows, computed: Rows, keys: Sequence[str], values: Sequence[str]) -> Difference:
    """Compare rows by key, value for value; NULL equals NULL. Keys are unique on either side, in any order."""
    fresh = np.ones(count(computed), bool)
    if not count(stored):
        return Difference(stale=np.zeros(0, bool), fresh=fresh)
    partner, is_equal = partners(stored, computed, keys)
    for name in values:
        old = stored[name][is_equal]
        new = computed[name][partner[is_equal]]
        is_equal[is_equal] = equal(old, new)
    fresh[partner[is_equal]] = False
    return Difference(stale=~is_equal, fresh=fresh)


def partners(stored: Rows, computed: Rows, keys: Sequence[str]) -> tuple[Array, Array]:
    """Per stored row, the index of the computed row with the same key, and whether there is one."""
    size = count(stored)
    has_same_keys = all(np.array_equal(stored[key], computed[key]) for key in keys)
    if has_same_keys:  # the usual case, recognised without sorting
        return np.arange(size), np.ones(size, bool)
    old, new = _codes(stored, computed, keys)
    if not len(new):
        return np.zeros(size, np.int64), np.zeros(size, bool)
    order = np.argsort(new)
    insertion = np.searchsorted(new, old, sorter=order)
    partner = order[np.minimum(insertion, len(new) - 1)]
    return partner, new[partner] == old


def _codes(stored: Rows, computed: Rows, keys: Sequence[str]) -> tuple[Array, Array]:
    """A whole number per row that stands for its key, stored and computed; equal for equal keys alone."""
    size = count(stored)
    codes = np.zeros(size + count(computed), np.int64)
    for key in keys:
        both = np.concatenate([stored[key], computed[key]])
        distinct, code = np.unique(both, return_inverse=True)
        codes = codes * len(distinct) + code
    return codes[:size], codes[size:]


def rows_in_order(rows: Rows, keys: Sequence[str]) -> Rows:
    """The rows, sorted by their key."""
    return take(rows, np.lexsort([rows[key] for key in reversed(keys)]))


def equal(left: Array, right: Array) -> Array:
    """Which values are the same; NULL equals NULL."""
    left, right = np.ma.getdata(left), np.ma.getdata(right)
    is_same = left == right
    if left.dtype.kind == "f":
        is_same |= np.isnan(left) & np.isnan(right)
    elif left.dtype.kind == "M":
        is_same |= np.isnat(left) & np.isnat(right)
    return np.asarray(is_same)


def earliest(times: Array, *groups: Array) -> tuple[Array, ...]:
    """The earliest time of each group: the distinct groups' columns, then the times."""
    order = np.lexsort((times, *reversed(groups)))
    columns = [column[order] for column in (*groups, times)]
    is_first = starts(*columns[:-1])
    return tuple(column[is_first] for column in columns)
