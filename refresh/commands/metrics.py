"""A database in numbers, for Prometheus: the last refresh, what is not fresh, and the size of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from refresh.commands.job import Job
from refresh.commands.judged import Judged, judge_freshness
from refresh.due.lateness import NEVER_BUILT
from refresh.faces.files import write_whole
from refresh.faces.metrics import Labels, Metric, labelled, metric, text
from refresh.installation import VERSION
from refresh.records import Status
from refresh.store import overview, runs
from refresh.store.schema import looking


def write_metrics(job: Job, target: str) -> None:
    """Write the metrics in one piece. Raises ``SettingsError`` if the file cannot be written."""
    with looking(job.engine, job.request.tz) as connection:
        judged = judge_freshness(job.zoned(connection), connection)
        measured = [*_last_run(connection), *_freshness(judged), *_tables(connection)]
    write_whole(text(measured), target, "--metrics")


def _last_run(connection: Connection) -> Iterator[Metric]:
    """The last refresh that ended, by builder; those of a database without one have no values."""
    yield labelled("info", "The version of the program that wrote this.", "version", {VERSION: 1})
    ended = [run for run in overview.refreshes(connection) if run["ended_at"]]
    last: Mapping[str, Any] = ended[0] if ended else {"steps": []}
    steps = {step["builder"]: step for step in last["steps"] if step["ended_at"]}
    success = runs.last_success(connection)
    yield metric("last_success_timestamp_seconds", "When the last refresh ended that did all its work.", _unix(success))
    yield metric("last_run_timestamp_seconds", "When the last refresh ended.", _unix(last.get("ended_at")))
    yield metric("last_run_duration_seconds", "How long the last refresh took.", _seconds(last))
    yield metric("last_run_exit_code", "How the last refresh ended: 0 is good.", last.get("exit_code"))
    yield metric("last_run_rows", "Rows that the last refresh wrote.", last.get("rows"))
    seconds = {builder: step["seconds"] or 0.0 for builder, step in steps.items()}
    yield labelled("builder_duration_seconds", "How long a builder took in the last refresh.", "builder", seconds)
    rows = {builder: step["rows"] or 0 for builder, step in steps.items()}
    yield labelled("builder_rows", "Rows that a builder wrote in the last refresh.", "builder", rows)
    counts = overview.outcome_counts(connection, last.get("run_id"))
    ends: dict[Labels, float] = {(("builder", key), ("status", how)): number for key, how, number in counts}
    yield Metric(name="builder_assets", help="Assets of a builder in the last refresh, by how they ended.", values=ends)


def _freshness(judged: Judged) -> Iterator[Metric]:
    """What is failed and stale as tables and history are, whatever the last refresh was about."""
    failed = {entry.id for entry in judged.open if entry.status is Status.FAILED}
    stale = {entry.id for entry in judged.behind}
    tables = Counter(entry.table for entry in judged.behind)
    lags = [entry.lag for entry in judged.behind if entry.lag != NEVER_BUILT]
    covers = {builder: cover.ended_at.timestamp() for builder, cover in judged.covers.items()}
    yield metric("assets", "Assets of the source.", judged.assets)
    yield metric("assets_failed", "Assets that failed in some builder and are not done since.", len(failed))
    yield metric("assets_stale", "Assets that are not fresh in some table.", len(stale))
    yield metric("largest_lag_seconds", "How far the slowest table that is built is behind the source.", _largest(lags))
    yield labelled("table_assets_stale", "Assets that are not fresh in a table.", "table", tables)
    yield labelled("cover_timestamp_seconds", "When a builder last saw all assets and series.", "builder", covers)


def _tables(connection: Connection) -> Iterator[Metric]:
    sizes = overview.table_bytes(connection)
    yield labelled("table_bytes", "Bytes of a table on disk, with its indexes.", "table", sizes)


def _largest(lags: list[timedelta]) -> float:
    return max(lags, default=timedelta(0)).total_seconds()


def _unix(time: datetime | str | None) -> float | None:
    """A time in seconds since 1970."""
    if isinstance(time, str):
        return datetime.fromisoformat(time).timestamp()
    return time.timestamp() if time else None


def _seconds(run: Mapping[str, Any]) -> float | None:
    began, ended = _unix(run.get("started_at")), _unix(run.get("ended_at"))
    return ended - began if began is not None and ended is not None else None
