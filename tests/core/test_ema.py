"""EMAs on the daily grid: answers by hand, which rows exist, and what is counted."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from math import nan, sqrt
from operator import add

import numpy as np
import pytest
from core.answers import read_answers
from core.averaging import (
    DIFFERENCES,
    FORMULAS,
    PARTS,
    Market,
    beginning,
    bits,
    compute,
    markets,
    only,
    pairs_of,
    single,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core import ema
from refresh.core.ema import Carry, emas, violations

ANSWERS = read_answers("emas.csv")
ROOTS = {"2": sqrt(1 / 3), "3": sqrt(1 / 2)}
TERMS = re.compile(r"(?P<plain>-?[\d./]+)(?:(?P<root>[+-][\d./]+)s)?")

# Answers by hand


def number(line: dict[str, str], name: str) -> float:
    """A value of the answers: NULL, a fraction, or a fraction and a multiple of s."""
    if line[name] == "-":
        return nan
    terms = TERMS.fullmatch(line[name])
    assert terms
    multiple = float(Fraction(terms["root"] or 0))
    return float(Fraction(terms["plain"])) + multiple * ROOTS[line["period"]]


@pytest.mark.parametrize("period", [2, 3])
@pytest.mark.parametrize("formula", FORMULAS)
def test_answer_by_hand(formula: str, period: int) -> None:
    """Each column of each formula has the values of the answers."""
    lines = [line for line in ANSWERS if (line["formula"], line["period"]) == (formula, str(period))]
    closes = [float(line["close"]) for line in lines]
    canonical = [line["roll"] == "0" for line in lines]
    result = compute(formula, single(closes, canonical, period, nominal=int(lines[0]["n"])))
    is_defined = only(result.defined)
    assert list(is_defined) == [line["ema"] != "-" for line in lines]
    for name, column in result.columns.items():
        suffix = name.removeprefix("ema")
        titles = (name, *(f"{part}{suffix}" for part in DIFFERENCES))
        for title, part in zip(titles, PARTS, strict=True):
            expected = np.where(is_defined, [number(line, title) for line in lines], nan)
            values = np.where(is_defined, only(getattr(column, part)), nan)
            np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12, err_msg=title)


def test_answers_cover_each_formula() -> None:
    """No formula is without answers, and the tests of this folder are about all of them."""
    assert {line["formula"] for line in ANSWERS} == set(FORMULAS) == set(ema.FORMULAS)


# Rows and counts


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_rows_exist_from_the_seed_on(formula: str, market: Market) -> None:
    """A series is defined from the day that completes its seed to the asset's last day, and NULL before."""
    result = compute(formula, market)
    needed = market.lengths(formula).needed
    for asset, closes in enumerate(market.closes):
        size = len(closes)
        expected = np.cumsum(market.counted(formula, asset), axis=0) >= needed
        np.testing.assert_array_equal(result.defined[:size, asset], expected)
        assert not result.defined[size:, asset].any()
        for column in result.columns.values():
            np.testing.assert_array_equal(np.isnan(column.value[:size, asset]), ~expected)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets())
def test_closes_are_counted_and_summed(formula: str, market: Market) -> None:
    """The counted closes and their sum, added one after another, are passed on to the next stretch."""
    result = compute(formula, market)
    for asset, closes in enumerate(market.closes):
        counted = market.counted(formula, asset)
        for series, *_ in market.series:
            values = closes[counted[:, series]].tolist()
            assert result.counted[asset, series] == len(values)
            assert result.close_sum[asset, series] == reduce(add, values, 0.0)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(), st.integers(0, 99))
def test_each_series_may_have_closes_of_its_own(formula: str, market: Market, seed: int) -> None:
    """Closes of their own per series give the bits of computing each series alone."""
    days, carries = beginning(formula, market)
    factors = np.random.default_rng(seed).random(len(market.periods)) + 0.5
    together = emas(formula, market.lengths(formula), replace(days, close=days.close * factors), carries)
    for asset, closes in enumerate(market.closes):
        for series, *_ in market.series:
            scaled = replace(market.only(asset, series), closes=[closes * factors[series]])
            alone = compute(formula, scaled)
            for name, column in alone.columns.items():
                among = together.columns[name].value[: len(closes), asset, series]
                assert bits(only(column.value)) == bits(among)


# Edges


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_days(formula: str) -> None:
    """No days have no values, and leave the sums as they were."""
    periods, days_nominal = pairs_of((2, 2), (3, 2))
    market = Market(
        periods=periods, days_nominal=days_nominal, closes=[np.zeros(0)], canonical=[np.zeros((0, 2), bool)]
    )
    days, carries = beginning(formula, market)
    days = replace(days, close_sum=np.array([[5.0, 7.0]]))
    result = emas(formula, market.lengths(formula), days, carries)
    shapes = {getattr(column, part).shape for column in result.columns.values() for part in PARTS}
    assert shapes == {(0, 1, 2)}
    assert result.close_sum.tolist() == [[5.0, 7.0]]
    assert result.counted.tolist() == [[0, 0]]
    assert violations(days, result, carries).shape == (0, 1, 2)


@pytest.mark.parametrize("formula", FORMULAS)
def test_arguments_stay_as_they_are(formula: str) -> None:
    """Neither the days nor the carried values are changed."""
    market = single([10.0, 12.0, 11.0], [True, False, True], 1, nominal=2)
    days, carries = beginning(formula, market)
    days = replace(days, count_before=np.array([[4]]), close_sum=np.array([[40.0]]))
    carry = Carry(
        value=np.array([[10.5]]),
        d1_roll=np.array([[0.1]]),
        canonical_value=np.array([[10.4]]),
        canonical_d1=np.array([[0.2]]),
    )
    carries = dict.fromkeys(carries, carry)
    result = emas(formula, market.lengths(formula), days, carries)
    violations(days, result, carries)
    assert days.close.ravel().tolist() == [10, 12, 11]
    assert days.canonical.ravel().tolist() == [True, False, True]
    assert (days.count_before.tolist(), days.close_sum.tolist()) == ([[4]], [[40]])
    parts = (carry.value, carry.d1_roll, carry.canonical_value, carry.canonical_d1)
    assert [part.item() for part in parts] == [10.5, 0.1, 10.4, 0.2]
