"""Which series a run is about: what a user's filters pick of the timeframes and periods in use."""

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
    """The series of each builder, by its key; empty where the filters leave a builder nothing.

    Raises ``UsageError`` for a filter that picks nothing in any of the builders, with the nearest valid values.
    """
    timeframes = _timeframes(builders, dimensions, filters)
    averaging = [builder for builder in builders if builder.has_periods]
    periods = _periods(dimensions, filters) if averaging else ()
    pairs = _pairs(averaging, dimensions, filters) if averaging else None
    chosen = {builder.key: _series_of(builder, timeframes, periods, pairs) for builder in builders}
    if averaging and not any(chosen[builder.key] for builder in averaging):
        if filters == Filters():
            raise DimensionError("no timeframe or no period of these EMAs is enabled in dim_timeframe and dim_period")
        raise UsageError("--tfs, --periods and --tf-period-combos together leave no EMA series; loosen one of them")
    return chosen


def _series_of(
    builder: BuilderConfig, timeframes: Iterable[Timeframe], periods: Sequence[int], pairs: set[Series] | None
) -> tuple[Series, ...]:
    own = [timeframe for timeframe in timeframes if _belongs(builder, timeframe)]
    if not builder.has_periods:
        return tuple(Series(timeframe) for timeframe in own)
    series = (Series(timeframe, period) for timeframe in own for period in periods)
    return tuple(one for one in series if pairs is None or one in pairs)


def _timeframes(builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters) -> tuple[Timeframe, ...]:
    """The timeframes of any of the builders that ``--tfs`` picks; all of them where no builder has timeframes."""
    own = _in_use(builders, dimensions)
    if filters.tfs is None or not any(builder.has_timeframes for builder in builders):
        return own
    return select(filters.tfs, own)


def _in_use(builders: Sequence[BuilderConfig], dimensions: Dimensions) -> tuple[Timeframe, ...]:
    return tuple(
        timeframe for timeframe in dimensions.timeframes if any(_belongs(builder, timeframe) for builder in builders)
    )


def _belongs(builder: BuilderConfig, timeframe: Timeframe) -> bool:
    return any(timeframe.belongs_to(leg.family) for leg in builder.legs if leg.family)


def _periods(dimensions: Dimensions, filters: Filters) -> tuple[int, ...]:
    for period in filters.periods or ():
        _check_period(f"--periods {period}", period, dimensions.periods)
    return tuple(period for period in dimensions.periods if filters.periods is None or period in filters.periods)


def _pairs(builders: Sequence[BuilderConfig], dimensions: Dimensions, filters: Filters) -> set[Series] | None:
    if filters.pairs is None:
        return None
    timeframes = _in_use(builders, dimensions)
    pairs: set[Series] = set()
    for name, period in filters.pairs:
        _check_period(f"--tf-period-combos {name}:{period}", period, dimensions.periods)
        pairs |= {Series(timeframe, period) for timeframe in select((name,), timeframes, option="--tf-period-combos")}
    return pairs


def _check_period(typed: str, period: int, known: Sequence[int]) -> None:
    if period not in known:
        close = nearest_numbers(period, known, none="none is enabled")
        raise UsageError(f"{typed}: no such period in dim_period; {close}")


def select(wanted: Sequence[str], timeframes: Sequence[Timeframe], *, option: str = "--tfs") -> tuple[Timeframe, ...]:
    """The timeframes that full labels or short forms pick, in the order of ``timeframes``.

    Raises ``UsageError`` for a name that picks none, with the nearest labels.
    """
    for name in wanted:
        if not any(_answers(timeframe, name) for timeframe in timeframes):
            close = _nearest_lengths(name, timeframes)
            raise UsageError(f"{option} {name}: no such timeframe in the builders being run; {close}")
    return tuple(timeframe for timeframe in timeframes if any(_answers(timeframe, name) for name in wanted))


def _answers(timeframe: Timeframe, name: str) -> bool:
    upper = name.upper()
    return upper == timeframe.tf or bool(_LENGTH.fullmatch(upper) and upper == timeframe.short)


def _nearest_lengths(name: str, timeframes: Sequence[Timeframe]) -> str:
    """The lengths nearest to a wrong one, those of its own unit first; otherwise the nearest spellings."""
    length = _LENGTH.fullmatch(name.upper())
    if not length or length[2] not in _UNITS or not timeframes:
        return nearest(name, (spelling for timeframe in timeframes for spelling in (timeframe.tf, timeframe.short)))
    unit = _UNITS[length[2]]
    days = int(length[1]) * NOMINAL_DAYS[unit]

    def distance(timeframe: Timeframe) -> tuple[bool, int, int]:
        return timeframe.unit is not unit, abs(timeframe.days_nominal - days), timeframe.days_nominal

    offered = {timeframe.short: timeframe for timeframe in timeframes}.values()
    close = sorted(sorted(offered, key=distance)[:3], key=lambda timeframe: timeframe.days_nominal)
    return nearest_of([timeframe.short for timeframe in close])
