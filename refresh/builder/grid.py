"""Rows -> the arrays of ``core.ema`` and back: days down, assets across, series deep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import TIME, Array, Rows, count, starts
from refresh.core.series import Series


@dataclass(frozen=True, slots=True)
class Grid:
    """The daily closes of a batch as a matrix, and the series of its last axis.

    ``ids`` (assets,) sorted; ``times`` and ``close`` (days, assets), NaT and NaN behind an asset's last day;
    ``tfs`` (timeframes,) sorted labels; ``tf_of`` (series,) the place of each series' timeframe in ``tfs``.
    """

    ids: Array
    times: Array
    close: Array
    tfs: Array
    tf_of: Array
    periods: Array

    def asset(self, ids: Array) -> Array:
        """The column of each id."""
        return np.searchsorted(self.ids, ids)

    def timeframe(self, tfs: Array) -> Array:
        """The place of each label in ``tfs``."""
        return np.searchsorted(self.tfs, tfs)

    def series(self, tfs: Array, periods: Array) -> Array:
        """The series of each (label, period); -1 for one that is not in the grid."""
        known = np.unique(self.periods)
        table = np.full((len(self.tfs), len(known)), -1)
        table[self.tf_of, np.searchsorted(known, self.periods)] = np.arange(len(self.periods))
        place = np.minimum(np.searchsorted(known, periods), len(known) - 1)
        return np.where(known[place] == periods, table[self.timeframe(tfs), place], -1)

    def day(self, ids: Array, times: Array) -> Array:
        """The row of each (id, time); every one is a daily bar of the batch."""
        assets, days = self.asset(ids), np.unique(self.times)
        codes = np.searchsorted(days, self.times) + np.arange(len(self.ids)) * len(days)
        flat = codes.T.ravel()  # grows: within an asset by time, NaT last
        place = np.searchsorted(flat, np.searchsorted(days, times) + assets * len(days))
        return np.asarray(place - assets * len(self.times))

    def spread(self, per_timeframe: Array) -> Array:
        """Values per timeframe (last axis) as values per series."""
        return per_timeframe[..., self.tf_of]


def lay_out(ids: Sequence[int], daily: Rows, series: Sequence[Series]) -> Grid:
    """The grid of the assets ``ids`` from daily rows (id, timestamp, close) sorted by id, timestamp."""
    assets = np.array(sorted(ids), np.int64)
    column = np.searchsorted(assets, daily["id"])
    index = np.arange(count(daily))
    row = index - np.maximum.accumulate(np.where(starts(daily["id"]), index, 0))
    shape = (int(row.max(initial=-1)) + 1, len(assets))
    times, close = np.full(shape, np.datetime64("NaT"), TIME), np.full(shape, np.nan)
    times[row, column], close[row, column] = daily["timestamp"], daily["close"]
    labels = np.array([one.timeframe.tf.encode() for one in series])
    tfs, tf_of = np.unique(labels, return_inverse=True)
    return Grid(assets, times, close, tfs, tf_of, np.array([one.period for one in series]))
