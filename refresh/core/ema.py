"""EMAs on the daily grid: alpha, seed, preview, canonical closes, differences.

Arrays are (days, assets, series): a series is one (timeframe, period) pair; assets with fewer days than the longest
are padded at the end. One loop over days serves all series of all assets; it continues from stored rows and performs
the same operations in the same order as one that starts at the first day, so the results have the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.catalog import Formula
from refresh.core.rows import Array

TOLERANCE = 1e-9
"""How far, relative to the closes seen, rounding may carry an EMA outside of them."""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one table, in the order of the last axis; each array has shape (series,)."""

    period: Array
    days_nominal: Array


@dataclass(frozen=True, slots=True)
class Carry:
    """One value column as the rows before the stretch left it; NaN where a row or its predecessor does not exist.

    Shapes (assets, series): the value and its ``d1_roll`` on the last day, the value and its ``d1`` on the last
    canonical day.
    """

    value: Array
    d1_roll: Array
    canonical_value: Array
    canonical_d1: Array


@dataclass(frozen=True, slots=True)
class Days:
    """The daily closes of a stretch and which of them close a bar.

    ``close`` (days, assets), NaN where padded; ``canonical`` (days, assets, series). ``bar_count`` and ``close_sum``
    (assets, series): how many closes came before the stretch and their sum, added one after another; they count
    canonical closes, or, for ``Formula.CONTINUOUS``, daily ones.
    """

    close: Array
    canonical: Array
    bar_count: Array
    close_sum: Array


@dataclass(frozen=True, slots=True)
class Values:
    """One value column and its differences, each (days, assets, series), NaN where undefined."""

    value: Array
    d1: Array
    d2: Array
    d1_roll: Array
    d2_roll: Array


@dataclass(frozen=True, slots=True)
class Result:
    """All value columns of a table by name, and what the next stretch continues from.

    ``defined`` (days, assets, series) is true from a series' seed on; ``counted`` and ``close_sum`` (assets, series)
    are the closes counted in the stretch and the sum of all counted so far.
    """

    columns: dict[str, Values]
    defined: Array
    counted: Array
    close_sum: Array


def alpha_bar(period: Array) -> Array:
    """Smoothing factor of an EMA over bars: 2 / (p + 1)."""
    return 2.0 / (period + 1.0)


def alpha_horizon(period: Array, days_nominal: Array) -> Array:
    """Daily smoothing factor over the same horizon in days: 2 / (N p + 1)."""
    return 2.0 / (days_nominal * period + 1.0)


def alpha_equivalent(period: Array, days_nominal: Array) -> Array:
    """Daily smoothing factor whose N steps weigh as much as one bar step: 1 - (1 - alpha_bar)^(1/N)."""
    decay = (1.0 - alpha_bar(period)).tolist()
    # Python's power: numpy's differs in the last bit between processors, and a table may move between machines.
    return np.array([1.0 - base ** (1.0 / days) for base, days in zip(decay, days_nominal.tolist(), strict=True)])


def alphas(series: Series) -> list[tuple[float, float, float]]:
    """Per series: the smoothing factor over bars, over the horizon in days, and its daily equivalent."""
    columns = (
        alpha_bar(series.period),
        alpha_horizon(series.period, series.days_nominal),
        alpha_equivalent(series.period, series.days_nominal),
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def emas(formula: Formula, series: Series, days: Days, carries: dict[str, Carry]) -> Result:
    """Every value column of a table with this formula, from the rows before the stretch (``carries``) on.

    Closes that no float can add up give infinities, not an error: ``violations`` finds them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _emas(formula, series, days, carries)


def _emas(formula: Formula, series: Series, days: Days, carries: dict[str, Carry]) -> Result:
    present = ~np.isnan(days.close)[:, :, None]
    counted = np.broadcast_to(present, days.canonical.shape) if formula is Formula.CONTINUOUS else days.canonical
    needed = series.period * (series.days_nominal if formula is Formula.CONTINUOUS else 1)
    count = days.bar_count + np.cumsum(counted, axis=0)
    totals = _totals(days, counted)
    seeded = counted & (count == needed)
    bars = _Bars(days, seeded, np.where(seeded, totals / needed, np.nan))
    values = _VALUES[formula](series, bars, carries)
    columns = {name: _with_differences(value, days.canonical, carries[name]) for name, value in values.items()}
    close_sum = totals[-1] if len(totals) else days.close_sum
    return Result(columns, (count >= needed) & present, counted.sum(axis=0), close_sum)


@dataclass(frozen=True, slots=True)
class _Bars:
    days: Days
    seeded: Array
    seed: Array


def _totals(days: Days, counted: Array) -> Array:
    """The sum of the closes counted so far, (days, assets, series), added one after another."""
    added = np.where(counted, days.close[:, :, None], 0.0)
    return np.asarray(np.cumsum(np.concatenate([days.close_sum[None], added]), axis=0)[1:])


def _preview(series: Series, bars: _Bars, carries: dict[str, Carry]) -> dict[str, Array]:
    """E_k on canonical days; between them alpha*close + (1-alpha)*E_last, as a chart shows a forming bar."""
    alpha = alpha_bar(series.period)
    bar_ema = carries["ema"].canonical_value.copy()
    value = np.empty(bars.seeded.shape)
    for day, close in enumerate(bars.days.close[:, :, None]):
        value[day] = alpha * close + (1.0 - alpha) * bar_ema
        np.copyto(value[day], bars.seed[day], where=bars.seeded[day])
        np.copyto(bar_ema, value[day], where=bars.days.canonical[day])
    return {"ema": value}


def _daily(alpha: Array, bars: _Bars, before: Array) -> Array:
    """One continuous series: seeded once, then alpha*close + (1-alpha)*(the day before)."""
    value = np.empty(bars.seeded.shape)
    previous = before
    for day, close in enumerate(bars.days.close[:, :, None]):
        value[day] = alpha * close + (1.0 - alpha) * previous
        np.copyto(value[day], bars.seed[day], where=bars.seeded[day])
        previous = value[day]
    return value


def _snapping(alpha_day: Array, series: Series, bars: _Bars, carry: Carry) -> Array:
    """E_k on canonical days; between them alpha_day*close + (1-alpha_day)*(the day before)."""
    alpha = alpha_bar(series.period)
    bar_ema, previous = carry.canonical_value.copy(), carry.value
    value = np.empty(bars.seeded.shape)
    for day, close in enumerate(bars.days.close[:, :, None]):
        canonical = bars.days.canonical[day]
        value[day] = alpha_day * close + (1.0 - alpha_day) * previous
        np.copyto(value[day], alpha * close + (1.0 - alpha) * bar_ema, where=canonical)
        np.copyto(value[day], bars.seed[day], where=bars.seeded[day])
        np.copyto(bar_ema, value[day], where=canonical)
        previous = value[day]
    return value


def _horizon(series: Series, bars: _Bars, carries: dict[str, Carry]) -> dict[str, Array]:
    return _calendar(alpha_horizon(series.period, series.days_nominal), series, bars, carries)


def _equivalent(series: Series, bars: _Bars, carries: dict[str, Carry]) -> dict[str, Array]:
    return _calendar(alpha_equivalent(series.period, series.days_nominal), series, bars, carries)


def _calendar(alpha_day: Array, series: Series, bars: _Bars, carries: dict[str, Carry]) -> dict[str, Array]:
    return {
        "ema": _daily(alpha_day, bars, carries["ema"].value),
        "ema_bar": _snapping(alpha_day, series, bars, carries["ema_bar"]),
    }


def _continuous(series: Series, bars: _Bars, carries: dict[str, Carry]) -> dict[str, Array]:
    return {"ema": _daily(alpha_horizon(series.period, series.days_nominal), bars, carries["ema"].value)}


_VALUES = {
    Formula.PREVIEW: _preview,
    Formula.HORIZON: _horizon,
    Formula.EQUIVALENT: _equivalent,
    Formula.CONTINUOUS: _continuous,
}


def _with_differences(value: Array, canonical: Array, carry: Carry) -> Values:
    """First and second differences to the previous row and, on canonical days, to the previous canonical row."""
    d1_roll = value - _shifted(carry.value, value)
    d2_roll = d1_roll - _shifted(carry.d1_roll, d1_roll)
    before = _canonical_before(canonical)
    d1 = np.where(canonical, value - _at(before, carry.canonical_value, value), np.nan)
    d2 = np.where(canonical, d1 - _at(before, carry.canonical_d1, d1), np.nan)
    return Values(value, d1, d2, d1_roll, d2_roll)


def _shifted(first: Array, values: Array) -> Array:
    return np.concatenate([first[None], values])[:-1]


def _canonical_before(canonical: Array) -> Array:
    """Per day, one more than the index of the last canonical day before it; 0 for the one before the stretch."""
    places = np.arange(1, len(canonical) + 1, dtype=np.int32)[:, None, None]
    latest = np.maximum.accumulate(np.where(canonical, places, np.int32(0)), axis=0)
    return _shifted(np.zeros(canonical.shape[1:], np.int32), latest)


def _at(places: Array, first: Array, values: Array) -> Array:
    return np.take_along_axis(np.concatenate([first[None], values]), places, axis=0)


def violations(days: Days, result: Result, carries: dict[str, Carry]) -> Array:
    """Where a defined value is not finite or outside the closes it has seen, (days, assets, series), bool.

    Every step is a weighted mean, so a value must lie between the extremes of this stretch's closes, the values it
    continued from and, where there was none yet, the mean of the closes gathered for the seed.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        seeding = (days.bar_count > 0) & np.isnan(carries["ema"].canonical_value)
        gathered = days.close_sum / np.where(seeding, days.bar_count, np.nan)
        known = [gathered, *(part for carry in carries.values() for part in (carry.value, carry.canonical_value))]
        lowest = np.fmin(np.fmin.reduce(known), np.fmin.accumulate(days.close, axis=0)[:, :, None])
        highest = np.fmax(np.fmax.reduce(known), np.fmax.accumulate(days.close, axis=0)[:, :, None])
        wrong = np.zeros(result.defined.shape, bool)
        for column in result.columns.values():
            inside = (column.value >= lowest * (1 - TOLERANCE)) & (column.value <= highest * (1 + TOLERANCE))
            wrong |= ~(inside & np.isfinite(column.value))
    return wrong & result.defined
