"""Stored rows against computed ones: what has to be deleted and written so that the table holds the computed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import Array, Rows, count, starts, take


@dataclass(frozen=True, slots=True)
class Difference:
    """Which stored rows have to go and which computed rows have to be written; a changed row is both. Masks."""

    stale: Array
    fresh: Array


def difference(stored: Rows, computed: Rows, keys: Sequence[str], values: Sequence[str]) -> Difference:
    """Compare rows by key, value for value; NULL equals NULL. Keys are unique on either side, in any order."""
    if not count(stored):
        return Difference(np.zeros(0, bool), np.ones(count(computed), bool))
    partner, is_equal = _partners(stored, computed, keys)
    for name in values:
        is_equal[is_equal] = _equal(stored[name][is_equal], computed[name][partner[is_equal]])
    fresh = np.ones(count(computed), bool)
    fresh[partner[is_equal]] = False
    return Difference(~is_equal, fresh)


def _partners(stored: Rows, computed: Rows, keys: Sequence[str]) -> tuple[Array, Array]:
    """Per stored row, the index of the computed row with the same key, and whether there is one."""
    size = count(stored)
    if all(np.array_equal(stored[key], computed[key]) for key in keys):  # the usual case, recognised without sorting
        return np.arange(size), np.ones(size, bool)
    old, new = _codes(stored, computed, keys)
    if not len(new):
        return np.zeros(size, np.int64), np.zeros(size, bool)
    order = np.argsort(new)
    partner = order[np.minimum(np.searchsorted(new, old, sorter=order), len(new) - 1)]
    return partner, new[partner] == old


def _codes(stored: Rows, computed: Rows, keys: Sequence[str]) -> tuple[Array, Array]:
    """One whole number per row and side that stands for its key."""
    size = count(stored)
    codes = np.zeros(size + count(computed), np.int64)
    for key in keys:
        distinct, code = np.unique(np.concatenate([stored[key], computed[key]]), return_inverse=True)
        codes = codes * len(distinct) + code
    return codes[:size], codes[size:]


def rows_in_order(rows: Rows, keys: Sequence[str]) -> Rows:
    """The rows, sorted by their key."""
    return take(rows, np.lexsort([rows[key] for key in reversed(keys)]))


def _equal(left: Array, right: Array) -> Array:
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
    ordered = [group[order] for group in groups]
    is_first = starts(*ordered)
    return (*(group[is_first] for group in ordered), times[order][is_first])
