"""The charts of a page: which series of an asset are drawn, and their last bars and averages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection

from refresh.catalog import Leg, legs
from refresh.due.scope import Scope
from refresh.store import overview
from refresh.store.database import prefer_indexes
from refresh.store.dimensions import read_dimensions

BARS_SHOWN = 150
"""Of each series of a chart, except that of daily bars."""
MOST_DAYS = 2_000
FEWEST_SERIES = 4
"""The chart of an asset has at least this many series."""
SERIES_OF_ALL_CHARTS = 800
"""About how many series all charts have together: the page stays small."""
DAYS_OF_ALL_CHARTS = 50_000
"""About how many daily bars all charts have together."""
_EMAS_OF_DAILY_BARS = "7D"
_LIKE_DAILY_BARS = {"2D", "3D", "4D", "5D", "6D"}
"""Timeframes whose charts look like that of daily bars."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChartSeries:
    """One series of a chart: bars, and the averages of a timeframe at their closes."""

    bars: Leg
    averaging: Leg
    tf: str

    @property
    def label(self) -> str:
        """The timeframe of the bars."""
        return self.tf if self.bars.shape.has_timeframes else "1D"

    @property
    def title(self) -> str:
        """The series in words."""
        return self.tf if self.bars.shape.has_timeframes else f"1D, EMAs of {self.tf}"


def draw_charts(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> dict[int, bytes]:
    """The chart of each asset, as gzipped JSON."""
    number = max(FEWEST_SERIES, SERIES_OF_ALL_CHARTS // max(len(ids), 1))
    drawn = _chart_series(scopes)[:number]
    periods = sorted(read_dimensions(connection).periods)
    days = min(max(BARS_SHOWN, DAYS_OF_ALL_CHARTS // max(len(ids), 1)), MOST_DAYS)
    prefer_indexes(connection)
    return {id: _chart(connection, id, drawn, periods, days) for id in ids}


def _chart_series(scopes: Sequence[Scope]) -> list[ChartSeries]:
    """The series in the order of their importance: daily bars, then the first of every family, then the second, ..."""
    bars = {leg.target: leg for _, leg in legs()}
    drawn: list[ChartSeries] = []
    families: list[list[ChartSeries]] = []
    for scope, leg in _averaging(scopes):
        followed = bars[leg.follows.table]
        if followed.shape.has_timeframes:
            tfs = [tf for tf in scope.tfs_of(leg) if tf not in _LIKE_DAILY_BARS]
            families.append([ChartSeries(bars=followed, averaging=leg, tf=tf) for tf in tfs])
        else:
            drawn.append(ChartSeries(bars=followed, averaging=leg, tf=_EMAS_OF_DAILY_BARS))
    for turn in zip_longest(*families):
        drawn += filter(None, turn)
    return drawn


def _averaging(scopes: Sequence[Scope]) -> Iterator[tuple[Scope, Leg]]:
    """The legs that hold averages, each with its scope."""
    for scope in scopes:
        for leg in scope.builder.legs:
            if leg.averages:
                yield scope, leg


def _chart(connection: Connection, id: int, drawn: Sequence[ChartSeries], periods: Sequence[int], days: int) -> bytes:
    """The series of an asset that have bars, as gzipped JSON: daily bars with marks, and as many days as asked for."""
    contents = []
    for series in drawn:
        is_daily = not series.bars.shape.has_timeframes
        content = _content(connection, id, series, periods, days if is_daily else BARS_SHOWN)
        if is_daily and content["days"]:
            content["marks"] = overview.marks(connection, id, content["days"][0])
        if not is_daily:
            del content["volume"]
        contents.append(content)
    chart = {"series": [content for content in contents if content["days"]]}
    return gzip.compress(json.dumps(chart, separators=(",", ":")).encode(), mtime=0)


def _content(
    connection: Connection, id: int, series: ChartSeries, periods: Sequence[int], number: int
) -> dict[str, Any]:
    """The last bars of one series, with the averages at their closes."""
    rows = overview.bars_with_averages(
        connection, id, series.bars, series.averaging, tf=series.tf, periods=periods, number=number
    )
    content: dict[str, Any] = {
        "table": series.bars.target,
        "tf": series.label,
        "title": series.title,
        "days": [row.day for row in rows],
    }
    for column in ("open", "high", "low", "close", "volume"):
        content[column] = [_short(getattr(row, column)) for row in rows]
    content["forming"] = bool(rows and rows[-1].is_forming)
    content["ema_table"] = series.averaging.target
    content["emas"] = {}
    for position, period in enumerate(periods):
        content["emas"][str(period)] = [_short(row.averages[position]) for row in rows]
    return content


def _short(value: float | None) -> float | None:
    """A number with five digits: a chart cannot show more."""
    return None if value is None else float(f"{value:.5g}")
