"""Runs and outcomes that tests write into the history by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Engine
from statements import ask

from refresh.catalog import by_key
from refresh.records import Outcome, Status
from refresh.store import history
from refresh.store.history import Started

DAILY, BARS, CAL = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.cal"))
STARTED = datetime(2024, 1, 1, tzinfo=UTC)
ODD = """it's "odd", {1,NULL}, \\N, %s :id; -- 日本 \t and\na second line"""

Pair = tuple[str, int]
"""A builder and an asset."""


def started(
    run_id: str,
    *arguments: str,
    at: datetime = STARTED,
    resumes: str | None = None,
    program: str = "daily",
    builders: Iterable[str] = (DAILY.key,),
    ids: tuple[int, ...] | None = None,
) -> Started:
    """A run as it begins."""
    return Started(
        run_id=run_id,
        command="run --all",
        arguments=arguments,
        host="here",
        pid=7,
        started_at=at,
        assets=3,
        program=program,
        builders=tuple(builders),
        asset_ids=ids,
        resumes=resumes,
    )


def begin(engine: Engine, run_id: str, *arguments: str, at: datetime = STARTED) -> None:
    """Note that a run begins."""
    with engine.begin() as connection:
        history.begin_run(connection, started(run_id, *arguments, at=at))


def save(engine: Engine, run_id: str, *outcomes: Outcome) -> None:
    """Save outcomes of a run, in a transaction of their own."""
    with engine.begin() as connection:
        history.save_outcomes(connection, run_id, outcomes)


def done(id: int, builder: str = DAILY.key, *, rows: int = 4, retries: int = 0) -> Outcome:
    """An asset that is done."""
    return Outcome(builder=builder, id=id, status=Status.DONE, rows=rows, reason="append 4 days", retries=retries)


def failed(id: int, builder: str = DAILY.key, *, error: str = "no") -> Outcome:
    """An asset that failed."""
    return Outcome(builder=builder, id=id, status=Status.FAILED, reason="append 4 days", error=error)


def saved(engine: Engine, run_id: str) -> dict[Pair, Outcome]:
    """The saved outcomes of a run by builder and asset."""
    names = ("builder", "id", "status", "rows", "seconds", "reason", "error", "notes", "retries")
    query = f"SELECT {', '.join(names)} FROM refresh_outcomes WHERE run_id = :run_id"
    outcomes = []
    for row in ask(engine, query, run_id=run_id):
        values = dict(zip(names, row, strict=True))
        outcomes.append(Outcome(**{**values, "status": Status(values["status"])}))
    return by_asset(outcomes)


def by_asset(outcomes: Iterable[Outcome]) -> dict[Pair, Outcome]:
    """Outcomes by builder and asset, none of them twice."""
    named: dict[Pair, Outcome] = {}
    for outcome in outcomes:
        pair = outcome.builder, outcome.id
        assert pair not in named
        named[pair] = outcome
    return named
