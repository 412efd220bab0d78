"""What a run is asked to look at, and what it may do: values that the command line becomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What the series are narrowed to; ``None`` is no narrowing. ``pairs``: (timeframe, period) of EMAs."""

    tfs: tuple[str, ...] | None = None
    periods: tuple[int, ...] | None = None
    pairs: tuple[tuple[str, int], ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """How changes of the source are looked for, and what may be taken in unasked.

    ``lookback_days``: look only at months that reach into that many days before now; ``None``: at all of them.
    ``restate_limit``: percent of the assets that may be restated at once; ``accept_restatement``: no limit.
    ``prune``: an asset that is gone from the source loses its bars.
    """

    lookback_days: int | None
    restate_limit: float
    accept_restatement: bool
    prune: bool

    def cutoff(self, now: datetime) -> datetime | None:
        """The time from which on the source is looked at."""
        return now - timedelta(days=self.lookback_days) if self.lookback_days else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which assets (``None``: all) and series, and how they are treated.

    ``rebuild``: from the first day, whatever the states say. ``max_lag``: how far bars may be behind the source for
    EMAs to be built on them. ``retries``: how often a transient error of the database is tried again.
    """

    ids: tuple[int, ...] | None
    filters: Filters
    rebuild: bool
    detection: Detection
    max_lag: timedelta
    retries: int
    tz: str
