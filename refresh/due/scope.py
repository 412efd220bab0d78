"""One builder's part of a run: its selection and series, the price table, and the run's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from refresh.catalog import BuilderConfig, Leg
from refresh.core.series import Series
from refresh.due.selection import Selection
from refresh.store.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """One builder's part of a run: the selection, its series, the price table, and the run's clock and name."""

    builder: BuilderConfig
    selection: Selection
    series: tuple[Series, ...]
    source: Source
    now: datetime
    run_id: str

    @property
    def tz(self) -> str:
        """The time zone in which a day starts."""
        return self.selection.tz

    def narrowed(self, ids: Sequence[int] | None) -> Scope:
        """The same for some assets alone; ``None``: for all."""
        return replace(self, selection=replace(self.selection, ids=None if ids is None else tuple(ids)))

    def series_of(self, leg: Leg) -> tuple[Series, ...]:
        """The series that a leg's table holds; averages in the order in which they are packed."""
        family = leg.family
        if family is None:
            return ()
        series = [series for series in self.series if series.timeframe.belongs_to(family)]
        return tuple(sorted(series, key=lambda member: member.rank) if leg.averages else series)

    def chosen(self, leg: Leg, positions: Sequence[int]) -> list[Series]:
        """Some of the series of a leg, by their positions."""
        series = self.series_of(leg)
        return [series[position] for position in positions]

    def tfs_of(self, leg: Leg) -> list[str]:
        """The timeframes of a leg, each once, in order."""
        return list(dict.fromkeys(series.timeframe.tf for series in self.series_of(leg)))
