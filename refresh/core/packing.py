"""Packed rows: one per asset, day and shelf, with a lane for each series of the shelf.

A packed row is a row whose columns of values are matrices, (rows, lanes): numbers, NaN where a series has none, and
flags, false there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.compare import equal, partners
from refresh.core.rows import Array, Rows, stack, starts, take


@dataclass(frozen=True, kw_only=True, slots=True)
class Lanes:
    """Some series of a shelf: their positions in a batch and their lanes, both (series,).

    ``others``: the lanes of all other series, bool, of all lanes up to the last of a series. What is in any other lane
    is what is left of a series that is gone.
    """

    series: Array
    lanes: Array
    others: Array

    @property
    def width(self) -> int:
        """The number of lanes up to the last of a series."""
        return len(self.others)


def pack(columns: Mapping[str, Array], defined: Array, of_shelf: Lanes) -> tuple[Array, Array, Rows]:
    """The rows of a shelf from arrays (days, assets, series): the asset and the day of each, and its packed columns.

    A row is there if any series of the shelf is defined. They are in the order of asset, then day.
    """
    is_defined = defined[:, :, of_shelf.series]
    assets, days = np.nonzero(is_defined.any(axis=2).T)
    cells = days[:, None], assets[:, None], of_shelf.series
    is_value = is_defined[days, assets]
    rows: Rows = {}
    for name, values in columns.items():
        rows[name] = _empty(len(days), of_shelf.width, values)
        rows[name][:, of_shelf.lanes] = np.where(is_value, values[cells], _absent(values))
    return assets, days, rows


def _absent(values: Array) -> float | bool:
    return False if values.dtype == bool else np.nan


def _empty(rows: int, width: int, like: Array) -> Array:
    return np.full((rows, width), _absent(like))


def laid_over(stored: Rows, computed: Rows, of_shelf: Lanes, keys: Sequence[str]) -> Rows:
    """What should be stored: computed lanes, and beside them the lanes of all other series as they are stored.

    A row in which no series is left is left out.
    """
    partner, is_paired = partners(stored, computed, keys)
    others = of_shelf.others
    values = [name for name, column in computed.items() if column.ndim > 1]
    rows = dict(computed)
    kept = take(stored, ~is_paired)
    for name in values:
        rows[name] = computed[name].copy()
        rows[name][np.ix_(partner[is_paired], others)] = stored[name][np.ix_(is_paired, others)]
        kept[name][:, ~others] = _absent(kept[name])
    rows = stack([rows, {name: kept[name] for name in rows}])
    return take(rows, _has_values(rows))


def _has_values(rows: Rows) -> Array:
    is_value = [(~np.isnan(column)).any(axis=1) for column in rows.values() if column.ndim > 1 and column.dtype != bool]
    return np.asarray(np.logical_or.reduce(is_value))


def gather(days: Array, values: Mapping[str, Array], lanes: Array, of_shelf: Lanes) -> tuple[Array, Rows]:
    """Single values of one asset as packed rows, a row per day: the index of its first value, and packed columns.

    ``days`` ascending, ``values`` by column and ``lanes``, all (values,).
    """
    is_first = starts(days)
    row = np.cumsum(is_first) - 1
    packed: Rows = {}
    for name, column in values.items():
        packed[name] = _empty(row[-1] + 1, of_shelf.width, column)
        packed[name][row, lanes] = column
    return np.flatnonzero(is_first), packed


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """Stored rows that go, (stored,), and the lanes that are new or others than stored, (rows, lanes), bool."""

    stale: Array
    lanes: Array

    @property
    def fresh(self) -> Array:
        """The rows that have to be written, (rows,), bool."""
        return np.asarray(self.lanes.any(axis=1))


def changed(stored: Rows, rows: Rows, keys: Sequence[str]) -> Changed:
    """Compare packed rows by key, lane for lane; NaN equals NaN."""
    values = [name for name, column in rows.items() if column.ndim > 1]
    partner, is_paired = partners(stored, rows, keys)
    lanes = np.ones(rows[values[0]].shape, bool)
    if is_paired.any():
        is_equal = [equal(stored[name][is_paired], rows[name][partner[is_paired]]) for name in values]
        lanes[partner[is_paired]] = ~np.logical_and.reduce(is_equal)
    stale = ~is_paired
    stale[is_paired] = lanes[partner[is_paired]].any(axis=1)
    return Changed(stale=stale, lanes=lanes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """The series of packed rows: the row and the series of each value, and the values by column."""

    row: Array
    series: Array
    columns: Rows


def unpack(rows: Rows, is_there: Array, of_shelf: Lanes) -> Unpacked:
    """The series of packed rows, row by row. ``is_there`` (rows, lanes): which of them a row has."""
    row, series = np.nonzero(is_there[:, of_shelf.lanes])
    cells = row, of_shelf.lanes[series]
    columns = {name: column[cells] for name, column in rows.items() if column.ndim > 1}
    return Unpacked(row=row, series=series, columns=columns)


def written(rows: Rows, lanes: Array, value: str) -> dict[int, int]:
    """The number of values per asset in changed lanes. ``value``: the column that every series has."""
    numbers = (lanes & ~np.isnan(rows[value])).sum(axis=1)
    ids, of_row = np.unique(rows["id"], return_inverse=True)
    totals = np.bincount(of_row, numbers, len(ids)).astype(np.int64)
    return {id: number for id, number in zip(ids.tolist(), totals.tolist(), strict=True) if number}
