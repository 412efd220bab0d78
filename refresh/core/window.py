"""Which calendar window holds a day. The windows of a timeframe tile the days: in order, without gap or overlap.

Rolling timeframes have no calendar windows: there n daily bars make a bar, whatever their days (``bars``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.core.rows import DAY, Array
from refresh.core.timeframe import Timeframe, Unit
from refresh.families import Alignment, Scheme

DAYS_IN_WEEK = 7
FIRST_WEEK = {
    Scheme.US: np.datetime64("1970-01-04", "D"),
    Scheme.ISO: np.datetime64("1970-01-05", "D"),
}
"""The first day of week 0: Sunday or Monday."""
EPOCH_YEAR = 1970


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Per day: the number of its window (growing with time), the window's first and last day; shape (days,).

    ``exists`` is false for days before an aligned timeframe's first window; their other values mean nothing.
    """

    exists: Array
    number: Array
    first: Array
    last: Array

    @property
    def existing(self) -> Windows:
        """The windows of the days that are in one; ``exists`` still says which of all days those are."""
        return Windows(
            exists=self.exists,
            number=self.number[self.exists],
            first=self.first[self.exists],
            last=self.last[self.exists],
        )


def windows(timeframe: Timeframe, days: Array, first_days: Array) -> Windows:
    """The windows that hold ``days`` (``datetime64[D]``), for assets whose first days are ``first_days``.

    Both have shape (days,). Aligned windows are laid from the asset's first whole unit on; anchored windows are the
    same for every asset and ignore ``first_days``.
    """
    unit = unit_number(timeframe, days)
    origin = np.full(len(days), _anchor(timeframe))
    exists = np.ones(len(days), bool)
    if timeframe.alignment is Alignment.ALIGNED:
        origin = _first_whole_unit(timeframe, first_days)
        exists = unit >= origin
    number = np.floor_divide(unit - origin, timeframe.quantity)
    begin = origin + number * timeframe.quantity
    return Windows(
        exists=exists,
        number=number,
        first=unit_start(timeframe, begin),
        last=unit_start(timeframe, begin + timeframe.quantity) - 1,
    )


def first_day(timeframe: Timeframe, first_days: Array) -> Array:
    """The first day of an aligned timeframe, for assets whose first days are ``first_days`` (``datetime64[D]``)."""
    return unit_start(timeframe, _first_whole_unit(timeframe, first_days))


def unit_number(timeframe: Timeframe, days: Array) -> Array:
    """The calendar unit of each day as int64: weeks from week 0, months and years from 1970."""
    if timeframe.unit is Unit.WEEK:
        return np.floor_divide((days - _week_origin(timeframe)).astype(np.int64), DAYS_IN_WEEK)
    return days.astype(f"M8[{timeframe.unit.value}]").astype(np.int64)


def unit_start(timeframe: Timeframe, number: Array) -> Array:
    """The first day of each calendar unit, ``datetime64[D]``."""
    if timeframe.unit is Unit.WEEK:
        return _week_origin(timeframe) + number * DAYS_IN_WEEK
    return number.astype(f"M8[{timeframe.unit.value}]").astype(DAY)


def _first_whole_unit(timeframe: Timeframe, first_days: Array) -> Array:
    number = unit_number(timeframe, first_days)
    return number + (unit_start(timeframe, number) < first_days)


def _anchor(timeframe: Timeframe) -> int:
    """The unit with which window 0 begins. January 1970 is a boundary of any n that divides 12; years count from 0."""
    return -EPOCH_YEAR if timeframe.unit is Unit.YEAR else 0


def _week_origin(timeframe: Timeframe) -> np.datetime64:
    if timeframe.scheme is None:
        raise ValueError(f"timeframe {timeframe.tf} counts weeks and needs a scheme")
    return FIRST_WEEK[timeframe.scheme]
