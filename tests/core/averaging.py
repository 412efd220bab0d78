"""Markets for the tests of EMAs: closes of some assets, and the series to compute from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from hypothesis import strategies as st

from refresh.core.ema import Carry, Days, Lengths, Result, emas
from refresh.core.rows import Array

CALENDAR = ["horizon", "equivalent"]
FORMULAS = ["preview", *CALENDAR, "continuous"]
DIFFERENCES = ("d1", "d2", "d1_roll", "d2_roll")
PARTS = ("value", *DIFFERENCES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """Closes of several assets, of different length, which days close a bar, and the series to compute.

    ``closes``: per asset, (days,); ``canonical``: per asset, (days, series).
    """

    periods: Array
    days_nominal: Array
    closes: Sequence[Array]
    canonical: Sequence[Array]

    @property
    def shape(self) -> tuple[int, int]:
        """Assets, series."""
        return len(self.closes), len(self.periods)

    @property
    def series(self) -> list[tuple[int, int, int]]:
        """The position of each series, its period and its nominal days."""
        return list(zip(range(len(self.periods)), self.periods.tolist(), self.days_nominal.tolist(), strict=True))

    def lengths(self, formula: str) -> Lengths:
        """The series as a formula takes them."""
        needed = self.periods * self.days_nominal if formula == "continuous" else self.periods
        return Lengths(period=self.periods, days_nominal=self.days_nominal, needed=needed)

    def counted(self, formula: str, asset: int) -> Array:
        """The days of an asset that a formula counts, (days, series): every day, or those that close a bar."""
        canonical = self.canonical[asset]
        return np.ones_like(canonical) if formula == "continuous" else canonical

    def only(self, asset: int, series: int) -> Market:
        """The same with one asset and one series."""
        return Market(
            periods=self.periods[[series]],
            days_nominal=self.days_nominal[[series]],
            closes=[self.closes[asset]],
            canonical=[self.canonical[asset][:, [series]]],
        )


def pairs_of(*pairs: tuple[int, int]) -> tuple[Array, Array]:
    """Periods and nominal days from pairs of both."""
    columns = np.array(pairs).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def single(closes: Sequence[float] | Array, canonical: Sequence[bool] | Array, period: int, *, nominal: int) -> Market:
    """A market of one asset and one series."""
    periods, days_nominal = pairs_of((period, nominal))
    flags = np.array(canonical, bool)[:, None]
    return Market(periods=periods, days_nominal=days_nominal, closes=[np.array(closes, float)], canonical=[flags])


def padded(parts: Sequence[Array], filler: float) -> Array:
    """Arrays of different length side by side, (days, assets, ...), filled up at the end."""
    size = max(len(part) for part in parts)
    grid = np.full((size, len(parts), *parts[0].shape[1:]), filler, parts[0].dtype)
    for asset, part in enumerate(parts):
        grid[: len(part), asset] = part
    return grid


def value_columns(formula: str) -> list[str]:
    """The value columns of a table with this formula."""
    return ["ema", "ema_bar"] if formula in CALENDAR else ["ema"]


def no_carry(shape: tuple[int, int]) -> Carry:
    """No row to continue from."""
    nothing = np.full(shape, nan)
    return Carry(value=nothing, d1_roll=nothing, canonical_value=nothing, canonical_d1=nothing)


def beginning(formula: str, market: Market) -> tuple[Days, dict[str, Carry]]:
    """All days of a market, and nothing before its first."""
    assets = range(len(market.closes))
    days = Days(
        close=padded(market.closes, nan)[:, :, None],
        canonical=padded(market.canonical, 0),
        counted=padded([market.counted(formula, asset) for asset in assets], 0),
        count_before=np.zeros(market.shape, np.int64),
        close_sum=np.zeros(market.shape),
        earlier=np.zeros((0, len(market.closes), 1)),
    )
    return days, dict.fromkeys(value_columns(formula), no_carry(market.shape))


def compute(formula: str, market: Market) -> Result:
    """The EMAs of a market from its first day on."""
    days, carries = beginning(formula, market)
    return emas(formula, market.lengths(formula), days, carries)


def only(array: Array) -> Array:
    """The days of the only asset and series."""
    assert array.shape[1:] == (1, 1)
    return np.asarray(array[:, 0, 0])


def bits(values: Array) -> list[int]:
    """Values such that equal means equal bit for bit, and any NULL any other."""
    return list(np.where(np.isnan(values), nan, values).view(np.int64).ravel().tolist())


CLOSES = st.floats(1e-6, 1e6)
_PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 6))


@st.composite
def markets(draw: st.DrawFn, closes: st.SearchStrategy[float] = CLOSES) -> Market:
    """One to three assets of up to 40 days, one to four series; days that close a bar fall anywhere."""
    periods, days_nominal = pairs_of(*draw(st.lists(_PAIRS, min_size=1, max_size=4)))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    chance = draw(st.sampled_from([0.1, 0.3, 0.5, 1.0]))
    histories = st.lists(closes, min_size=1, max_size=40)
    prices = [np.array(history) for history in draw(st.lists(histories, min_size=1, max_size=3))]
    canonical = [random.random((len(history), len(periods))) < chance for history in prices]
    return Market(periods=periods, days_nominal=days_nominal, closes=prices, canonical=canonical)
