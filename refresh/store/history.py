"""The history of runs: what was requested, what was planned, how each step and each asset ended.

An outcome is written in the transaction of its rows. Until then the asset is recorded as not reached, so that the
history of a run that is killed is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from refresh.installation import VERSION
from refresh.records import Outcome, PastStep, Status
from refresh.store.statements import bytes_of, columns_of, lists_of, rows_of
from refresh.store.tables import METADATA, OUTCOMES, RUNS, STEPS

DAYS_KEPT = 100
"""How long an outcome is kept after a later one of its asset and builder has replaced it."""
STEPS_TO_LEARN_FROM = 20

OPEN_SINCE = f"""
    SELECT min(e.noted_at) FROM {OUTCOMES} e
    WHERE (e.builder, e.id) = (o.builder, o.id) AND e.run_id <> o.run_id AND e.status <> 'done'
      AND NOT EXISTS (SELECT FROM {OUTCOMES} good WHERE (good.builder, good.id) = (e.builder, e.id)
                      AND good.status = 'done' AND good.noted_at > e.noted_at)"""
"""Since when the asset of an outcome o is not done in its builder, if other runs than that of o say so as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A run as it begins: its name, the command as typed (without secrets), and where it runs.

    ``arguments``: those that narrow or change what builders do, which a resumed run keeps. ``resumes``: the run that
    is resumed. ``builders``: the keys of all builders that it is about, also of those that have nothing to do.
    ``asset_ids``: the assets that it was narrowed to; ``None``: all.
    """

    run_id: str
    command: str
    arguments: tuple[str, ...]
    host: str
    pid: int
    started_at: datetime
    assets: int
    program: str
    builders: tuple[str, ...]
    asset_ids: tuple[int, ...] | None = None
    resumes: str | None = None


def begin_run(connection: Connection, run: Started) -> None:
    """Note that a run begins."""
    row = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(run).items()}
    connection.execute(METADATA.tables[RUNS].insert(), row | {"program_version": VERSION})


def end_run(
    connection: Connection, run_id: str, exit_code: int, rows: int, summary: Mapping[str, Any] | None = None
) -> None:
    """Note how a run ended; of a refresh, with the document that sums it up, also how large all tables are."""
    document = None if summary is None else json.dumps(summary)
    tables = [] if summary is None else list(METADATA.tables)
    connection.execute(
        text(f"""UPDATE {RUNS} SET ended_at = clock_timestamp(), exit_code = :exit_code, rows = :rows,
                 summary = CAST(:summary AS jsonb), bytes = (
                     SELECT sum({bytes_of("n")}) FROM unnest(CAST(:tables AS text[])) AS n)
                 WHERE run_id = :run_id"""),
        {"run_id": run_id, "exit_code": exit_code, "rows": rows, "summary": document, "tables": tables},
    )


def forget_old(connection: Connection) -> None:
    """Delete outcomes that are old and replaced by a later one."""
    connection.execute(
        text(f"""
            DELETE FROM {OUTCOMES} o WHERE noted_at < now() - make_interval(days => {DAYS_KEPT}) AND EXISTS (
                SELECT FROM {OUTCOMES} later WHERE (later.builder, later.id) = (o.builder, o.id)
                   AND later.status = 'done' AND later.noted_at > o.noted_at)
        """)
    )


def begin_step(
    connection: Connection, run_id: str, builder: str, *, place: int, assets: int, estimated_rows: int
) -> None:
    """Note that a builder is started."""
    connection.execute(
        text(f"""INSERT INTO {STEPS} (run_id, builder, place, assets, estimated_rows, started_at)
                 VALUES (:run_id, :builder, :place, :assets, :estimated_rows, now())"""),
        {"run_id": run_id, "builder": builder, "place": place, "assets": assets, "estimated_rows": estimated_rows},
    )


def end_step(connection: Connection, run_id: str, builder: str, *, seconds: float, rows: int) -> None:
    """Note that a builder has ended."""
    connection.execute(
        text(f"""UPDATE {STEPS} SET ended_at = now(), seconds = :seconds, rows = :rows
                 WHERE run_id = :run_id AND builder = :builder"""),
        {"run_id": run_id, "builder": builder, "seconds": seconds, "rows": rows},
    )


_OUTCOME = {
    "builder": "text",
    "id": "int",
    "status": "text",
    "rows": "bigint",
    "seconds": "float8",
    "reason": "text",
    "error": "text",
    "retries": "int",
    "notes": "jsonb",
}
"""The columns of an outcome and their types."""


def save_outcomes(connection: Connection, run_id: str, outcomes: Sequence[Outcome]) -> None:
    """Record how assets ended, in place of what this run has recorded for them before."""
    if not outcomes:
        return
    names = ", ".join(_OUTCOME)
    changing = [name for name in (*_OUTCOME, "noted_at") if name not in {"builder", "id"}]
    updates = ", ".join(f"{name} = excluded.{name}" for name in changing)
    values = lists_of("u", outcomes, *_OUTCOME)
    statuses = [outcome.status.value for outcome in outcomes]
    notes = [json.dumps(outcome.notes) for outcome in outcomes]
    values |= columns_of("u", status=statuses, notes=notes)
    connection.execute(
        text(f"""
            INSERT INTO {OUTCOMES} (run_id, {names}, noted_at)
            SELECT :run_id, u.*, clock_timestamp() FROM {rows_of("u", **_OUTCOME)}
            ON CONFLICT (run_id, builder, id) DO UPDATE SET {updates}
        """),
        {"run_id": run_id, **values},
    )


def note_unreached(connection: Connection, run_id: str, builder: str, ids: Iterable[int], reason: str) -> None:
    """Record assets as not reached, except those of which this run has recorded something."""
    connection.execute(
        text(f"""
            INSERT INTO {OUTCOMES} (run_id, builder, id, status, rows, seconds, reason, retries, notes)
            SELECT :run_id, :builder, u.id, :status, 0, 0, :reason, 0, '{{}}' FROM {rows_of("u", id="int")}
            ON CONFLICT DO NOTHING
        """),
        {
            "run_id": run_id,
            "builder": builder,
            "status": Status.NOT_REACHED.value,
            "reason": reason,
            **columns_of("u", id=ids),
        },
    )


def outcomes_of(connection: Connection, run_id: str, builder: str, ids: Iterable[int]) -> dict[int, Outcome]:
    """What a run has recorded of some assets in a builder."""
    names = ", ".join(f"o.{name}" for name in _OUTCOME)
    rows = connection.execute(
        text(f"""SELECT {names} FROM {OUTCOMES} o JOIN {rows_of("u", id="int")} USING (id)
                 WHERE o.run_id = :run_id AND o.builder = :builder"""),
        {"run_id": run_id, "builder": builder, **columns_of("u", id=ids)},
    ).mappings()
    return {row["id"]: Outcome(**{**row, "status": Status(row["status"])}) for row in rows}


def failed_before(connection: Connection, builder: str, run_id: str, ids: Iterable[int]) -> frozenset[int]:
    """The assets whose last outcome before this run, in this builder, was a failure."""
    rows = connection.execute(
        text(f"""
            SELECT u.id FROM {rows_of("u", id="int")} CROSS JOIN LATERAL (
                SELECT status FROM {OUTCOMES} o WHERE o.builder = :builder AND o.id = u.id AND o.run_id <> :run_id
                ORDER BY noted_at DESC LIMIT 1) AS last
            WHERE last.status = :failed
        """),
        {"builder": builder, "run_id": run_id, "failed": Status.FAILED.value, **columns_of("u", id=ids)},
    )
    return frozenset(rows.scalars())


@dataclass(frozen=True, kw_only=True, slots=True)
class Remainder:
    """What the latest run with failures or an interruption left: its arguments, and the assets by builder key."""

    run_id: str
    arguments: tuple[str, ...]
    assets: Mapping[str, frozenset[int]]


def remainder(connection: Connection, filters: Sequence[str]) -> Remainder | None:
    """What there is to resume: of the latest run that left something, all that no later run has done since.

    ``filters``: the arguments that narrow a run. A run narrowed in another way has not done what this one left.
    """
    query = text(f"""
        WITH open AS (
            SELECT o.run_id, o.builder, o.id, r.started_at, r.arguments
            FROM {OUTCOMES} o JOIN {RUNS} r USING (run_id)
            WHERE o.status <> :done AND NOT EXISTS (
                SELECT FROM {OUTCOMES} later JOIN {RUNS} other ON other.run_id = later.run_id
                WHERE (later.builder, later.id) = (o.builder, o.id) AND later.status = :done
                  AND later.noted_at > o.noted_at
                  AND (other.arguments = r.arguments OR NOT other.arguments && CAST(:filters AS text[])))
        )
        SELECT run_id, builder, id, arguments FROM open
        WHERE run_id = (SELECT run_id FROM open ORDER BY started_at DESC, run_id DESC LIMIT 1) ORDER BY builder, id
    """)
    rows = connection.execute(query, {"done": Status.DONE.value, "filters": list(filters)}).all()
    if not rows:
        return None
    assets: dict[str, set[int]] = {}
    for row in rows:
        assets.setdefault(row.builder, set()).add(row.id)
    return Remainder(
        run_id=rows[0].run_id,
        arguments=tuple(rows[0].arguments),
        assets={builder: frozenset(ids) for builder, ids in assets.items()},
    )


def past_steps(connection: Connection) -> dict[str, tuple[PastStep, ...]]:
    """The last steps of every builder, newest first, from which times are estimated."""
    rows = connection.execute(
        text(f"""
            SELECT builder, estimated_rows, rows, seconds FROM (
                SELECT *, row_number() OVER (PARTITION BY builder ORDER BY started_at DESC) AS n FROM {STEPS}
                WHERE ended_at IS NOT NULL) s
            WHERE n <= :number ORDER BY builder, n
        """),
        {"number": STEPS_TO_LEARN_FROM},
    )
    past: dict[str, list[PastStep]] = {}
    for row in rows:
        past.setdefault(row.builder, []).append(PastStep(row.estimated_rows, row.rows, row.seconds))
    return {builder: tuple(steps) for builder, steps in past.items()}


def failing_since(connection: Connection, run_id: str) -> dict[tuple[str, int], datetime]:
    """Since when each (builder, asset) that a run left unfinished is so, if other runs left it as well."""
    query = text(f"""
        SELECT o.builder, o.id, ({OPEN_SINCE}) AS since FROM {OUTCOMES} o
        WHERE o.run_id = :run_id AND o.status <> 'done' ORDER BY o.builder, o.id
    """)
    rows = connection.execute(query, {"run_id": run_id})
    return {(row.builder, row.id): row.since for row in rows if row.since}
