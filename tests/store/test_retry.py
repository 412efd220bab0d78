"""Which errors of the database are transient, and how they are retried, on a real server."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from prices import fill
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from statements import ask, execute
from tenacity import wait_none
from waiting import PATIENCE

from refresh.errors import DatabaseUnreachableError, SettingsError, ViolationError
from refresh.store import retry
from refresh.store.database import connect
from refresh.store.retry import is_transient, retried
from refresh.store.server_errors import connection_lost, sql_state

RENAME = "UPDATE cmc_price_histories7 SET name = 'x' WHERE id = :id"


@pytest.fixture(autouse=True)
def _without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a pause."""
    monkeypatch.setattr(retry, "_PAUSE", wait_none())


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with one price of assets 1 and 2."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-01-01")
    return engine


@pytest.fixture
def other(prepared_url: str) -> Iterator[Engine]:
    """Another session of the same database."""
    with connect(prepared_url, "another session") as engine:
        yield engine


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which no server listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def error_of(connection: Connection, statement: str) -> DBAPIError:
    """The error that a statement ends with."""
    with pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    return caught.value


# Which errors are transient


def test_deadlock(engine: Engine) -> None:
    """Of two sessions that wait for each other's row one fails, and may try again."""
    met = Barrier(2, timeout=PATIENCE)

    def cross(first: int, second: int) -> DBAPIError | None:
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            connection.execute(text(RENAME), {"id": first})
            met.wait()
            try:
                connection.execute(text(RENAME), {"id": second})
            except DBAPIError as error:
                return error
            return None

    with ThreadPoolExecutor() as pool:
        sessions = [pool.submit(cross, 1, 2), pool.submit(cross, 2, 1)]
        errors = [session.result(PATIENCE) for session in sessions]
    failed = [error for error in errors if error]
    assert failed
    for error in failed:
        assert (is_transient(error), sql_state(error)) == (True, "40P01")


def test_serialization_failure(engine: Engine, other: Engine) -> None:
    """A row that another session changed since the transaction began."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SELECT count(*) FROM cmc_price_histories7"))
        execute(other, RENAME, id=1)
        error = error_of(connection, RENAME.replace(":id", "1"))
    assert (is_transient(error), sql_state(error)) == (True, "40001")


def test_lock_that_is_not_available(engine: Engine, other: Engine) -> None:
    """A table that another session has locked."""
    with other.begin() as holder, engine.connect() as connection:
        holder.execute(text("LOCK TABLE cmc_price_bars_1d"))
        error = error_of(connection, "LOCK TABLE cmc_price_bars_1d NOWAIT")
    assert (is_transient(error), sql_state(error)) == (True, "55P03")


def test_ended_session(engine: Engine, other: Engine) -> None:
    """A session that the administrator ended: the next connection works."""
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        execute(other, "SELECT pg_terminate_backend(:pid, 60000)", pid=pid)
        error = error_of(connection, "SELECT 1")
    assert is_transient(error)
    assert connection_lost(error)
    assert ask(engine, "SELECT 1") == [(1,)]


def test_refused_connection(closed_port: int) -> None:
    """A server that does not answer, as while it restarts."""
    url = f"postgresql://postgres@127.0.0.1:{closed_port}/postgres"
    with pytest.raises(DatabaseUnreachableError) as caught, connect(url):
        pass
    assert is_transient(caught.value)


def test_connection_that_is_refused_later(closed_port: int) -> None:
    """An existing engine that finds its server gone gets another error, which is transient as well."""
    engine = create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{closed_port}/postgres")
    with pytest.raises(DBAPIError) as caught:
        engine.connect()
    assert is_transient(caught.value)


def test_server_without_a_free_connection(engine: Engine, prepared_url: str) -> None:
    """A server that has no connection left may have one later."""
    role = f"few_{uuid.uuid4().hex}"
    execute(engine, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    url = make_url(prepared_url).set(username=role).render_as_string(hide_password=False)
    with connect(url) as limited, limited.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError, match="too many connections") as caught:
            limited.connect()
    execute(engine, f"DROP ROLE {role}")
    assert is_transient(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE cmc_price_histories7 ADD CHECK (id > 1)",
        "SELEC 1",
        "SELECT 1 / 0",
        "SELECT nothing",
        "INSERT INTO dim_period VALUES (10, true, 0)",
        "SELECT 'x'::int",
    ],
)
def test_wrong_statement(engine: Engine, statement: str) -> None:
    """What is wrong with a statement or its rows will be wrong the next time."""
    with engine.connect() as connection:
        assert not is_transient(error_of(connection, statement))


@pytest.mark.parametrize(
    "error", [ValueError(), ViolationError("no"), SettingsError("no"), KeyboardInterrupt(), SystemExit(1)], ids=repr
)
def test_other_errors(error: BaseException) -> None:
    """Errors that do not come from the database are not retried."""
    assert not is_transient(error)


# Retrying


class Attempts:
    """Work that fails a number of times, and then returns the number of its attempts."""

    def __init__(self, failures: int, error: type[Exception] = DatabaseUnreachableError) -> None:
        self.failures, self.error = failures, error
        self.tries: list[int] = []
        self.notes: list[str] = []

    def __call__(self, tries: int) -> int:
        """Make one attempt."""
        self.tries.append(tries)
        if len(self.tries) <= self.failures:
            raise self.error(f"attempt {len(self.tries)}")
        return len(self.tries)

    def note(self, error: Exception) -> None:
        """Note an error that is retried."""
        self.notes.append(str(error))


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_retried_until_it_works(failures: int) -> None:
    """Each attempt knows its number, and each error but no success is noted."""
    attempts = Attempts(failures)
    assert retried(attempts, 3, attempts.note) == failures + 1
    assert attempts.tries == list(range(failures + 1))
    assert attempts.notes == [f"attempt {number}" for number in range(1, failures + 1)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_limit_of_retries(retries: int) -> None:
    """After the last retry the error is raised as it is, and not noted."""
    attempts = Attempts(99)
    with pytest.raises(DatabaseUnreachableError, match=rf"^attempt {retries + 1}$"):
        retried(attempts, retries, attempts.note)
    assert attempts.tries == list(range(retries + 1))
    assert attempts.notes == [f"attempt {number}" for number in range(1, retries + 1)]


def test_other_errors_are_not_retried() -> None:
    """An error that is not transient is raised at once."""
    attempts = Attempts(1, ViolationError)
    with pytest.raises(ViolationError, match=r"^attempt 1$"):
        retried(attempts, 3, attempts.note)
    assert (attempts.tries, attempts.notes) == ([0], [])
