"""Violations: values that are not finite, or outside the closes that they have seen."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from sys import float_info

import numpy as np
import pytest
from core.averaging import FORMULAS, Market, beginning, markets, only, pairs_of, single, value_columns
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.ema import Carry, Days, Result, emas, violations
from refresh.core.rows import Array

WIDE = st.floats(1e-12, 1e12) | st.sampled_from([0.1, 0.3, 1e-300, 1e300])


def judged(formula: str, market: Market) -> Array:
    """The violations of a market from its first day on."""
    days, carries = beginning(formula, market)
    return violations(days, emas(formula, market.lengths(formula), days, carries), carries)


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(WIDE))
def test_ordinary_closes_violate_nothing(formula: str, market: Market) -> None:
    """EMAs of finite closes are within the closes that they have seen, whatever the rounding."""
    assert not judged(formula, market).any()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close", [0.1, 0.7], ids=["rounded up", "rounded down"])
def test_long_series_violate_nothing(formula: str, close: float) -> None:
    """The rounding of a mean of thousands of equal closes is within the tolerance."""
    market = single(np.full(20_000, close), np.ones(20_000, bool), 9_000, nominal=1)
    days, carries = beginning(formula, market)
    result = emas(formula, market.lengths(formula), days, carries)
    assert only(result.defined).sum() == 11_001
    assert not violations(days, result, carries).any()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close", [1.7e308, float_info.max])
def test_closes_that_overflow_violate(formula: str, close: float) -> None:
    """A seed whose sum is more than a float holds is a violation, without a warning; rows before it are none."""
    market = single([1.0, close, close, 2.0], [True, True, True, True], 3, nominal=1)
    assert list(only(judged(formula, market))[:3]) == [False, False, True]


def stored_series(formula: str, value: float, close_sum: float) -> tuple[Days, dict[str, Carry], Result]:
    """Two days of a series that continues from a stored value; nine closes came before."""
    market = single([10.0, 11.0], [False, True], 2, nominal=2)
    days, _ = beginning(formula, market)
    days = replace(days, count_before=np.array([[9]]), close_sum=np.array([[close_sum]]))
    last, difference = np.array([[value]]), np.array([[0.5]])
    carry = Carry(value=last, d1_roll=difference, canonical_value=last, canonical_d1=difference)
    carries = dict.fromkeys(value_columns(formula), carry)
    return days, carries, emas(formula, market.lengths(formula), days, carries)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_a_stored_value_that_is_not_finite_violates(formula: str, wrong: float) -> None:
    """Rows that continue from a stored value that is not finite are violations, without a warning."""
    days, carries, result = stored_series(formula, wrong, 90.0)
    assert only(violations(days, result, carries)).all()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("close_sum", [0.0, 90.0, 1e9])
@pytest.mark.parametrize("value", [9.0, 12.0])
def test_a_sum_that_is_no_longer_needed_excuses_nothing(formula: str, value: float, close_sum: float) -> None:
    """Once a series has begun, what it has seen is its stored value, and not what was gathered for its seed."""
    days, carries, result = stored_series(formula, 10.5, close_sum)
    result.columns["ema"].value[1] = value
    assert list(only(violations(days, result, carries))) == [False, True]


@pytest.mark.parametrize("formula", FORMULAS)
def test_closes_that_are_looked_back_at_were_seen(formula: str) -> None:
    """A formula that looks back may give a value between the closes before the stretch, and none beyond them."""
    days, carries, result = stored_series(formula, 10.5, 90.0)
    days = replace(days, earlier=np.array([[[9.0]], [[20.0]]]))
    result.columns["ema"].value[:] = np.array([9.0, 20.0])[:, None, None]
    assert list(only(violations(days, result, carries))) == [False, False]
    result.columns["ema"].value[:] = np.array([8.9, 20.1])[:, None, None]
    assert list(only(violations(days, result, carries))) == [True, True]


@settings(deadline=None)
@given(st.sampled_from(FORMULAS), markets(), st.sampled_from([1 - 1e-6, 1 + 1e-6, nan, inf]), st.data())
def test_a_value_out_of_range_violates(formula: str, market: Market, factor: float, data: st.DataObject) -> None:
    """A value moved beyond the lowest or highest close seen is a violation there and nowhere else."""
    days, carries = beginning(formula, market)
    result = emas(formula, market.lengths(formula), days, carries)
    defined = np.argwhere(result.defined).tolist()
    if not defined:
        return
    day, asset, series = data.draw(st.sampled_from(defined))
    seen = days.close[: day + 1, asset]
    bound = seen.min() if factor < 1 else seen.max()
    name = data.draw(st.sampled_from(sorted(result.columns)))
    value = result.columns[name].value.copy()
    value[day, asset, series] = bound * factor
    moved = result.columns | {name: replace(result.columns[name], value=value)}
    wrong = violations(days, replace(result, columns=moved), carries)
    assert np.argwhere(wrong).tolist() == [[day, asset, series]]


def test_a_value_beyond_what_was_seen_before_violates() -> None:
    """The close of a later day does not excuse a value: only closes up to that day count."""
    market = single([10.0, 10.0, 99.0], [True, True, True], 1, nominal=2)
    days, carries = beginning("preview", market)
    result = emas("preview", market.lengths("preview"), days, carries)
    result.columns["ema"].value[1] = 50.0
    assert list(only(violations(days, result, carries))) == [False, True, False]


@pytest.mark.parametrize("formula", FORMULAS)
def test_undefined_values_are_not_judged(formula: str) -> None:
    """What is NULL because the series has not begun, or the asset has ended, is no violation."""
    periods, days_nominal = pairs_of((2, 2))
    closes = [np.array([1.0]), np.array([1.0, 2.0, 3.0])]
    canonical = [np.ones((1, 1), bool), np.ones((3, 1), bool)]
    market = Market(periods=periods, days_nominal=days_nominal, closes=closes, canonical=canonical)
    assert not judged(formula, market).any()
