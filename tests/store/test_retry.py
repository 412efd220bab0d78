"""Errors that pass by themselves, trying again, and a refresh whose session is ended in the middle of its work."""

from __future__ import annotations

import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import conftest
import pytest
from refreshing import TARGETS, digest, refresh
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from statements import ask, execute
from tenacity import wait_fixed, wait_none

from refresh.catalog import by_key
from refresh.errors import DatabaseUnreachableError, SettingsError, ViolationError
from refresh.options.request import Request
from refresh.records import Status
from refresh.store import retry
from refresh.store.database import connect, connection_lost, sql_state
from refresh.store.retry import passes, retried

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0
"""Seconds in which something that will happen has happened."""
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + extract(day FROM at) / 100, 1000
    FROM generate_series(1, 2) AS asset,
         generate_series('2024-01-01 23:59:59.999Z'::timestamptz, '2024-02-10Z', interval '1 day') AS at
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without a pause."""
    monkeypatch.setattr(retry, "_PAUSE", wait_none())


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with forty days of two assets that were never taken in; EMAs begin early."""
    engine = connect(prepared_url)
    execute(engine, FILL)
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
    yield engine
    engine.dispose()


@pytest.fixture
def other(prepared_url: str) -> Iterator[Engine]:
    """Somebody else on the same database."""
    engine = connect(prepared_url, "somebody else")
    yield engine
    engine.dispose()


def error_of(connection: Connection, statement: str) -> DBAPIError:
    """The error that a statement ends with."""
    with pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    return caught.value


# Which errors pass


def test_deadlock_passes(engine: Engine) -> None:
    """Two sessions that wait for each other's row: one of them is told to go, and may come again."""
    met = Barrier(2, timeout=PATIENCE)

    def cross(first: int, second: int) -> DBAPIError | None:
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            update = "UPDATE cmc_price_histories7 SET name = 'x' WHERE id = :id"
            connection.execute(text(update), {"id": first})
            met.wait()
            try:
                connection.execute(text(update), {"id": second})
            except DBAPIError as error:
                return error
            return None

    with ThreadPoolExecutor() as pool:
        found = [one.result(PATIENCE) for one in [pool.submit(cross, 1, 2), pool.submit(cross, 2, 1)]]
    errors = [error for error in found if error]
    assert errors
    assert all(passes(error) and sql_state(error) == "40P01" for error in errors)


def test_serialization_failure_passes(engine: Engine, other: Engine) -> None:
    """A row that somebody else changed since the transaction began."""
    update = "UPDATE cmc_price_histories7 SET name = 'x' WHERE id = 1"
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SELECT count(*) FROM cmc_price_histories7"))
        execute(other, update)
        error = error_of(connection, update)
    assert (passes(error), sql_state(error)) == (True, "40001")


def test_lock_that_is_not_available_passes(engine: Engine, other: Engine) -> None:
    """A table that somebody else holds."""
    with other.begin() as holder, engine.connect() as connection:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d"))
        error = error_of(connection, "LOCK TABLE cmc_price_bars_1d NOWAIT")
    assert (passes(error), sql_state(error)) == (True, "55P03")


def test_ended_session_passes(engine: Engine, other: Engine) -> None:
    """A session that the administrator ended: the next connection works."""
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        execute(other, "SELECT pg_terminate_backend(:pid, 60000)", pid=pid)
        error = error_of(connection, "SELECT 1")
    assert passes(error)
    assert connection_lost(error)
    assert ask(engine, "SELECT 1") == [(1,)]


def test_refused_connection_passes() -> None:
    """A server that is not there, as while it restarts."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DatabaseUnreachableError) as caught:
            connect(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    assert passes(caught.value)


def test_connection_that_is_refused_later_passes() -> None:
    """An engine that finds its server gone meets another error than one that is made then, and it passes as well."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        engine = create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{unused.getsockname()[1]}/postgres")
        with pytest.raises(DBAPIError) as caught:
            engine.connect()
    assert passes(caught.value)


def test_server_that_is_full_passes(engine: Engine, prepared_url: str) -> None:
    """A server that has no connection left for us has one later."""
    role = f"few_{uuid.uuid4().hex}"
    execute(engine, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    limited = connect(make_url(prepared_url).set(username=role).render_as_string(hide_password=False))
    with limited.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError, match="too many connections") as caught:
            limited.connect()
    limited.dispose()
    execute(engine, f"DROP ROLE {role}")
    assert passes(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE cmc_price_histories7 ADD CHECK (id > 1)",
        "SELEC 1",
        "SELECT 1 / 0",
        "SELECT nothing",
        "INSERT INTO dim_period VALUES (2, true, 0)",
        "SELECT 'x'::int",
    ],
)
def test_error_of_a_statement_stays(engine: Engine, statement: str) -> None:
    """What is wrong with a statement or its rows will be wrong the next time."""
    with engine.connect() as connection:
        assert not passes(error_of(connection, statement))


@pytest.mark.parametrize(
    "error", [ValueError(), ViolationError("no"), SettingsError("no"), KeyboardInterrupt(), SystemExit(1)], ids=repr
)
def test_other_errors_stay(error: BaseException) -> None:
    """What does not come from the database is not tried again."""
    assert not passes(error)


# Trying again


class Attempts:
    """Work that fails so often with an error that passes, and then returns how often it was tried."""

    def __init__(self, failures: int, error: type[Exception] = DatabaseUnreachableError) -> None:
        self.failures, self.error = failures, error
        self.tries: list[int] = []
        self.notes: list[str] = []

    def __call__(self, tries: int) -> int:
        """One attempt."""
        self.tries.append(tries)
        if len(self.tries) <= self.failures:
            raise self.error(f"attempt {len(self.tries)}")
        return len(self.tries)

    def note(self, error: Exception) -> None:
        """What is told before the next attempt."""
        self.notes.append(str(error))


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_tried_until_it_works(failures: int) -> None:
    """Each attempt knows its number, and each error but no success is noted."""
    attempts = Attempts(failures)
    assert retried(attempts, 3, attempts.note) == failures + 1
    assert attempts.tries == list(range(failures + 1))
    assert attempts.notes == [f"attempt {number}" for number in range(1, failures + 1)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_tried_only_so_often(retries: int) -> None:
    """The last error is raised as it is, and is not one that is tried again."""
    attempts = Attempts(99)
    with pytest.raises(DatabaseUnreachableError, match=rf"^attempt {retries + 1}$"):
        retried(attempts, retries, attempts.note)
    assert attempts.tries == list(range(retries + 1))
    assert attempts.notes == [f"attempt {number}" for number in range(1, retries + 1)]


def test_what_stays_is_not_tried_again() -> None:
    """An error that will not pass is raised at once."""
    attempts = Attempts(1, ViolationError)
    with pytest.raises(ViolationError, match=r"^attempt 1$"):
        retried(attempts, 3, attempts.note)
    assert (attempts.tries, attempts.notes) == ([0], [])


# A refresh whose session is ended


def end_who_waits(other: Engine, holder: Connection, table: str) -> int:
    """End the session of the refresh once it waits for a table that is held, then let go of the table."""
    query = text("""
        SELECT pg_terminate_backend(a.pid, 60000) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE a.datname = current_database() AND a.application_name = 'refresh'
          AND NOT l.granted AND l.relation = CAST(:table AS regclass)
    """)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with other.begin() as connection:
                if ended := connection.execute(query, {"table": table}).all():
                    return len(ended)
            time.sleep(0.02)
        return 0
    finally:
        holder.rollback()


@pytest.mark.parametrize(
    ("table", "builder"),
    [
        ("refresh_restatements", "bars.1d"),
        ("cmc_price_bars_1d_source_months", "bars.1d"),
        ("cmc_price_bars_multi_tf", "bars.multi_tf"),
        ("cmc_ema_multi_tf_cal_iso", "emas.cal"),
        ("cmc_ema_multi_tf_v2", "emas.v2"),
    ],
)
def test_session_is_ended_in_the_middle(engine: Engine, other: Engine, table: str, builder: str) -> None:
    """A revision that is interrupted is taken in once, by a second attempt, and the tables are those of a rebuild."""
    refresh(engine, Request(run_id="first"))
    execute(engine, "UPDATE cmc_price_histories7 SET close = 19 WHERE id = 1 AND timeclose < '2024-01-06Z'")
    execute(engine, "DELETE FROM cmc_price_histories7 WHERE id = 2 AND timeclose < '2024-01-03Z'")
    request = Request(run_id="second", accept_restatement=True)
    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        ending = pool.submit(end_who_waits, other, holder, table)
        outcomes = refresh(engine, request)
        assert ending.result(PATIENCE) == 1
    assert len(outcomes) == 20
    assert {outcome.status for outcome in outcomes} == {Status.DONE}
    assert {outcome.builder for outcome in outcomes if outcome.retries} == {builder}
    assert {outcome.retries for outcome in outcomes if outcome.builder == builder} <= {0, 1}
    told = ask(engine, "SELECT builder, id, retries, rows FROM refresh_outcomes WHERE run_id = 'second' ORDER BY 1, 2")
    assert told == sorted((one.builder, one.id, one.retries, one.rows) for one in outcomes)
    ledger = ask(engine, "SELECT id, run_id FROM refresh_restatements ORDER BY id")
    assert ledger == [(1, "second"), (2, "second")]
    found = {target: digest(engine, target) for target in TARGETS}
    assert refresh(engine, Request(run_id="third")) == []
    refresh(engine, Request(run_id="fourth", full_rebuild=True))
    assert {target: digest(engine, target) for target in TARGETS} == found


def test_no_session_is_ended_more_often_than_is_borne(engine: Engine, other: Engine) -> None:
    """Without a retry left the builder gives up, blames no asset, and leaves word of whom it did not reach."""
    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))
        ending = pool.submit(end_who_waits, other, holder, "cmc_price_bars_1d")
        with pytest.raises(DBAPIError) as caught:
            refresh(engine, Request(run_id="first", retries=0))
        assert ending.result(PATIENCE) == 1
    assert passes(caught.value)
    told = ask(engine, "SELECT builder, id, status, error FROM refresh_outcomes ORDER BY id")
    assert told == [("bars.1d", id, Status.NOT_REACHED.value, None) for id in (1, 2)]
    assert ask(engine, "SELECT FROM cmc_price_bars_1d") == []


def wait_for_it(other: Engine) -> bool:
    """Wait until the refresh waits for a lock."""
    query = """SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'refresh'
                  AND wait_event_type = 'Lock'"""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if ask(other, query):
            return True
        time.sleep(0.05)
    return False


def test_server_that_is_out_of_reach_for_a_while(
    engine: Engine, other: Engine, server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A builder whose session is ended and whose next ones are refused, as by a restart, goes on once it is let in."""
    monkeypatch.setattr(retry, "_PAUSE", wait_fixed(0.2))
    name = engine.url.database

    def restart(holder: Connection) -> int:
        for_now = connect(other.url.render_as_string(hide_password=False), "somebody else")
        with for_now.connect():
            conftest.execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            ended = end_who_waits(for_now, holder, "cmc_price_bars_1d")
            time.sleep(1)
        finally:
            conftest.execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        for_now.dispose()
        return ended

    with other.connect() as holder, ThreadPoolExecutor() as pool:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))
        waiting = pool.submit(refresh, engine, Request(run_id="first", retries=100), [by_key("bars.1d")])
        assert wait_for_it(other)
        assert restart(holder) == 1
        outcomes = waiting.result(PATIENCE)
    assert [(one.id, one.status, one.rows, one.error) for one in outcomes] == [
        (id, Status.DONE, 40, None) for id in (1, 2)
    ]
    assert all(one.retries for one in outcomes)
