"""Which series a run is about: timeframes, periods, and what a user's filters pick of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refresh.catalog import BuilderConfig, Group
from refresh.core.timeframe import Timeframe, select
from refresh.errors import DimensionError, UsageError

NO_PERIOD = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One column of work in a table: a timeframe and, for EMAs, a period in bars."""

    timeframe: Timeframe
    period: int = NO_PERIOD


@dataclass(frozen=True, slots=True)
class Filters:
    """What a run is narrowed to; ``None`` is no narrowing. ``combos`` are (timeframe, period) pairs of EMAs."""

    tfs: tuple[str, ...] | None = None
    periods: tuple[int, ...] | None = None
    combos: tuple[tuple[str, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The enabled rows of ``dim_timeframe`` and ``dim_period``, in their sort order."""

    timeframes: tuple[Timeframe, ...]
    periods: tuple[int, ...]


def choose(
    builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters
) -> dict[str, tuple[Series, ...]]:
    """The series of each builder, by its key; empty where the filters leave a builder nothing.

    Raises ``UsageError`` for a filter that picks nothing in any of the builders, with the nearest valid values.
    """
    families = [leg.family for builder in builders for leg in builder.legs if leg.family]
    timeframes = tuple(one for one in dimensions.timeframes if any(one.belongs_to(family) for family in families))
    allowed = set(timeframes if filters.tfs is None or not families else select(filters.tfs, timeframes))
    with_emas = any(_is_ema(builder) for builder in builders)
    periods = _periods(dimensions, filters) if with_emas else ()
    of_emas = [one for one in timeframes if any(_belongs(builder, one) for builder in builders if _is_ema(builder))]
    pairs = _pairs(of_emas, dimensions, filters) if with_emas and filters.combos is not None else None
    chosen = {}
    for builder in builders:
        of_builder = [one for one in timeframes if one in allowed and _belongs(builder, one)]
        if _is_ema(builder):
            every = (Series(timeframe, period) for timeframe in of_builder for period in periods)
            chosen[builder.key] = tuple(one for one in every if pairs is None or one in pairs)
        else:
            chosen[builder.key] = tuple(Series(timeframe) for timeframe in of_builder)
    if with_emas and not any(chosen[builder.key] for builder in builders if _is_ema(builder)):
        if filters == Filters():
            raise DimensionError("no timeframe or no period of these EMAs is enabled in dim_timeframe and dim_period")
        raise UsageError("--tfs, --periods and --tf-period-combos together leave no EMA series; loosen one of them")
    return chosen


def _is_ema(builder: BuilderConfig) -> bool:
    return builder.group is Group.EMAS


def _belongs(builder: BuilderConfig, timeframe: Timeframe) -> bool:
    return any(leg.family is not None and timeframe.belongs_to(leg.family) for leg in builder.legs)


def _periods(dimensions: Dimensions, filters: Filters) -> tuple[int, ...]:
    for period in filters.periods or ():
        _check_period(f"--periods {period}", period, dimensions.periods)
    return tuple(period for period in dimensions.periods if filters.periods is None or period in filters.periods)


def _pairs(timeframes: Sequence[Timeframe], dimensions: Dimensions, filters: Filters) -> set[Series]:
    pairs = set()
    for name, period in filters.combos or ():
        _check_period(f"--tf-period-combos {name}:{period}", period, dimensions.periods)
        pairs |= {Series(timeframe, period) for timeframe in select((name,), timeframes, option="--tf-period-combos")}
    return pairs


def _check_period(asked: str, period: int, known: Sequence[int]) -> None:
    if period not in known:
        close = sorted(known, key=lambda other: (abs(other - period), other))[:3]
        shown = f"nearest: {', '.join(map(str, sorted(close)))}" if close else "none is enabled"
        raise UsageError(f"{asked}: no such period in dim_period; {shown}")
