"""A refresh whose database session is ended in the middle of its work, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import databases
import pytest
from prices import fill
from refreshing import NOW, TARGETS, digest, refresh
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from statements import ask, execute
from tenacity import wait_fixed, wait_none
from waiting import PATIENCE, eventually

from refresh.catalog import BUILDERS, by_key
from refresh.due.survey import run_name
from refresh.options.request import Request
from refresh.records import Status
from refresh.store import retry
from refresh.store.database import connect
from refresh.store.retry import is_transient

SECOND, THIRD, FOURTH = (NOW + timedelta(hours=hours) for hours in (1, 2, 3))
"""The clocks of later runs."""


@pytest.fixture(autouse=True)
def _without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a pause."""
    monkeypatch.setattr(retry, "_PAUSE", wait_none())


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with forty days of two assets that were never taken in; EMAs begin early."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    return engine


@pytest.fixture
def other(prepared_url: str) -> Iterator[Engine]:
    """Another session of the same database."""
    with connect(prepared_url, "another session") as engine:
        yield engine


def end_waiting_session(other: Engine, holder: Connection, table: str) -> int:
    """End the session of the refresh as soon as it waits for a table that is locked, then unlock the table."""
    query = """
        SELECT pg_terminate_backend(a.pid, 60000) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE a.datname = current_database() AND a.application_name = 'refresh'
          AND NOT l.granted AND l.relation = CAST('public.' || :table AS regclass)
    """
    ended: list[object] = []

    def end() -> bool:
        with other.begin() as session:  # one that is open: the database may refuse new ones
            ended.extend(session.execute(text(query), {"table": table}))
        return bool(ended)

    try:
        eventually(end)
        return len(ended)
    finally:
        holder.rollback()


@pytest.mark.parametrize(
    ("table", "builder"),
    [
        ("refresh_restatements", "bars.1d"),
        ("cmc_price_bars_1d_source_months", "bars.1d"),
        ("cmc_price_bars_multi_tf", "bars.multi_tf"),
        ("cmc_ema_multi_tf_cal_iso_packed", "emas.cal"),
        ("cmc_ema_multi_tf_v2_packed", "emas.v2"),
    ],
)
def test_session_is_ended_in_the_middle(engine: Engine, other: Engine, table: str, builder: str) -> None:
    """An interrupted revision is taken in once, by a second attempt, and the tables are those of a rebuild."""
    refresh(engine)
    execute(
        engine,
        "UPDATE cmc_price_histories7 SET close = 19 WHERE id = 1 AND timeclose < '2024-01-06Z'",
        "DELETE FROM cmc_price_histories7 WHERE id = 2 AND timeclose < '2024-01-03Z'",
    )
    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        ending = pool.submit(end_waiting_session, other, holder, table)
        outcomes = refresh(engine, Request(accept_restatement=True), now=SECOND)
        assert ending.result(PATIENCE) == 1
    assert len(outcomes) == 2 * len(BUILDERS)
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    assert {outcome.builder for outcome in outcomes if outcome.retries} == {builder}
    assert {outcome.retries for outcome in outcomes if outcome.builder == builder} <= {0, 1}
    run_id = run_name(SECOND)
    query = "SELECT builder, id, retries, rows FROM refresh_outcomes WHERE run_id = :run_id ORDER BY 1, 2"
    saved = ask(engine, query, run_id=run_id)
    assert saved == sorted((outcome.builder, outcome.id, outcome.retries, outcome.rows) for outcome in outcomes)
    ledger = ask(engine, "SELECT id, run_id FROM refresh_restatements ORDER BY id")
    assert ledger == [(1, run_id), (2, run_id)]
    tables = {target: digest(engine, target) for target in TARGETS}
    assert refresh(engine, now=THIRD) == []
    refresh(engine, Request(full_rebuild=True), now=FOURTH)
    assert {target: digest(engine, target) for target in TARGETS} == tables


def test_session_is_ended_without_a_retry_left(engine: Engine, other: Engine) -> None:
    """The builder gives up, blames no asset, and has noted which assets it did not reach."""
    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))
        ending = pool.submit(end_waiting_session, other, holder, "cmc_price_bars_1d")
        with pytest.raises(DBAPIError) as caught:
            refresh(engine, Request(retries=0))
        assert ending.result(PATIENCE) == 1
    assert is_transient(caught.value)
    outcomes = ask(engine, "SELECT builder, id, status, error FROM refresh_outcomes ORDER BY id")
    assert outcomes == [("bars.1d", id, Status.NOT_REACHED.value, None) for id in (1, 2)]
    assert ask(engine, "SELECT FROM cmc_price_bars_1d") == []


def is_waiting(other: Engine) -> bool:
    """Whether the refresh waits for a lock."""
    query = """SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'refresh'
                  AND wait_event_type = 'Lock'"""
    return bool(ask(other, query))


def test_server_is_out_of_reach_for_a_while(
    engine: Engine, other: Engine, server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A builder whose session is ended and whose next ones are refused, as by a restart, goes on afterwards."""
    monkeypatch.setattr(retry, "_PAUSE", wait_fixed(0.2))
    name = engine.url.database

    def restart(holder: Connection) -> int:
        with connect(other.url.render_as_string(hide_password=False), "restart") as restarting:
            with restarting.connect():  # a session that is there before others are refused
                databases.execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                ended = end_waiting_session(restarting, holder, "cmc_price_bars_1d")
                time.sleep(1)
            finally:
                databases.execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            return ended

    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))
        refreshing = pool.submit(refresh, engine, Request(retries=100), [by_key("bars.1d")])
        assert eventually(lambda: is_waiting(other))
        assert restart(holder) == 1
        outcomes = refreshing.result(PATIENCE)
    ends = [(outcome.id, outcome.status, outcome.rows, outcome.error) for outcome in outcomes]
    assert ends == [(1, Status.DONE, 40, None), (2, Status.DONE, 40, None)]
    for outcome in outcomes:
        assert outcome.retries
