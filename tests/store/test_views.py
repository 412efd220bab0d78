"""Views over the history: slow steps, assets that fail again and again, and when each asset was last done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from statements import ask
from store.histories import CAL, DAILY, begin, done, failed, save

from refresh.store import history, views


def test_views_of_an_empty_history(engine: Engine) -> None:
    """Every view exists and is empty where nothing was run."""
    for view in views.VIEWS:
        assert ask(engine, f"SELECT * FROM {view}") == []


def test_slowest_steps(engine: Engine) -> None:
    """Steps that ended, the slowest first, with their speed where they took any time."""
    for run_id in ("r0", "r1", "r2", "open"):
        begin(engine, run_id)
    with engine.begin() as connection:
        for number, seconds in enumerate((2.0, 8.0, 0.0)):
            history.begin_step(connection, f"r{number}", DAILY.key, place=1, assets=2, estimated_rows=5)
            history.end_step(connection, f"r{number}", DAILY.key, seconds=seconds, rows=1000)
        history.begin_step(connection, "open", DAILY.key, place=1, assets=2, estimated_rows=5)
    query = "SELECT run_id, seconds, rows, assets, rows_per_second FROM refresh_slowest_steps"
    assert ask(engine, query) == [("r1", 8.0, 1000, 2, 125), ("r0", 2.0, 1000, 2, 500), ("r2", 0.0, 1000, 2, None)]


def test_flaky_assets(engine: Engine) -> None:
    """Assets that failed or were retried in recent runs, the most failures first, with the last error."""
    now = datetime.now(UTC)
    for run_id, days in {"long ago": 40, "r": 3, "s": 2, "t": 1}.items():
        begin(engine, run_id, at=now - timedelta(days=days))
    save(engine, "long ago", failed(9))
    save(engine, "r", failed(1, error="first"), failed(2), done(3), done(4, retries=2))
    save(engine, "s", failed(1, error="last"), done(2), done(3))
    save(engine, "t", done(1), done(2), done(3), done(4, retries=1))
    query = "SELECT id, builder, failures, successes, retries, last_error FROM refresh_flaky_assets"
    assert ask(engine, query) == [
        (1, DAILY.key, 2, 1, 0, "last"),
        (2, DAILY.key, 1, 2, 0, "no"),
        (4, DAILY.key, 0, 2, 3, None),
    ]
    query = "SELECT v.id FROM refresh_flaky_assets v JOIN refresh_outcomes o ON o.noted_at = v.last_failed_at"
    assert ask(engine, f"{query} AND o.run_id = 's'") == [(1,)]


def test_last_good(engine: Engine) -> None:
    """The last time that each asset was done in each builder."""
    save(engine, "r", done(1), done(2), done(1, CAL.key), failed(3))
    save(engine, "s", done(1, rows=9), failed(2))
    query = "SELECT id, builder, run_id, rows FROM refresh_last_good ORDER BY id, builder"
    assert ask(engine, query) == [(1, DAILY.key, "s", 9), (1, CAL.key, "r", 4), (2, DAILY.key, "r", 4)]
