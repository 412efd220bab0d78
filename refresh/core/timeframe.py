"""Timeframes: what a label means, which families it belongs to, which rules it must keep.

Knows nothing of days and windows: ``window`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from refresh.families import Alignment, Family, Scheme

MONTHS_IN_YEAR = 12


class Unit(Enum):
    """The unit of a timeframe's length, by its letter in labels."""

    DAY = "D"
    WEEK = "W"
    MONTH = "M"
    YEAR = "Y"


NOMINAL_DAYS = {Unit.DAY: 1, Unit.WEEK: 7, Unit.MONTH: 30, Unit.YEAR: 365}
_LABEL_OF_ALIGNMENT = {Alignment.ROLLING: "", Alignment.ALIGNED: "_CAL", Alignment.ANCHORED: "_CAL_ANCHOR"}


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A length, an alignment and, for calendar weeks, a scheme. Months and years serve both schemes."""

    quantity: int
    unit: Unit
    alignment: Alignment
    scheme: Scheme | None = None

    @property
    def tf(self) -> str:
        """The label, e.g. ``7D``, ``2W_CAL_US``, ``3M_CAL_ANCHOR``."""
        label = self.short + _LABEL_OF_ALIGNMENT[self.alignment]
        return f"{label}_{self.scheme.value}" if self.scheme else label

    @property
    def short(self) -> str:
        """The length alone, e.g. ``7D``, which names the timeframes of that length in every family."""
        return f"{self.quantity}{self.unit.value}"

    @property
    def days_nominal(self) -> int:
        """N of the EMA formulas: n, 7n, 30n or 365n days."""
        return self.quantity * NOMINAL_DAYS[self.unit]

    def belongs_to(self, family: Family) -> bool:
        """Whether a table of this family holds this timeframe."""
        return self.alignment is family.alignment and self.scheme in {None, family.scheme}


def broken_rule(timeframe: Timeframe) -> str | None:
    """The rule of its family that the timeframe breaks, in words; ``None`` if it keeps them all."""
    counts_weeks = timeframe.unit is Unit.WEEK
    is_rolling = timeframe.alignment is Alignment.ROLLING
    anchored_months = timeframe.unit is Unit.MONTH and timeframe.alignment is Alignment.ANCHORED
    if timeframe.quantity < 1:
        return f"tf_qty is {timeframe.quantity} but must be at least 1"
    if (timeframe.unit is Unit.DAY) != is_rolling:
        return "rolling timeframes count days, and only they do"
    if counts_weeks != (timeframe.scheme is not None):
        return "calendar weeks need calendar_scheme US or ISO, other units none"
    if anchored_months and MONTHS_IN_YEAR % timeframe.quantity:
        return f"anchored months must divide 12 and {timeframe.quantity} does not (use 1, 2, 3, 4, 6 or 12)"
    return None


def _calendar_timeframes(alignment: Alignment) -> list[Timeframe]:
    weeks = [Timeframe(n, Unit.WEEK, alignment, scheme) for scheme in Scheme for n in (1, 2, 4)]
    months = [Timeframe(n, Unit.MONTH, alignment) for n in (1, 2, 3, 6, 12)]
    return [*weeks, *months, Timeframe(1, Unit.YEAR, alignment)]


ROLLING_DAYS = (2, 3, 4, 5, 7, 10, 14, 21, 28, 30, 45, 60, 90, 180, 365)
DEFAULT_TIMEFRAMES: tuple[Timeframe, ...] = (
    *(Timeframe(n, Unit.DAY, Alignment.ROLLING) for n in ROLLING_DAYS),
    *_calendar_timeframes(Alignment.ALIGNED),
    *_calendar_timeframes(Alignment.ANCHORED),
)
DEFAULT_PERIODS: tuple[int, ...] = (10, 14, 20, 30, 50, 100, 200)
