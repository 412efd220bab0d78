"""EMAs on the daily grid: answers by hand, TA-Lib and pandas as oracles, and laws."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import inf, nan, sqrt
from operator import add
from pathlib import Path
from sys import float_info

import hvsampledata
import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import Formula
from refresh.core.ema import Carry, Days, Result, Series, Values, alpha_bar, alpha_equivalent, alpha_horizon, alphas, emas, violations
from refresh.core.rows import Array

CALENDAR = [Formula.HORIZON, Formula.EQUIVALENT]
FORMULAS = list(Formula)
DIFFERENCES = ("d1", "d2", "d1_roll", "d2_roll")
PARTS = ("value", *DIFFERENCES)


def value_columns(formula: Formula) -> list[str]:
    """The value columns of a table with this formula."""
    return ["ema", "ema_bar"] if formula in CALENDAR else ["ema"]


@dataclass(frozen=True)
class Market:
    """Closes of several assets, of different length, and which days close a bar; and the series to compute.

    ``closes``: per asset, (days,); ``canonical``: per asset, (days, series).
    """

    series: Series
    closes: list[Array]
    canonical: list[Array]


def series_of(*pairs: tuple[int, int]) -> Series:
    """Series from pairs of a period and a nominal length in days."""
    periods, lengths = zip(*pairs, strict=True)
    return Series(np.array(periods), np.array(lengths))


def single(closes: list[float] | Array, canonical: list[bool] | Array, period: int, days_nominal: int = 2) -> Market:
    """One asset and one series."""
    return Market(series_of((period, days_nominal)), [np.array(closes, float)], [np.array(canonical, bool)[:, None]])


def padded(parts: list[Array], filler: float) -> Array:
    """Arrays of different length side by side, (days, assets, ...), filled up at the end."""
    size = max(len(part) for part in parts)
    grid = np.full((size, len(parts), *parts[0].shape[1:]), filler, parts[0].dtype)
    for asset, part in enumerate(parts):
        grid[: len(part), asset] = part
    return grid


def beginning(formula: Formula, market: Market) -> tuple[Days, dict[str, Carry]]:
    """All days of a market, and the state before its first."""
    shape = (len(market.closes), len(market.series.period))
    nothing = Carry(*(np.full(shape, nan) for _ in range(4)))
    days = Days(padded(market.closes, nan), padded(market.canonical, 0), np.zeros(shape, np.int64), np.zeros(shape))
    return days, dict.fromkeys(value_columns(formula), nothing)


def compute(formula: Formula, market: Market) -> Result:
    """The EMAs of a market from its first day on."""
    days, carries = beginning(formula, market)
    return emas(formula, market.series, days, carries)


def only(array: Array) -> Array:
    """The days of one asset and one series."""
    return np.asarray(array[:, 0, 0])


# Answers by hand


def read_answers() -> list[dict[str, str]]:
    """The lines of tests/answers/emas.csv."""
    path = Path(__file__).parents[1] / "answers" / "emas.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    names, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines))
    return [dict(zip(names, row, strict=True)) for row in rows]


ANSWERS = read_answers()
ROOTS = {"2": sqrt(1 / 3), "3": sqrt(1 / 2)}
TERMS = re.compile(r"(?P<plain>-?[\d./]+)(?:(?P<root>[+-][\d./]+)s)?")


def number(line: dict[str, str], name: str) -> float:
    """A value of the answers: NULL, a fraction, or a fraction and a multiple of s."""
    if line[name] == "-":
        return nan
    terms = TERMS.fullmatch(line[name])
    assert terms
    return float(Fraction(terms["plain"])) + float(Fraction(terms["root"] or 0)) * ROOTS[line["period"]]


@pytest.mark.parametrize("period", [2, 3])
@pytest.mark.parametrize("formula", FORMULAS)
def test_answer_by_hand(formula: Formula, period: int) -> None:
    """Each column of each formula is the one that stands in the answers."""
    lines = [line for line in ANSWERS if (line["formula"], line["period"]) == (formula.value, str(period))]
    closes, canonical = [float(line["close"]) for line in lines], [line["roll"] == "0" for line in lines]
    result = compute(formula, single(closes, canonical, period, int(lines[0]["n"])))
    for name, column in result.columns.items():
        suffix = name.removeprefix("ema")
        for title, part in zip((name, *(f"{part}{suffix}" for part in DIFFERENCES)), PARTS, strict=True):
            expected = np.where(only(result.defined), [number(line, title) for line in lines], nan)
            found = np.where(only(result.defined), only(getattr(column, part)), nan)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=title)
    assert list(only(result.defined)) == [line["ema"] != "-" for line in lines]


# Random markets

CLOSES = st.floats(1e-6, 1e6)
PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 6))


@st.composite
def markets(draw: st.DrawFn, closes: st.SearchStrategy[float] = CLOSES) -> Market:
    """One to three assets of up to 40 days, one to four series; days that close a bar fall anywhere."""
    series = series_of(*draw(st.lists(PAIRS, min_size=1, max_size=4)))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    chance = draw(st.sampled_from([0.1, 0.3, 0.5, 1.0]))
    prices = [
        np.array(one) for one in draw(st.lists(st.lists(closes, min_size=1, max_size=40), min_size=1, max_size=3))
    ]
    return Market(series, prices, [random.random((len(one), len(series.period))) < chance for one in prices])


# Law 1: TA-Lib, and pandas between the closes of bars


def by_talib(closes: Array, period: int) -> Array:
    """TA-Lib's EMA; an EMA of one close is that close, which TA-Lib does not compute."""
    if period == 1 or len(closes) < period:
        return closes if period == 1 else np.full(len(closes), nan)
    return np.asarray(talib.EMA(closes, timeperiod=period))


def assert_close(found: Array, expected: Array) -> None:
    """Fail where values differ in the 12th digit, or one is NULL."""
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(st.sampled_from([Formula.PREVIEW, *CALENDAR]), markets())
def test_canonical_values_equal_talib(formula: Formula, market: Market) -> None:
    """On days that close a bar the EMA is TA-Lib's of the bars' closes, of every asset and series."""
    column = compute(formula, market).columns[value_columns(formula)[-1]]
    for asset, closes in enumerate(market.closes):
        for place, period in enumerate(market.series.period.tolist()):
            canonical = market.canonical[asset][:, place]
            found = column.value[: len(closes), asset, place][canonical]
            assert_close(found, by_talib(closes[canonical], period))


@settings(deadline=None)
@given(markets())
def test_continuous_values_equal_talib(market: Market) -> None:
    """``v2`` is TA-Lib's EMA of the daily closes over N*p days."""
    column = compute(Formula.CONTINUOUS, market).columns["ema"]
    for asset, closes in enumerate(market.closes):
        for place, length in enumerate((market.series.period * market.series.days_nominal).tolist()):
            assert_close(column.value[: len(closes), asset, place], by_talib(closes, length))


@pytest.mark.parametrize("period", [10, 20, 50, 200])
@pytest.mark.parametrize("days_nominal", [1, 5, 7])
def test_years_of_a_share_equal_talib(days_nominal: int, period: int) -> None:
    """Six years of a share's closes give TA-Lib's EMAs of every n-th close and of the daily ones."""
    closes = hvsampledata.apple_stocks("pandas")["close"].to_numpy(float)
    canonical = np.arange(1, len(closes) + 1) % days_nominal == 0
    market = single(closes, canonical, period, days_nominal)
    for formula in (Formula.PREVIEW, *CALENDAR):
        found = only(compute(formula, market).columns[value_columns(formula)[-1]].value)
        assert_close(found[canonical], by_talib(closes[canonical], period))
    found = only(compute(Formula.CONTINUOUS, market).columns["ema"].value)
    assert_close(found, by_talib(closes, period * days_nominal))


def daily_alpha(formula: Formula, period: int, days_nominal: int) -> float:
    """The smoothing factor between the closes of bars, as emas.md writes it."""
    if formula is Formula.EQUIVALENT:
        return float(1 - (1 - 2 / (period + 1)) ** (1 / days_nominal))
    return 2 / (days_nominal * period + 1)


def by_pandas(first: float, closes: Array, alpha: float) -> Array:
    """Pandas' exponential mean of some closes, going on from a value."""
    return np.asarray(pd.Series([first, *closes]).ewm(alpha=alpha, adjust=False).mean().to_numpy()[1:])


@settings(deadline=None)
@given(st.sampled_from(CALENDAR), markets())
def test_calendar_values_equal_pandas(formula: Formula, market: Market) -> None:
    """``ema`` runs on from its seed and never snaps; ``ema_bar`` runs on from the last close of a bar."""
    result = compute(formula, market)
    for asset, closes in enumerate(market.closes):
        for place, (period, length) in enumerate(zip(market.series.period, market.series.days_nominal, strict=True)):
            alpha = daily_alpha(formula, int(period), int(length))
            ends = np.flatnonzero(market.canonical[asset][:, place])
            ema, ema_bar = (result.columns[name].value[: len(closes), asset, place] for name in ("ema", "ema_bar"))
            if len(ends) < period:
                assert np.isnan([ema, ema_bar]).all()
                continue
            seeded = ends[period - 1]
            assert np.isnan(ema[:seeded]).all()
            assert ema[seeded] == ema_bar[seeded]
            assert_close(ema[seeded + 1 :], by_pandas(ema[seeded], closes[seeded + 1 :], alpha))
            for end, following in pairwise([*ends[period - 1 :], len(closes)]):
                assert_close(ema_bar[end + 1 : following], by_pandas(ema_bar[end], closes[end + 1 : following], alpha))


@settings(deadline=None)
@given(markets())
def test_previews_equal_pandas(market: Market) -> None:
    """While a bar forms, the EMA is one step from the last closed bar to this day's close."""
    value = compute(Formula.PREVIEW, market).columns["ema"].value
    for asset, closes in enumerate(market.closes):
        for place, period in enumerate(market.series.period.tolist()):
            ends = np.flatnonzero(market.canonical[asset][:, place])[period - 1 :]
            for end, following in pairwise([*ends, len(closes)]):
                steps = [by_pandas(value[end, asset, place], closes[[day]], 2 / (period + 1))[0]
                         for day in range(end + 1, following)]  # fmt: skip
                assert_close(value[end + 1 : following, asset, place], np.array(steps))


# Differences, and which rows exist


def differences(value: Array, canonical: Array) -> dict[str, Array]:
    """The difference columns of one series by pandas."""
    every = pd.Series(value)
    closing = every[canonical]
    return {
        "d1_roll": every.diff().to_numpy(),
        "d2_roll": every.diff().diff().to_numpy(),
        "d1": closing.diff().reindex(every.index).to_numpy(),
        "d2": closing.diff().diff().reindex(every.index).to_numpy(),
    }


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_differences_equal_pandas(formula: Formula, market: Market) -> None:
    """Differences are to the row before and, on days that close a bar, to the last such row; else NULL."""
    for column in compute(formula, market).columns.values():
        for asset, canonical in enumerate(market.canonical):
            for place in range(canonical.shape[1]):
                where = (slice(len(canonical)), asset, place)
                expected = differences(column.value[where], canonical[:, place])
                for name, values in expected.items():
                    np.testing.assert_array_equal(getattr(column, name)[where], values, err_msg=name)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_rows_exist_from_the_seed_on(formula: Formula, market: Market) -> None:
    """A series is defined from the day that completes its seed to the asset's last day, and NULL before."""
    result = compute(formula, market)
    for asset, canonical in enumerate(market.canonical):
        for place, (period, length) in enumerate(zip(market.series.period, market.series.days_nominal, strict=True)):
            daily = formula is Formula.CONTINUOUS
            counted = np.ones(len(canonical), bool) if daily else canonical[:, place]
            expected = np.cumsum(counted) >= (period * length if daily else period)
            assert list(result.defined[: len(canonical), asset, place]) == list(expected)
            assert not result.defined[len(canonical) :, asset, place].any()
            for column in result.columns.values():
                assert list(np.isnan(column.value[: len(canonical), asset, place])) == list(~expected)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_closes_are_counted_and_summed(formula: Formula, market: Market) -> None:
    """The counted closes and their sum, added one after another, are handed on to the next stretch."""
    result = compute(formula, market)
    for asset, closes in enumerate(market.closes):
        for place in range(len(market.series.period)):
            counted = closes if formula is Formula.CONTINUOUS else closes[market.canonical[asset][:, place]]
            assert result.counted[asset, place] == len(counted)
            assert result.close_sum[asset, place] == reduce(add, counted.tolist(), 0.0)


# Law 2: a stretch in parts


@dataclass
class Stored:
    """The rows of one asset: closes taken in, days that closed a bar, and per column (days, series) values."""

    canonical: Array
    columns: dict[str, dict[str, Array]]
    count: Array
    close_sum: Array


def nothing_stored(formula: Formula, market: Market) -> list[Stored]:
    """No rows of any asset."""
    size = len(market.series.period)
    empty = {part: np.zeros((0, size)) for part in PARTS}
    return [
        Stored(np.zeros((0, size), bool), dict.fromkeys(value_columns(formula), empty), np.zeros(size, np.int64),
               np.zeros(size)) for _ in market.closes
    ]  # fmt: skip


def carried(stored: Stored, name: str) -> list[Array]:
    """The value and ``d1_roll`` of the last row, the value and ``d1`` of the last row that closed a bar; (series,)."""
    column, canonical = stored.columns[name], stored.canonical
    missing = np.full((1, canonical.shape[1]), nan)
    last = {part: np.concatenate([missing, values])[-1] for part, values in column.items()}
    places = np.where(canonical, np.arange(1, len(canonical) + 1)[:, None], 0).max(axis=0, initial=0)
    closing = {part: np.concatenate([missing, values])[places, range(len(places))] for part, values in column.items()}
    return [last["value"], last["d1_roll"], closing["value"], closing["d1"]]


def go_on(formula: Formula, market: Market, stored: list[Stored], upto: list[int]) -> None:
    """Take in each asset's days up to a place, from what its rows hold."""
    stretches = [slice(len(one.canonical), end) for one, end in zip(stored, upto, strict=True)]
    days = Days(
        padded([closes[where] for closes, where in zip(market.closes, stretches, strict=True)], nan),
        padded([canonical[where] for canonical, where in zip(market.canonical, stretches, strict=True)], 0),
        np.array([one.count for one in stored]),
        np.array([one.close_sum for one in stored]),
    )
    carries = {
        name: Carry(*(np.array(part) for part in zip(*(carried(one, name) for one in stored), strict=True)))
        for name in value_columns(formula)
    }
    result = emas(formula, market.series, days, carries)
    assert not violations(days, result, carries).any()
    for asset, (one, where) in enumerate(zip(stored, stretches, strict=True)):
        size = where.stop - where.start
        one.canonical = market.canonical[asset][: where.stop]
        one.count, one.close_sum = one.count + result.counted[asset], result.close_sum[asset]
        one.columns = {
            name: {part: np.concatenate([held, getattr(result.columns[name], part)[:size, asset]])
                   for part, held in column.items()}
            for name, column in one.columns.items()
        }  # fmt: skip


def bits(values: Array) -> list[int]:
    """Values such that equal means equal bit for bit, and any NULL any other."""
    return list(np.where(np.isnan(values), nan, values).view(np.int64).ravel().tolist())


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(), st.data())
def test_a_stretch_in_parts(formula: Formula, market: Market, data: st.DataObject) -> None:
    """Going on from stored rows, each asset in steps of its own, gives the bits of computing everything at once."""
    whole, stored = compute(formula, market), nothing_stored(formula, market)
    sizes = [len(closes) for closes in market.closes]
    cuts = [sorted(data.draw(st.lists(st.integers(0, size), max_size=3, min_size=3))) for size in sizes]
    for upto in (*map(list, zip(*cuts, strict=True)), sizes):
        go_on(formula, market, stored, upto)
    for name, column in whole.columns.items():
        for part in PARTS:
            for asset, size in enumerate(sizes):
                assert bits(stored[asset].columns[name][part]) == bits(getattr(column, part)[:size, asset])
    assert bits(np.array([one.close_sum for one in stored])) == bits(whole.close_sum)


@pytest.mark.parametrize("formula", FORMULAS)
def test_day_by_day(formula: Formula) -> None:
    """A year of a share, day by day, gives the bits of computing it at once."""
    closes = hvsampledata.apple_stocks("pandas")["close"].to_numpy(float)[:250]
    number = np.arange(1, 251)[:, None]
    market = Market(series_of((2, 7), (3, 7), (10, 7), (10, 30), (20, 5)), [closes], [number % [7, 7, 7, 30, 5] == 0])
    whole, stored = compute(formula, market), nothing_stored(formula, market)
    for upto in range(1, 251):
        go_on(formula, market, stored, [upto])
    for name, column in whole.columns.items():
        for part in PARTS:
            assert bits(stored[0].columns[name][part]) == bits(getattr(column, part)[:, 0])


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_assets_and_series_do_not_touch_each_other(formula: Formula, market: Market) -> None:
    """An asset's series has the same bits alone and among others."""
    together = compute(formula, market)
    for asset, closes in enumerate(market.closes):
        for place in range(len(market.series.period)):
            series = Series(market.series.period[[place]], market.series.days_nominal[[place]])
            alone = compute(formula, Market(series, [closes], [market.canonical[asset][:, [place]]]))
            for name, column in alone.columns.items():
                for part in PARTS:
                    among = getattr(together.columns[name], part)[: len(closes), asset, place]
                    assert bits(only(getattr(column, part))) == bits(among)


# Violations


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(st.floats(1e-12, 1e12) | st.sampled_from([0.1, 0.3, 1e-300, 1e300])))
def test_ordinary_closes_violate_nothing(formula: Formula, market: Market) -> None:
    """EMAs of finite closes lie within the closes that they have seen, whatever the rounding."""
    days, carries = beginning(formula, market)
    assert not violations(days, emas(formula, market.series, days, carries), carries).any()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close", [0.1, 0.7], ids=["rounded up", "rounded down"])
def test_long_series_violate_nothing(formula: Formula, close: float) -> None:
    """The rounding of a mean of thousands of equal closes stays within the tolerance."""
    market = single(np.full(20_000, close), np.ones(20_000, bool), 9_000, 1)
    days, carries = beginning(formula, market)
    result = emas(formula, market.series, days, carries)
    assert only(result.defined).sum() == 11_001
    assert not violations(days, result, carries).any()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close", [1.7e308, float_info.max])
def test_closes_that_overflow_violate(formula: Formula, close: float) -> None:
    """A seed whose sum is more than a float holds is a violation, quietly; rows before it are none."""
    market = single([1.0, close, close, 2.0], [True, True, True, True], 3, 1)
    days, carries = beginning(formula, market)
    found = only(violations(days, emas(formula, market.series, days, carries), carries))
    assert list(found[:3]) == [False, False, True]


def stored_series(formula: Formula, value: float, close_sum: float) -> tuple[Market, Days, dict[str, Carry]]:
    """Two days of a series that goes on from a stored value; nine closes came before."""
    market = single([10.0, 11.0], [False, True], 2)
    days = replace(beginning(formula, market)[0], bar_count=np.array([[9]]), close_sum=np.array([[close_sum]]))
    carry = Carry(*(np.array([[part]]) for part in (value, 0.5, value, 0.5)))
    return market, days, dict.fromkeys(value_columns(formula), carry)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_a_stored_value_that_is_not_finite_violates(formula: Formula, wrong: float) -> None:
    """Rows that go on from a stored value that is not finite are violations, quietly."""
    market, days, carries = stored_series(formula, wrong, 90.0)
    assert only(violations(days, emas(formula, market.series, days, carries), carries)).all()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close_sum", [0.0, 90.0, 1e9])
@pytest.mark.parametrize("value", [9.0, 12.0])
def test_a_sum_that_is_no_longer_needed_excuses_nothing(formula: Formula, value: float, close_sum: float) -> None:
    """Once a series has begun, what it has seen is its stored value, and not what was gathered for its seed."""
    market, days, carries = stored_series(formula, 10.5, close_sum)
    result = emas(formula, market.series, days, carries)
    result.columns["ema"].value[1] = value
    assert list(only(violations(days, result, carries))) == [False, True]


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(), st.sampled_from([1 - 1e-6, 1 + 1e-6, nan, inf]), st.data())
def test_a_value_out_of_range_violates(formula: Formula, market: Market, factor: float, data: st.DataObject) -> None:
    """A value moved beyond the lowest or highest close seen is a violation there and nowhere else."""
    days, carries = beginning(formula, market)
    result = emas(formula, market.series, days, carries)
    places = np.argwhere(result.defined)
    if not len(places):
        return
    day, asset, place = data.draw(st.sampled_from(places.tolist()))
    seen = days.close[: day + 1, asset]
    name = data.draw(st.sampled_from(sorted(result.columns)))
    column = result.columns[name]
    value = column.value.copy()
    value[day, asset, place] = (seen.min() if factor < 1 else seen.max()) * factor
    moved = Values(value, column.d1, column.d2, column.d1_roll, column.d2_roll)
    found = violations(days, replace(result, columns={**result.columns, name: moved}), carries)
    assert np.argwhere(found).tolist() == [[day, asset, place]]


def test_a_value_beyond_what_was_seen_before_violates() -> None:
    """A later day's close does not excuse a value: only closes up to that day count."""
    market = single([10.0, 10.0, 99.0], [True, True, True], 1)
    days, carries = beginning(Formula.PREVIEW, market)
    result = emas(Formula.PREVIEW, market.series, days, carries)
    result.columns["ema"].value[1] = 50.0
    assert list(only(violations(days, result, carries))) == [False, True, False]


def test_undefined_values_are_not_judged() -> None:
    """What is NULL because the series has not begun, or the asset has ended, is no violation."""
    market = Market(
        series_of((2, 2)), [np.array([1.0]), np.array([1.0, 2.0, 3.0])], [np.ones((1, 1), bool), np.ones((3, 1), bool)]
    )
    days, carries = beginning(Formula.PREVIEW, market)
    assert not violations(days, emas(Formula.PREVIEW, market.series, days, carries), carries).any()


# Smoothing factors


def test_smoothing_factors() -> None:
    """The three factors of a series, as emas.md writes them."""
    ((bar, horizon, equivalent),) = alphas(series_of((10, 7)))
    assert (bar, horizon) == (2 / 11, 2 / 71)
    assert equivalent == pytest.approx(1 - (9 / 11) ** (1 / 7), rel=1e-15)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 400))
def test_the_daily_equivalent_weighs_as_much_as_one_bar(period: int, days_nominal: int) -> None:
    """N daily steps leave of the old value what one step over a bar leaves of it."""
    series = series_of((period, days_nominal))
    left = (1 - alpha_equivalent(series.period, series.days_nominal)) ** days_nominal
    assert left == pytest.approx(1 - alpha_bar(series.period), rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 300))
def test_factors_of_single_days_agree(period: int) -> None:
    """A bar of one day is smoothed alike by all three factors."""
    series = series_of((period, 1))
    assert alpha_horizon(series.period, series.days_nominal) == alpha_bar(series.period)
    assert alpha_equivalent(series.period, series.days_nominal) == pytest.approx(alpha_bar(series.period), rel=1e-13)


# Edges


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_days(formula: Formula) -> None:
    """No days have no values, and leave the sums as they were."""
    market = Market(series_of((2, 2), (3, 2)), [np.zeros(0)], [np.zeros((0, 2), bool)])
    days, carries = beginning(formula, market)
    days = replace(days, close_sum=np.array([[5.0, 7.0]]))
    result = emas(formula, market.series, days, carries)
    assert {getattr(column, part).shape for column in result.columns.values() for part in PARTS} == {(0, 1, 2)}
    assert (result.close_sum.tolist(), result.counted.tolist()) == ([[5.0, 7.0]], [[0, 0]])
    assert violations(days, result, carries).shape == (0, 1, 2)


@pytest.mark.parametrize("formula", FORMULAS)
def test_arguments_stay_as_they_are(formula: Formula) -> None:
    """Neither the days nor the carried values are changed."""
    market = single([10.0, 12.0, 11.0], [True, False, True], 1)
    days, carries = beginning(formula, market)
    days = replace(days, bar_count=np.array([[4]]), close_sum=np.array([[40.0]]))
    carries = {name: Carry(*(np.array([[value]]) for value in (10.5, 0.1, 10.4, 0.2))) for name in carries}
    result = emas(formula, market.series, days, carries)
    violations(days, result, carries)
    assert [days.close.ravel().tolist(), days.bar_count.tolist(), days.close_sum.tolist()] == [
        [10, 12, 11],
        [[4]],
        [[40]],
    ]
    for carry in carries.values():
        parts = (carry.value, carry.d1_roll, carry.canonical_value, carry.canonical_d1)
        assert [part.item() for part in parts] == [10.5, 0.1, 10.4, 0.2]
