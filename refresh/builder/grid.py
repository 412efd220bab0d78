"""Rows -> the arrays of ``core.ema`` and back: days down, assets across, series deep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import TIME, Array, Rows, run_heads, starts
from refresh.core.series import Series


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The daily prices of a batch as a matrix, and the series of its last axis.

    ``ids`` (assets,) sorted; ``times`` (days, assets), NaT after an asset's last day; ``price`` (days, assets,
    timeframes), NaN there, with a last axis of 1 where all timeframes have the same price. ``tfs`` (timeframes,)
    sorted labels, ``nominal`` (timeframes,) their days; ``tf_of`` (series,) the index of each series' timeframe.
    """

    ids: Array
    times: Array
    price: Array
    tfs: Array
    nominal: Array
    tf_of: Array
    periods: Array

    @property
    def labels(self) -> list[str]:
        """The timeframes as text."""
        return [tf.decode() for tf in self.tfs.tolist()]

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """The timeframe and period of each series."""
        labels = self.labels
        return [(labels[tf], period) for tf, period in zip(self.tf_of.tolist(), self.periods.tolist(), strict=True)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Days, assets, timeframes."""
        days, assets = self.times.shape
        return days, assets, len(self.tfs)

    @property
    def price_of_series(self) -> Array:
        """The price per series, with a last axis of 1 where all have the same."""
        has_common_price = self.price.shape[-1] == 1
        return self.price if has_common_price else self.spread(self.price)

    def asset(self, ids: Array) -> Array:
        """The column of each id."""
        return np.searchsorted(self.ids, ids)

    def timeframe(self, tfs: Array) -> Array:
        """The index of each label in ``tfs``."""
        return np.searchsorted(self.tfs, tfs)

    def series(self, tfs: Array, periods: Array) -> Array:
        """The series of each (label, period); -1 for a pair that is not in the grid."""
        distinct = np.unique(self.periods)
        numbers = np.full((len(self.tfs), len(distinct)), -1)
        numbers[self.tf_of, np.searchsorted(distinct, self.periods)] = np.arange(len(self.periods))
        column = np.minimum(np.searchsorted(distinct, periods), len(distinct) - 1)
        return np.where(distinct[column] == periods, numbers[self.timeframe(tfs), column], -1)

    def day(self, ids: Array, times: Array) -> Array:
        """The row of each (id, time); every pair is a daily bar of the batch."""
        assets = self.asset(ids)
        moments = np.unique(self.times)
        first_code = np.arange(len(self.ids)) * len(moments)
        codes = np.searchsorted(moments, self.times) + first_code
        ascending = codes.T.ravel()  # within an asset by time, NaT last
        wanted = np.searchsorted(moments, times) + first_code[assets]
        index = np.searchsorted(ascending, wanted)
        return np.asarray(index - assets * len(self.times))

    def spread(self, per_timeframe: Array) -> Array:
        """Values per timeframe (last axis) as values per series."""
        return per_timeframe[..., self.tf_of]

    def no_counts(self) -> Array:
        """Zero per asset and timeframe."""
        return np.zeros(self.shape[1:], np.int64)

    def no_times(self) -> Array:
        """NaT per asset and timeframe."""
        return np.full(self.shape[1:], np.datetime64("NaT"), TIME)


def lay_out(ids: Sequence[int], prices: Rows, series: Sequence[Series]) -> Grid:
    """The grid of the assets ``ids`` from rows (id, timestamp, price and perhaps tf) sorted by id, timestamp."""
    assets = np.array(sorted(ids), np.int64)
    nominal = {member.timeframe.tf.encode(): member.timeframe.days_nominal for member in series}
    tfs = np.array(sorted(nominal))
    cells = _days(prices), np.searchsorted(assets, prices["id"])
    days = int(cells[0].max(initial=-1)) + 1
    times = np.full((days, len(assets)), np.datetime64("NaT"), TIME)
    times[cells] = prices["timestamp"]
    return Grid(
        ids=assets,
        times=times,
        price=_price_matrix(times, cells, tfs, prices),
        tfs=tfs,
        nominal=np.array([nominal[tf] for tf in tfs.tolist()], np.int64),
        tf_of=np.searchsorted(tfs, np.array([member.timeframe.tf.encode() for member in series])),
        periods=np.array([member.period for member in series]),
    )


def _days(rows: Rows) -> Array:
    """Per row, which day of its asset it is, counted from 0."""
    number = np.cumsum(starts(rows["id"], rows["timestamp"])) - 1
    return np.asarray(number - number[run_heads(rows["id"])])


def _price_matrix(times: Array, cells: tuple[Array, Array], tfs: Array, prices: Rows) -> Array:
    has_timeframes = "tf" in prices
    layers = len(tfs) if has_timeframes else 1
    layer = np.searchsorted(tfs, prices["tf"]) if has_timeframes else 0
    matrix = np.full((*times.shape, layers), np.nan)
    matrix[*cells, layer] = prices["price"]
    return matrix
