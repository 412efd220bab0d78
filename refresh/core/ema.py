"""EMAs on the daily grid: the seed, what a forming bar shows, the closes of bars, and differences.

Arrays are (days, assets, series): a series is one (timeframe, period) pair; assets with fewer days than the longest
are padded at the end. One loop over days serves all series of all assets; it continues from stored rows and performs
the same operations in the same order as one that starts at the first day, so the results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from refresh.core.differences import Values, last_closed, to_canonical, to_previous
from refresh.core.rows import Array
from refresh.core.smoothing import alpha_bar, alpha_equivalent, alpha_horizon

TOLERANCE = 1e-9
"""How far, relative to the closes seen, rounding may carry an EMA outside of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """The series of one table, in the order of the last axis; each array has shape (series,).

    ``needed``: the number of closes that a series counts before its first row.
    """

    period: Array
    days_nominal: Array
    needed: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Carry:
    """What the rows before the stretch left of one value column; NaN where a row or its predecessor does not exist.

    Shapes (assets, series): the value and its ``d1_roll`` on the last day, the value and its ``d1`` on the last
    canonical day.
    """

    value: Array
    d1_roll: Array
    canonical_value: Array
    canonical_d1: Array


Carries = Mapping[str, Carry]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What a formula computes from: the series, their days, and where each series is seeded and with what."""

    lengths: Lengths
    days: Days
    seeded: Array
    seed: Array


@dataclass(frozen=True, slots=True)
class Formula:
    """One way to average: the value columns of a stretch by name, and whether it needs the closes before it."""

    values: Callable[[Stretch, Carries], dict[str, Array]]
    looks_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """All value columns of a table by name, and what the next stretch continues from.

    ``defined`` (days, assets, series) is true from a series' seed on; ``counted`` and ``close_sum`` (assets, series)
    are the number of closes counted in the stretch and the sum of all counted until its end.
    """

    columns: dict[str, Values]
    defined: Array
    counted: Array
    close_sum: Array


def alphas(period: Array, days_nominal: Array) -> list[tuple[float, float, float]]:
    """Per series: the smoothing factor over bars, over the horizon in days, and its daily equivalent."""
    bar = alpha_bar(period).tolist()
    horizon = alpha_horizon(period, days_nominal).tolist()
    equivalent = alpha_equivalent(period, days_nominal).tolist()
    return list(zip(bar, horizon, equivalent, strict=True))


@np.errstate(over="ignore", invalid="ignore")
def emas(formula: str, lengths: Lengths, days: Days, carries: Carries) -> Result:
    """Every value column of a table by this formula of ``FORMULAS``, continued from ``carries``.

    Closes that no float can add up give infinities, not an error: ``violations`` finds them.
    """
    count = days.count_before + np.cumsum(days.counted, axis=0)
    sums = _running_sums(days)
    seeded = days.counted & (count == lengths.needed)
    seed = np.where(seeded, sums[1:] / lengths.needed, np.nan)
    stretch = Stretch(lengths=lengths, days=days, seeded=seeded, seed=seed)
    columns: dict[str, Values] = {}
    for name, value in FORMULAS[formula].values(stretch, carries).items():
        columns[name] = _with_differences(value, days.canonical, carries[name])
    return Result(
        columns=columns,
        defined=(count >= lengths.needed) & ~np.isnan(days.close),
        counted=days.counted.sum(axis=0),
        close_sum=sums[-1],
    )


def _running_sums(days: Days) -> Array:
    """The sum of the closes counted before each day, (days + 1, assets, series), added one after another.

    The last entry is the sum of all, also where the stretch has no day.
    """
    added = np.where(days.counted, days.close, 0.0)
    from_before = np.concatenate([days.close_sum[None], added])
    return np.asarray(np.cumsum(from_before, axis=0))


def _with_differences(value: Array, canonical: Array, carry: Carry) -> Values:
    closed = last_closed(canonical)
    d1 = to_canonical(value, carry.canonical_value, canonical=canonical, closed=closed)
    d1_roll = to_previous(value, carry.value)
    return Values(
        value=value,
        d1=d1,
        d2=to_canonical(d1, carry.canonical_d1, canonical=canonical, closed=closed),
        d1_roll=d1_roll,
        d2_roll=to_previous(d1_roll, carry.d1_roll),
    )


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


def _daily(alpha: Array, stretch: Stretch, previous: Array) -> Array:
    """One continuous series: seeded once, then alpha*close + (1-alpha)*(the day before)."""
    value = np.empty(stretch.seeded.shape)
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


def _continuous(stretch: Stretch, carries: Carries) -> dict[str, Array]:
    alpha = alpha_horizon(stretch.lengths.period, stretch.lengths.days_nominal)
    return {"ema": _daily(alpha, stretch, carries["ema"].value)}


def _calendar(alpha_day: Callable[[Array, Array], Array]) -> Formula:
    """The two averages of calendar bars, with one daily smoothing factor."""

    def values(stretch: Stretch, carries: Carries) -> dict[str, Array]:
        alpha = alpha_day(stretch.lengths.period, stretch.lengths.days_nominal)
        return {
            "ema": _daily(alpha, stretch, carries["ema"].value),
            "ema_bar": _snapping(alpha, stretch, carries["ema_bar"]),
        }

    return Formula(values)


FORMULAS = {
    "preview": Formula(_preview),
    "horizon": _calendar(alpha_horizon),
    "equivalent": _calendar(alpha_equivalent),
    "continuous": Formula(_continuous),
}
"""Every formula by the name that the catalogue gives it (docs/emas.md)."""


@np.errstate(over="ignore", invalid="ignore")
def violations(days: Days, result: Result, carries: Carries) -> Array:
    """Where a defined value is not finite or outside the closes it has seen, (days, assets, series), bool.

    Every step is a weighted mean, so a value must lie between the extremes of this stretch's closes, the values it
    continued from and, where there was none yet, the mean of the closes gathered for the seed.
    """
    earlier = _continued_from(days, carries)
    lowest_close = np.fmin.accumulate(days.close, axis=0)
    highest_close = np.fmax.accumulate(days.close, axis=0)
    lowest = np.fmin(np.fmin.reduce(earlier), lowest_close) * (1 - TOLERANCE)
    highest = np.fmax(np.fmax.reduce(earlier), highest_close) * (1 + TOLERANCE)
    is_wrong = np.zeros(result.defined.shape, bool)
    for column in result.columns.values():
        is_inside = (column.value >= lowest) & (column.value <= highest)
        is_wrong |= ~(is_inside & np.isfinite(column.value))
    return is_wrong & result.defined


def _continued_from(days: Days, carries: Carries) -> list[Array]:
    """The values, means and closes that the stretch continues from, (assets, series), NaN where there is none."""
    continued: list[Array] = []
    for carry in carries.values():
        continued += [carry.value, carry.canonical_value]
    is_seeding = (days.count_before > 0) & np.isnan(continued[1])
    gathered = days.close_sum / np.where(is_seeding, days.count_before, np.nan)
    looked_back = [np.broadcast_to(close, gathered.shape) for close in days.earlier]
    return [gathered, *continued, *looked_back]
