"""Which series a run is about: what a user's filters select from the timeframes and periods in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from refresh.catalog import BuilderConfig
from refresh.core.series import Dimensions, Series
from refresh.core.timeframe import NOMINAL_DAYS, Timeframe, Unit
from refresh.due.selection import Filters
from refresh.errors import DimensionError, UsageError
from refresh.wording import nearest, nearest_numbers, nearest_of

_LENGTH = re.compile(r"(\d+)([A-Z])")
_UNITS = {unit.value: unit for unit in Unit}


def choose(
    builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters
) -> dict[str, tuple[Series, ...]]:
    """The series of each builder, by its key; empty if the filters leave a builder nothing.

    Raises ``UsageError`` for a filter that selects nothing in any of the builders, with the nearest valid values.
    """
    timeframes = _timeframes(builders, dimensions, filters)
    averaging = [builder for builder in builders if builder.has_periods]
    averages = _averages(averaging, timeframes, dimensions, filters)
    chosen: dict[str, tuple[Series, ...]] = {}
    for builder in builders:
        offered = averages if builder.has_periods else [Series(timeframe) for timeframe in timeframes]
        chosen[builder.key] = tuple(series for series in offered if _belongs(builder, series.timeframe))
    if averaging and not any(chosen[builder.key] for builder in averaging):
        raise _nothing_left(filters)
    return chosen


def _nothing_left(filters: Filters) -> UsageError | DimensionError:
    if filters == Filters():
        return DimensionError("no timeframe or no period of these EMAs is enabled in dim_timeframe and dim_period")
    return UsageError("--tfs, --periods and --tf-period-combos together leave no EMA series; loosen one of them")


def _timeframes(builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters) -> tuple[Timeframe, ...]:
    """The timeframes of any of the builders that ``--tfs`` selects; all of them if no builder has timeframes."""
    in_use = _in_use(builders, dimensions)
    if filters.tfs is None or not any(builder.has_timeframes for builder in builders):
        return in_use
    return select(filters.tfs, in_use)


def _in_use(builders: Sequence[BuilderConfig], dimensions: Dimensions) -> tuple[Timeframe, ...]:
    return tuple(timeframe for timeframe in dimensions.timeframes if _is_of_any(timeframe, builders))


def _is_of_any(timeframe: Timeframe, builders: Iterable[BuilderConfig]) -> bool:
    return any(_belongs(builder, timeframe) for builder in builders)


def _belongs(builder: BuilderConfig, timeframe: Timeframe) -> bool:
    return any(timeframe.belongs_to(leg.family) for leg in builder.legs if leg.family)


def _averages(
    builders: Sequence[BuilderConfig], timeframes: Sequence[Timeframe], dimensions: Dimensions, filters: Filters
) -> list[Series]:
    """The series of averages that the filters select, timeframe by timeframe; none if no builder has periods."""
    if not builders:
        return []
    periods = _periods(dimensions, filters)
    pairs = _pairs(builders, dimensions, filters)
    every = [Series(timeframe, period) for timeframe in timeframes for period in periods]
    if pairs is None:
        return every
    return [series for series in every if series in pairs]


def _periods(dimensions: Dimensions, filters: Filters) -> Sequence[int]:
    if filters.periods is None:
        return dimensions.periods
    for period in filters.periods:
        _check_period(f"--periods {period}", period, dimensions.periods)
    return [period for period in dimensions.periods if period in filters.periods]


def _pairs(builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters) -> set[Series] | None:
    """The series that ``--tf-period-combos`` names; ``None``: all."""
    if filters.pairs is None:
        return None
    in_use = _in_use(builders, dimensions)
    pairs: set[Series] = set()
    for name, period in filters.pairs:
        _check_period(f"--tf-period-combos {name}:{period}", period, dimensions.periods)
        timeframes = select((name,), in_use, option="--tf-period-combos")
        pairs.update(Series(timeframe, period) for timeframe in timeframes)
    return pairs


def _check_period(typed: str, period: int, enabled: Sequence[int]) -> None:
    if period not in enabled:
        close = nearest_numbers(period, enabled, none="none is enabled")
        raise UsageError(f"{typed}: no such period in dim_period; {close}")


def select(wanted: Sequence[str], timeframes: Sequence[Timeframe], *, option: str = "--tfs") -> tuple[Timeframe, ...]:
    """The timeframes that full labels or short forms name, in the order of ``timeframes``.

    Raises ``UsageError`` for a name of none, with the nearest labels.
    """
    selected: set[Timeframe] = set()
    for name in wanted:
        of_name = named(name, timeframes)
        if not of_name:
            close = nearest_lengths(name, timeframes)
            raise UsageError(f"{option} {name}: no such timeframe in the builders being run; {close}")
        selected.update(of_name)
    return tuple(timeframe for timeframe in timeframes if timeframe in selected)


def named(name: str, timeframes: Iterable[Timeframe]) -> list[Timeframe]:
    """The timeframes that a full label or a short form names, in any case."""
    return [timeframe for timeframe in timeframes if _is_named(timeframe, name)]


def _is_named(timeframe: Timeframe, name: str) -> bool:
    upper = name.upper()
    is_length = _LENGTH.fullmatch(upper) is not None
    return upper == timeframe.tf or (is_length and upper == timeframe.short)


def nearest_lengths(name: str, timeframes: Sequence[Timeframe]) -> str:
    """The lengths nearest to a wrong one, those of its own unit first; otherwise the nearest spellings."""
    length = _LENGTH.fullmatch(name.upper())
    if not length or length[2] not in _UNITS or not timeframes:
        labels = [timeframe.tf for timeframe in timeframes]
        lengths = [timeframe.short for timeframe in timeframes]
        return nearest(name, labels + lengths)
    unit = _UNITS[length[2]]
    days = int(length[1]) * NOMINAL_DAYS[unit]

    def distance(timeframe: Timeframe) -> tuple[bool, int, int]:
        return timeframe.unit is not unit, abs(timeframe.days_nominal - days), timeframe.days_nominal

    offered = {timeframe.short: timeframe for timeframe in timeframes}.values()
    close = sorted(offered, key=distance)[:3]
    close.sort(key=lambda timeframe: timeframe.days_nominal)
    return nearest_of([timeframe.short for timeframe in close])
