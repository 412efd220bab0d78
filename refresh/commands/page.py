"""The page about a database: what it shows, and of which series it has charts. Writes nothing into the database."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from refresh.catalog import BUILDERS, DAILY, Leg, by_key, legs
from refresh.commands.job import Job
from refresh.due import survey
from refresh.due.freshness import DAY, Freshness, read_freshness
from refresh.due.scope import Scope
from refresh.faces.files import write_whole
from refresh.faces.html import page
from refresh.store import history, overview
from refresh.store.database import prefer_indexes
from refresh.store.dimensions import read_dimensions
from refresh.store.schema import looking

LEAST_SERIES, SERIES_IN_ALL = 4, 800
"""How many series an asset's chart has at least, and all charts together about: the page stays small."""
_DAILY_EMAS = "2D"
_LIKE_DAYS = {"2D", "3D", "4D", "5D", "6D"}
"""Timeframes whose charts look like that of daily bars."""


def write_page(job: Job, target: str) -> None:
    """Write the page about the database to a file."""
    with looking(job.opened.engine, job.request.tz) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, job.request.selection, job.now)
        data, charts = collect(connection, scopes)
    write_whole(page(data, charts), target, "--html")
    job.say(f"the page is {Path(target).absolute().as_uri()}")


def collect(connection: Connection, scopes: Sequence[Scope]) -> tuple[dict[str, Any], dict[int, bytes]]:
    """Everything that a page shows, and the charts by asset."""
    now = scopes[0].now
    ids = survey.asset_ids(connection, scopes[0])
    summary = history.last_summary(connection) or {}
    data = {
        "generated_at": now.isoformat(timespec="seconds"),
        "database": overview.database_name(connection),
        "headline": summary.get("headline", "No run has ended yet."),
        "severity": summary.get("severity", "info"),
        "details": summary.get("details", []),
        "summary": summary or None,
        "runs": _runs(connection),
        "freshness": {"tables": tables(), "assets": _assets(connection, read_freshness(connection, now), ids)},
        "failures": overview.failures(connection),
        "restatements": overview.restatements(connection),
    }
    charted = _charted(scopes, max(LEAST_SERIES, SERIES_IN_ALL // max(len(ids), 1)))
    periods = sorted(read_dimensions(connection).periods)
    prefer_indexes(connection)
    return data, {id: chart(connection, id, charted, periods) for id in ids}


def _runs(connection: Connection) -> list[dict[str, Any]]:
    runs = overview.runs(connection)
    for run in runs:
        for step in run["steps"]:
            step["title"] = by_key(step["builder"]).title
    return runs


def tables() -> list[str]:
    """The tables, in the order of the lags of an asset."""
    return [leg.target for _, leg in legs()]


def _assets(connection: Connection, fresh: Freshness, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Per asset its name, the last day of the source, and by how many days each table lags behind it."""
    names = overview.names(connection, ids)
    reached = [overview.reached(connection, leg) for _, leg in legs()]
    assets = []
    for id in ids:
        last = fresh.last.get(id)
        lags = [_lag(fresh, id, times) for times in reached]
        name = names.get(id, f"asset {id}")
        assets.append({"id": id, "name": name, "last": last and f"{last:%Y-%m-%d}", "lags": lags})
    return assets


def _lag(fresh: Freshness, id: int, times: Mapping[int, Any]) -> int | None:
    if id not in times:
        return None
    if id not in fresh.last:
        return 0
    return int(max((fresh.last[id] - times[id]) // DAY, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Charted:
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


def _charted(scopes: Sequence[Scope], number: int) -> list[Charted]:
    """Which series: the daily bars, then one timeframe after the other of each family."""
    bars = {leg.target: leg for scope in scopes for leg in scope.builder.legs}
    daily: list[Charted] = []
    families: list[list[Charted]] = []
    for scope in scopes:
        for leg in scope.builder.legs:
            if not leg.averages:
                continue
            followed = bars[leg.follows.table]
            if followed.target == DAILY:
                daily.append(Charted(bars=followed, averaging=leg, tf=_DAILY_EMAS))
            else:
                tfs = [tf for tf in scope.tfs_of(leg) if tf not in _LIKE_DAYS]
                families.append([Charted(bars=followed, averaging=leg, tf=tf) for tf in tfs])
    turns = [series for turn in zip_longest(*families) for series in turn if series]
    return [*daily, *turns][:number]


def chart(connection: Connection, id: int, charted: Sequence[Charted], periods: Sequence[int]) -> bytes:
    """The last bars of some timeframes of an asset, with the averages at their closes, as gzipped JSON."""
    series = [_series(connection, id, wanted, periods) for wanted in charted]
    shown = {"series": [drawn for drawn in series if drawn["days"]]}
    return gzip.compress(json.dumps(shown, separators=(",", ":")).encode(), mtime=0)


def _series(connection: Connection, id: int, wanted: Charted, periods: Sequence[int]) -> dict[str, Any]:
    rows = overview.bars_with_averages(connection, id, wanted.bars, wanted.averaging, tf=wanted.tf, periods=periods)
    prices = {name: [_short(getattr(row, name)) for row in rows] for name in ("open", "high", "low", "close")}
    averages = zip(*(row.averages for row in rows), strict=True)
    return {
        "table": wanted.bars.target,
        "tf": wanted.label,
        "title": wanted.title,
        "days": [row.day for row in rows],
        **prices,
        "forming": bool(rows and rows[-1].is_forming),
        "ema_table": wanted.averaging.target,
        "emas": {str(period): list(map(_short, values)) for period, values in zip(periods, averages, strict=False)},
    }


def _short(value: float | None) -> float | None:
    """Five digits are more than a chart can show."""
    return None if value is None else float(f"{value:.5g}")
