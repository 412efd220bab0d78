"""What a run is about and what it may do, as values. Knows no flag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What the series are narrowed to; ``None`` narrows nothing. ``pairs``: (timeframe, period) of EMAs."""

    tfs: tuple[str, ...] | None = None
    periods: tuple[int, ...] | None = None
    pairs: tuple[tuple[str, int], ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """What other databases hold of the assets of a run: those known there, and those among them that are restated."""

    known: int = 0
    restated: int = 0

    def __add__(self, other: Elsewhere) -> Elsewhere:
        return Elsewhere(known=self.known + other.known, restated=self.restated + other.restated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """How changes of the source are found, and which of them are taken in.

    ``lookback_days``: check only the months of the last N days; ``None``: all months. ``restate_limit``: the percentage
    of assets that may be restated at once, those ``elsewhere`` included; ``accept_restatement``: no limit. ``prune``:
    an asset that is gone from the source loses its bars.
    """

    lookback_days: int | None
    restate_limit: float
    accept_restatement: bool
    prune: bool
    elsewhere: Elsewhere = Elsewhere()

    def cutoff(self, now: datetime) -> datetime | None:
        """The time from which the source is checked; ``None``: from the first day."""
        if not self.lookback_days:
            return None
        return now - timedelta(days=self.lookback_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which assets (``None``: all) and series, and how they are treated.

    ``rebuild``: from the first day, whatever the states say. ``max_lag``: how far bars may be behind the source for
    EMAs to be built on them. ``retries``: the number of retries after a transient error of the database. ``fold``: fold
    rows finer than a day.
    """

    ids: tuple[int, ...] | None
    filters: Filters
    rebuild: bool
    detection: Detection
    max_lag: timedelta
    retries: int
    tz: str
    fold: bool = False
