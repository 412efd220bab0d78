"""What runs were about, and what they prove: which builders a run covered, and what is not done since.

A run about some assets or series proves nothing about the others. A run that did not end proves nothing, unless another
run resumed it to the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.records import Status
from refresh.store.history import OPEN_SINCE
from refresh.store.statements import ALL_OR_SOME, lists_of, relation, rows_of, some_assets
from refresh.store.tables import OUTCOMES, RUNS

_ALONE = "python -m refresh.builder "
"""How the command of a builder begins that nobody launched."""

IS_ALONE = f"(CASE WHEN r.program IS NULL THEN starts_with(r.command, '{_ALONE}') ELSE r.program = 'builder' END)"
"""Whether a run r is that of a single builder. The command says it of rows without ``program``."""

COVERED = f"""
    (CASE WHEN r.builders IS NOT NULL THEN r.builders
          WHEN starts_with(r.command, '{_ALONE}') THEN ARRAY[split_part(r.command, ' ', 4)]
          ELSE ARRAY(SELECT step ->> 'builder' FROM jsonb_array_elements(r.summary -> 'steps') AS step) END)"""
"""The keys of the builders of a run r; those of rows without ``builders`` are in the command or in the summary."""

_HAS_ASSETS = """
    (CASE WHEN r.program IS NULL THEN r.command !~ '\\s--ids' OR r.command ~ '\\s--ids all'
          ELSE r.asset_ids IS NULL OR (NOT :everything AND r.asset_ids @> CAST(:ids AS int[])) END)"""
"""Whether a run r was about all the assets that are asked for."""

_WAS_STOPPED = "(r.exit_code = ANY(ARRAY[130, 143]))"
"""A single builder that is stopped leaves no outcome of what it did not reach."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """The last run that brought a builder up to date for all assets, except for what it left unfinished."""

    builder: str
    run_id: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """An asset that is not done in a builder: how its last attempt ended, why, and since when."""

    builder: str
    id: int
    status: Status
    why: str
    since: datetime


def covers(connection: Connection, filters: Sequence[str], ids: Sequence[int] | None) -> dict[str, Cover]:
    """The last cover of each builder that has one. ``filters``: the arguments that narrow a run to some series.

    A run that was killed ended when it began: nothing later is certain.
    """
    rows = connection.execute(
        text(f"""
            SELECT DISTINCT ON (builder) builder, run_id, started_at, coalesce(ended_at, started_at) AS ended_at
            FROM {RUNS} r CROSS JOIN LATERAL unnest({COVERED}) AS builder
            WHERE resumes IS NULL AND NOT arguments && CAST(:filters AS text[]) AND {_HAS_ASSETS}
              AND CASE WHEN {IS_ALONE} THEN ended_at IS NOT NULL AND NOT {_WAS_STOPPED}
                       ELSE ended_at IS NOT NULL OR EXISTS (
                           SELECT FROM {RUNS} q WHERE q.resumes = r.run_id AND q.ended_at IS NOT NULL) END
            ORDER BY builder, started_at DESC
        """),
        {"filters": list(filters), **some_assets(ids)},
    )
    return {row.builder: Cover(**row) for row in rows.mappings()}


def open_since(
    connection: Connection, proofs: Collection[Cover], filters: Sequence[str], ids: Sequence[int] | None
) -> list[Open]:
    """What covers and later runs left, and no run has done since; by builder and asset, the last attempt of each.

    A run narrowed in another way has not done what a run left. What a later run without an end has not reached counts
    for nothing: it may be at work.
    """
    query = text(f"""
        SELECT DISTINCT ON (o.builder, o.id) o.builder, o.id, o.status, coalesce(o.error, o.reason) AS why,
               coalesce(({OPEN_SINCE}), o.noted_at) AS since
        FROM {rows_of("c", builder="text", run_id="text", started_at="timestamptz")}
        JOIN {RUNS} r ON r.started_at >= c.started_at
        JOIN {OUTCOMES} o ON o.run_id = r.run_id AND o.builder = c.builder
        WHERE o.status <> :done AND {ALL_OR_SOME}
          AND NOT (o.status = :not_reached AND r.ended_at IS NULL AND r.run_id <> c.run_id)
          AND NOT EXISTS (
              SELECT FROM {OUTCOMES} later JOIN {RUNS} other ON other.run_id = later.run_id
              WHERE (later.builder, later.id) = (o.builder, o.id) AND later.status = :done
                AND later.noted_at > o.noted_at
                AND (other.arguments = r.arguments OR NOT other.arguments && CAST(:filters AS text[])))
        ORDER BY o.builder, o.id, o.noted_at DESC
    """)
    statuses = {"done": Status.DONE.value, "not_reached": Status.NOT_REACHED.value}
    since = lists_of("c", proofs, "builder", "run_id", "started_at")
    values = {**statuses, **since, "filters": list(filters), **some_assets(ids)}
    return [Open(**{**row, "status": Status(row["status"])}) for row in connection.execute(query, values).mappings()]


def any_good(connection: Connection) -> bool:
    """Whether any run did all its work."""
    return bool(connection.execute(text(f"SELECT EXISTS (SELECT FROM {RUNS} WHERE exit_code = 0)")).scalar_one())


def last_summary(connection: Connection) -> Mapping[str, Any] | None:
    """The document of the last refresh that ended; single builders have none."""
    query = text(f"SELECT summary FROM {RUNS} WHERE summary IS NOT NULL ORDER BY started_at DESC LIMIT 1")
    summary: Mapping[str, Any] | None = connection.execute(query).scalar()
    return summary


def last_success(connection: Connection) -> datetime | None:
    """When the last refresh ended that did all its work; single builders are none."""
    query = text(f"SELECT max(ended_at) FROM {RUNS} r WHERE exit_code = 0 AND NOT {IS_ALONE}")
    ended: datetime | None = connection.execute(query).scalar()
    return ended


LATEST = {
    "run_id": "text",
    "program": "text null",
    "command": "text",
    "host": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz null",
    "exit_code": "int4 null",
    "assets": "int4",
    "rows": "int8 null",
    "resumes": "text null",
}
"""The columns of ``latest``, and their types."""


def latest(connection: Connection, number: int | None) -> list[Any]:
    """The last runs, the latest first; ``None``: all. A run without an end is at work, or was killed."""
    query = text(f"SELECT {', '.join(LATEST)} FROM {RUNS} ORDER BY started_at DESC, run_id DESC LIMIT :number")
    return list(connection.execute(query, {"number": number}))


def knows_run(connection: Connection, run_id: str) -> bool:
    """Whether a run is recorded in this database, which may have no tables of ours."""
    if not connection.execute(text(f"SELECT {relation(':runs')} IS NOT NULL"), {"runs": RUNS}).scalar_one():
        return False
    found = connection.execute(text(f"SELECT EXISTS (SELECT FROM {RUNS} WHERE run_id = :run_id)"), {"run_id": run_id})
    return bool(found.scalar_one())
