"""The page about a database: what it shows beside the charts. Writes nothing into the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from refresh.catalog import BUILDERS, by_key, legs
from refresh.commands.charts import draw_charts
from refresh.commands.job import Job
from refresh.due import survey
from refresh.due.freshness import DAY, Freshness, read_freshness
from refresh.due.scope import Scope
from refresh.faces import words
from refresh.faces.files import write_whole
from refresh.faces.html import page
from refresh.store import overview, runs
from refresh.store.schema import looking


def write_page(job: Job, target: str) -> None:
    """Write the page about the database to a file. Raises ``SettingsError`` if that is not possible."""
    with looking(job.engine, job.request.tz) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, job.zoned(connection).request.selection, job.now)
        ids = survey.asset_ids(connection, scopes[0])
        data = _data(connection, scopes[0], ids)
        charts = draw_charts(connection, scopes, ids)
    write_whole(page(data, charts), target, "--html")
    job.say(f"the page is {Path(target).absolute().as_uri()}")


def _data(connection: Connection, scope: Scope, ids: Sequence[int]) -> dict[str, Any]:
    """Everything that the page shows, except the charts."""
    summary = runs.last_summary(connection) or {}
    entries = _runs(connection)
    since = _since(entries, summary)
    return {
        "generated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": overview.database_name(connection),
        "headline": summary.get("headline", _without_refresh(entries)),
        "severity": summary.get("severity", "info"),
        "details": summary.get("details", []),
        "summary": summary or None,
        "since": words.runs_alone("since then", since) if summary and since else None,
        "runs": entries,
        "nights": overview.nights(connection),
        "freshness": freshness(connection, scope, ids),
        "failures": overview.failures(connection),
        "restatements": overview.restatements(connection),
    }


def _runs(connection: Connection) -> list[dict[str, Any]]:
    """The last refreshes, newest first, and the runs of single builders between two of them as one entry."""
    groups = overview.runs_alone(connection)
    entries = _groups(groups, 0)
    for newer, run in enumerate(overview.refreshes(connection), 1):
        for step in run["steps"]:
            step["title"] = by_key(step["builder"]).title
        entries += [{"kind": "refresh", **run}, *_groups(groups, newer)]
    return entries


def _groups(groups: Mapping[int, Mapping[str, Any]], newer: int) -> list[dict[str, Any]]:
    """The group of single builders that ran before so many refreshes, if there is one."""
    return [{"kind": "builders", **groups[newer]}] if newer in groups else []


def _since(entries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups of single builders that ran after the refresh of the headline."""
    newer: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry["kind"] == "refresh" and entry["run_id"] == summary.get("run_id"):
            break
        if entry["kind"] == "builders":
            newer.append(entry)
    return newer


def _without_refresh(entries: Sequence[Mapping[str, Any]]) -> str:
    """The headline of a database in which no refresh has ended."""
    alone = _since(entries, {})
    if not alone:
        return "No run has ended yet."
    return words.runs_alone("No refresh has ended yet, but", alone)


def freshness(connection: Connection, scope: Scope, ids: Sequence[int]) -> dict[str, Any]:
    """The tables, and for each asset its name, the last day of the source, and the days each table lags behind it."""
    fresh = read_freshness(connection, scope.now, scope.tz)
    names = overview.names(connection, ids)
    targets = [leg.target for _, leg in legs()]
    reached = [overview.reached(connection, leg) for _, leg in legs()]
    assets = []
    for id in ids:
        last = fresh.last.get(id)
        assets.append(
            {
                "id": id,
                "name": names.get(id, f"asset {id}"),
                "last": last and f"{last:%Y-%m-%d}",
                "lags": [_lag(fresh, id, times) for times in reached],
            }
        )
    return {"tables": targets, "assets": assets}


def _lag(fresh: Freshness, id: int, times: Mapping[int, datetime]) -> int | None:
    """The days that an asset lags behind the source in a table, without closed ones; ``None`` if it is not in it."""
    if id not in times:
        return None
    if id not in fresh.last:
        return 0
    return max(fresh.elapsed(id, times[id], fresh.last[id]) // DAY, 0)
