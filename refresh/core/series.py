"""Series: one per timeframe and, for averages, period."""

from __future__ import annotations

from dataclasses import dataclass

from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe

NO_PERIOD = 0


@dataclass(frozen=True, slots=True)
class Series:
    """A timeframe and, for averages, a period in bars."""

    timeframe: Timeframe
    period: int = NO_PERIOD

    @property
    def rank(self) -> tuple[int, str, int]:
        """Sorts series by when they begin."""
        return self.timeframe.days_nominal * self.period, self.timeframe.tf, self.period


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The timeframes and periods in use, in their order."""

    timeframes: tuple[Timeframe, ...] = DEFAULT_TIMEFRAMES
    periods: tuple[int, ...] = DEFAULT_PERIODS
