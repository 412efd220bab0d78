"""EMAs on the daily grid: alpha, seed, preview, canonical closes, differences.

Arrays are (days, assets, series): a series is one (timeframe, period) pair; assets with fewer days than the longest
are padded at the end. One loop over days serves all series of all assets; it continues from stored rows and performs
the same operations in the same order as one that starts at the first day, so the results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import Array

TOLERANCE = 1e-9
"""How far, relative to the closes seen, rounding may carry an EMA outside of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """The series of one table, in the order of the last axis; each array has shape (series,).

    ``needed``: how many closes are counted before a series has its first row.
    """

    period: Array
    days_nominal: Array
    needed: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Carry:
    """One value column as the rows before the stretch left it; NaN where a row or its predecessor does not exist.

    Shapes (assets, series): the value and its ``d1_roll`` on the last day, the value and its ``d1`` on the last
    canonical day.
    """

    value: Array
    d1_roll: Array
    canonical_value: Array
    canonical_d1: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """The daily closes of a stretch, which of them close a bar, and which of them are counted.

    ``close`` (days, assets, series, or 1 where all series have the same), NaN where padded. ``canonical`` and
    ``counted`` (days, assets, series), bool. ``count_before`` and ``close_sum`` (assets, series): the number of closes
    counted before the stretch and their sum, added one after another. ``earlier``: the closes of the days before the
    stretch, shaped as ``close``, for formulas that look back; no days for the others.
    """

    close: Array
    canonical: Array
    counted: Array
    count_before: Array
    close_sum: Array
    earlier: Array


@dataclass(frozen=True, slots=True)
class Values:
    """One value column and its differences, each (days, assets, series), NaN where undefined; in the table's order."""

    value: Array
    d1: Array
    d2: Array
    d1_roll: Array
    d2_roll: Array

    @property
    def parts(self) -> tuple[Array, ...]:
        """The value and its differences."""
        return self.value, self.d1, self.d2, self.d1_roll, self.d2_roll


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """All value columns of a table by name, and what the next stretch continues from.

    ``defined`` (days, assets, series) is true from a series' seed on; ``counted`` and ``close_sum`` (assets, series)
    are the closes counted in the stretch and the sum of all counted so far.
    """

    columns: dict[str, Values]
    defined: Array
    counted: Array
    close_sum: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What a formula computes from: the series, their days, and where each of them is seeded and with what."""

    lengths: Lengths
    days: Days
    seeded: Array
    seed: Array


Carries = Mapping[str, Carry]


@dataclass(frozen=True, slots=True)
class Formula:
    """One way to average: the value columns of a stretch by name, and whether that takes the closes before it."""

    values: Callable[[Stretch, Carries], dict[str, Array]]
    looks_back: bool = False


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


def alphas(period: Array, days_nominal: Array) -> list[tuple[float, float, float]]:
    """Per series: the smoothing factor over bars, over the horizon in days, and its daily equivalent."""
    bar = alpha_bar(period).tolist()
    horizon = alpha_horizon(period, days_nominal).tolist()
    equivalent = alpha_equivalent(period, days_nominal).tolist()
    return list(zip(bar, horizon, equivalent, strict=True))


def emas(formula: str, lengths: Lengths, days: Days, carries: Carries) -> Result:
    """Every value column of a table with this formula of ``FORMULAS``, from the rows before the stretch (``carries``).

    Closes that no float can add up give infinities, not an error: ``violations`` finds them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _emas(FORMULAS[formula], lengths, days, carries)


def _emas(formula: Formula, lengths: Lengths, days: Days, carries: Carries) -> Result:
    count = days.count_before + np.cumsum(days.counted, axis=0)
    totals = _totals(days)
    seeded = days.counted & (count == lengths.needed)
    seed = np.where(seeded, totals[1:] / lengths.needed, np.nan)
    values = formula.values(Stretch(lengths=lengths, days=days, seeded=seeded, seed=seed), carries)
    return Result(
        columns={name: _with_differences(value, days.canonical, carries[name]) for name, value in values.items()},
        defined=(count >= lengths.needed) & ~np.isnan(days.close),
        counted=days.counted.sum(axis=0),
        close_sum=totals[-1],
    )


def _totals(days: Days) -> Array:
    """The sum of the closes counted up to each day, (days, assets, series), added one after another.

    Its last entry is the sum of all, also where the stretch has no day.
    """
    added = np.where(days.counted, days.close, 0.0)
    return np.asarray(np.cumsum(np.concatenate([days.close_sum[None], added]), axis=0))


def _preview(stretch: Stretch, carries: Carries) -> dict[str, Array]:
    """E_k on canonical days; between them alpha*close + (1-alpha)*E_last, as a chart shows a forming bar."""
    alpha = alpha_bar(stretch.lengths.period)
    bar_ema = carries["ema"].canonical_value.copy()
    value = np.empty(stretch.seeded.shape)
    for day, close in enumerate(stretch.days.close):
        value[day] = alpha * close + (1.0 - alpha) * bar_ema
        np.copyto(value[day], stretch.seed[day], where=stretch.seeded[day])
        np.copyto(bar_ema, value[day], where=stretch.days.canonical[day])
    return {"ema": value}


def _daily(alpha: Array, stretch: Stretch, before: Array) -> Array:
    """One continuous series: seeded once, then alpha*close + (1-alpha)*(the day before)."""
    value = np.empty(stretch.seeded.shape)
    previous = before
    for day, close in enumerate(stretch.days.close):
        value[day] = alpha * close + (1.0 - alpha) * previous
        np.copyto(value[day], stretch.seed[day], where=stretch.seeded[day])
        previous = value[day]
    return value


def _snapping(alpha_day: Array, stretch: Stretch, carry: Carry) -> Array:
    """E_k on canonical days; between them alpha_day*close + (1-alpha_day)*(the day before)."""
    alpha = alpha_bar(stretch.lengths.period)
    bar_ema, previous = carry.canonical_value.copy(), carry.value
    value = np.empty(stretch.seeded.shape)
    for day, close in enumerate(stretch.days.close):
        canonical = stretch.days.canonical[day]
        value[day] = alpha_day * close + (1.0 - alpha_day) * previous
        np.copyto(value[day], alpha * close + (1.0 - alpha) * bar_ema, where=canonical)
        np.copyto(value[day], stretch.seed[day], where=stretch.seeded[day])
        np.copyto(bar_ema, value[day], where=canonical)
        previous = value[day]
    return value


def _calendar(alpha_day: Array, stretch: Stretch, carries: Carries) -> dict[str, Array]:
    return {
        "ema": _daily(alpha_day, stretch, carries["ema"].value),
        "ema_bar": _snapping(alpha_day, stretch, carries["ema_bar"]),
    }


def _horizon(stretch: Stretch, carries: Carries) -> dict[str, Array]:
    return _calendar(alpha_horizon(stretch.lengths.period, stretch.lengths.days_nominal), stretch, carries)


def _equivalent(stretch: Stretch, carries: Carries) -> dict[str, Array]:
    return _calendar(alpha_equivalent(stretch.lengths.period, stretch.lengths.days_nominal), stretch, carries)


def _continuous(stretch: Stretch, carries: Carries) -> dict[str, Array]:
    alpha = alpha_horizon(stretch.lengths.period, stretch.lengths.days_nominal)
    return {"ema": _daily(alpha, stretch, carries["ema"].value)}


FORMULAS = {
    "preview": Formula(_preview),
    "horizon": Formula(_horizon),
    "equivalent": Formula(_equivalent),
    "continuous": Formula(_continuous),
}
"""Every formula by the name that the catalogue gives it (docs/emas.md)."""


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


def violations(days: Days, result: Result, carries: Carries) -> Array:
    """Where a defined value is not finite or outside the closes it has seen, (days, assets, series), bool.

    Every step is a weighted mean, so a value must lie between the extremes of this stretch's closes, the values it
    continued from and, where there was none yet, the mean of the closes gathered for the seed.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        known = _continued_from(days, carries)
        lowest = np.fmin(np.fmin.reduce(known), np.fmin.accumulate(days.close, axis=0)) * (1 - TOLERANCE)
        highest = np.fmax(np.fmax.reduce(known), np.fmax.accumulate(days.close, axis=0)) * (1 + TOLERANCE)
        wrong = np.zeros(result.defined.shape, bool)
        for column in result.columns.values():
            inside = (column.value >= lowest) & (column.value <= highest)
            wrong |= ~(inside & np.isfinite(column.value))
    return wrong & result.defined


def _continued_from(days: Days, carries: Carries) -> list[Array]:
    """The values and means that the stretch continues from, (assets, series) each, NaN where there is none."""
    continued = [value for carry in carries.values() for value in (carry.value, carry.canonical_value)]
    is_seeding = (days.count_before > 0) & np.isnan(continued[1])
    gathered = days.close_sum / np.where(is_seeding, days.count_before, np.nan)
    looked_back = [np.broadcast_to(close, gathered.shape) for close in days.earlier]
    return [gathered, *continued, *looked_back]
