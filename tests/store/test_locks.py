"""One refresh per database, one process per builder and asset, and locks that die with whoever held them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

import pytest
from conftest import database, execute
from programs import PROJECT
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError
from statements import ask
from waiting import PATIENCE, eventually

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.errors import AlreadyRunningError
from refresh.store import locks
from refresh.store.database import connect, snapshot
from refresh.store.locks import RefreshLock, assets_held, end_sessions, session_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAILY, EMAS = by_key("bars.1d"), by_key("emas.multi_tf")
A_MOMENT = 0.6
"""Seconds in which something would have happened that must not."""
SINCE = datetime(2024, 1, 2, 3, 4, tzinfo=UTC)
LOCKS = """
    SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2
"""
HOLDER = """
import sys, time
from datetime import UTC, datetime
from refresh.store.database import connect
from refresh.store.locks import RefreshLock, session_name
lock = RefreshLock(connect(sys.argv[1], session_name(datetime.now(UTC))))
lock.take()
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """One refresh, named as one is."""
    engine = connect(prepared_url, session_name(SINCE))
    yield engine
    engine.dispose()


@pytest.fixture
def other(prepared_url: str) -> Iterator[Engine]:
    """Another refresh of the same database."""
    engine = connect(prepared_url, session_name(SINCE))
    yield engine
    engine.dispose()


@pytest.fixture
def observer(prepared_url: str) -> Iterator[Engine]:
    """Somebody who only looks."""
    engine = connect(prepared_url, "observer")
    yield engine
    engine.dispose()


def end_holder(observer: Engine) -> None:
    """End whichever session holds an advisory lock, and wait until it is gone."""
    rows = ask(
        observer,
        """SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    )
    assert rows == [(True,)]
    assert eventually(lambda: not ask(observer, LOCKS))


# One refresh per database


def test_second_refresh_is_refused(engine: Engine, other: Engine) -> None:
    """It is told at once who holds the lock, where and since when, and what to do."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    with pytest.raises(AlreadyRunningError) as caught:
        second.take()
    holder = f"process {os.getpid()} on {locks.host()[:24]} since 2024-01-02 03:04 UTC"
    assert str(caught.value) == (
        f"another refresh of this database is running: {holder}; wait for it with --wait-lock 10m"
    )
    assert caught.value.exit_code == 75
    second.release()
    first.release()


def test_refused_refresh_waits_no_longer_than_it_was_told(engine: Engine, other: Engine) -> None:
    """It says once whom it waits for, and gives up in the end."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    told: list[str] = []
    began = time.monotonic()
    with pytest.raises(AlreadyRunningError):
        second.take(1.0, told.append)
    assert time.monotonic() - began >= 1.0
    (holder,) = told
    assert holder.startswith(f"process {os.getpid()} on ")
    second.release()
    first.release()


def test_waiting_refresh_follows(engine: Engine, other: Engine) -> None:
    """Once the holder has let go, whoever waits has the lock."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    waits = Event()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(second.take, PATIENCE, lambda _: waits.set())
        assert waits.wait(PATIENCE)
        assert not waiting.done()
        first.release()
        waiting.result(PATIENCE)
    with pytest.raises(AlreadyRunningError):
        first.take()
    first.release()
    second.release()


def test_lock_is_let_go(engine: Engine, other: Engine, observer: Engine) -> None:
    """A released lock can be taken by others and again; releasing what is not held is nothing."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.release()
    for lock in (first, second, first):
        lock.take()
        assert len(ask(observer, LOCKS)) == 1
        lock.release()
        assert eventually(lambda: not ask(observer, LOCKS))  # the server notices a moment later
    first.release()


def test_other_databases_are_not_locked(engine: Engine, server: URL, template: str) -> None:
    """Each database may have a refresh of its own."""
    lock = RefreshLock(engine)
    lock.take()
    with database(server, template) as url:
        elsewhere = connect(url)
        second = RefreshLock(elsewhere)
        second.take()
        second.release()
        elsewhere.dispose()
    lock.release()


def test_holder_that_is_no_refresh(engine: Engine, observer: Engine) -> None:
    """Whoever holds the lock under another name is called by that."""
    strange = RefreshLock(observer)
    strange.take()
    lock = RefreshLock(engine)
    with pytest.raises(AlreadyRunningError, match=r"is running: observer; wait"):
        lock.take()
    lock.release()
    strange.release()


def test_long_host_names(prepared_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is longer than PostgreSQL keeps does not hide who holds the lock."""
    monkeypatch.setattr(locks, "host", lambda: "a-very-long-name-of-a-host-" * 3)
    elsewhere = connect(prepared_url, session_name(SINCE))
    first, second = RefreshLock(elsewhere), RefreshLock(engine)
    first.take()
    with pytest.raises(
        AlreadyRunningError, match=r"process \d+ on a-very-long-name-of-a-ho since 2024-01-02 03:04 UTC"
    ):
        second.take()
    second.release()
    first.release()
    elsewhere.dispose()


def test_killed_holder(prepared_url: str, engine: Engine) -> None:
    """A process that is killed leaves no lock behind."""
    command = [sys.executable, "-c", HOLDER, prepared_url]
    lock = RefreshLock(engine)
    with subprocess.Popen(command, cwd=PROJECT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"taken\n"
        with pytest.raises(AlreadyRunningError, match=re.escape(f"process {holder.pid} on ")):
            lock.take()
        holder.send_signal(signal.SIGKILL)
    lock.take(PATIENCE)
    lock.release()


# Keeping the lock


def test_keeping_what_is_held(engine: Engine, other: Engine) -> None:
    """A lock that was not lost is not let go of for a moment."""
    lock = RefreshLock(engine)
    lock.take()
    (before,) = ask(other, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
    lock.keep()
    assert ask(other, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted") == [before]
    lock.release()


def test_keeping_what_was_never_taken(engine: Engine, observer: Engine) -> None:
    """A run without a lock, such as a dry one, gets none."""
    RefreshLock(engine).keep()
    assert ask(observer, LOCKS) == []


def test_lost_lock_is_taken_again(engine: Engine, other: Engine, observer: Engine) -> None:
    """A lock whose session was ended is held again, and keeps others out."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    end_holder(observer)
    first.keep()
    with pytest.raises(AlreadyRunningError):
        second.take()
    first.keep()
    second.release()
    first.release()
    assert eventually(lambda: not ask(observer, LOCKS))


def test_lost_lock_that_somebody_else_took(engine: Engine, other: Engine, observer: Engine) -> None:
    """Whoever lost the lock to another refresh must not go on."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    end_holder(observer)
    second.take()
    with pytest.raises(AlreadyRunningError, match="another refresh of this database is running: process "):
        first.keep()
    first.release()
    assert len(ask(observer, LOCKS)) == 1
    second.release()


def test_lost_lock_is_asked_for_until_it_is_held(engine: Engine, observer: Engine, server: URL) -> None:
    """Where the server is out of reach at first, the next attempt takes the lock rather than doing without it."""
    lock = RefreshLock(engine)
    lock.take()
    end_holder(observer)
    name = engine.url.database
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    with pytest.raises(OperationalError):
        lock.keep()
    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    lock.keep()
    assert len(ask(observer, LOCKS)) == 1
    lock.release()


# One process per builder and asset


@contextmanager
def held(engine: Engine, builder: BuilderConfig, ids: Sequence[int]) -> Iterator[bool]:
    """Assets that are held by a session of its own; whether they had to be awaited."""
    with engine.connect() as connection, assets_held(connection, builder, ids) as waited:
        yield waited


def waited_for(engine: Engine, builder: BuilderConfig, ids: Sequence[int]) -> bool:
    """Hold assets for a moment; whether they had to be awaited."""
    with held(engine, builder, ids) as waited:
        return waited


@pytest.mark.parametrize("ids", [[2], [1, 2, 3], [3, 2, 9]], ids=str)
def test_same_asset_and_builder(engine: Engine, other: Engine, observer: Engine, ids: list[int]) -> None:
    """The second one is kept waiting until the first is through, learns of it, and holds nothing meanwhile."""
    with ThreadPoolExecutor() as pool:
        with held(engine, DAILY, [1, 2, 3]) as waited:
            assert waited is False
            mine = ask(observer, LOCKS)
            assert len(mine) == 3
            second = pool.submit(waited_for, other, DAILY, ids)
            time.sleep(A_MOMENT)
            assert not second.done()
            assert set(mine) <= set(ask(observer, LOCKS))
        assert second.result(PATIENCE) is True
    assert ask(observer, LOCKS) == []


def test_other_assets_and_builders(engine: Engine, other: Engine, observer: Engine) -> None:
    """Other assets of the builder, and the same assets of every other one, are not kept waiting."""
    with held(engine, DAILY, [1, 2, 3]):
        assert waited_for(other, DAILY, [4, 5, 2_000_000_000]) is False
        assert not any(waited_for(other, builder, [1, 2, 3]) for builder in BUILDERS if builder != DAILY)
        assert len(ask(observer, LOCKS)) == 3
    assert ask(observer, LOCKS) == []


def test_assets_and_the_refresh(engine: Engine, other: Engine) -> None:
    """The lock of a refresh keeps no builder waiting, and none keeps a refresh waiting."""
    lock = RefreshLock(engine)
    lock.take()
    assert waited_for(other, DAILY, [0, 1]) is False
    lock.release()
    with held(engine, DAILY, [0, 1]):
        other_lock = RefreshLock(other)
        other_lock.take(PATIENCE)
        other_lock.release()


def test_no_assets(engine: Engine, observer: Engine) -> None:
    """Nothing can be held."""
    assert waited_for(engine, EMAS, []) is False
    assert ask(observer, LOCKS) == []


def test_many_assets(engine: Engine, observer: Engine) -> None:
    """A thousand assets fit."""
    with held(engine, EMAS, range(1000)):
        assert len(ask(observer, LOCKS)) == 1000
    assert ask(observer, LOCKS) == []


def test_who_waited_sees_what_was_written(engine: Engine, other: Engine) -> None:
    """The transaction of whoever waited begins behind that of whom it waited for."""

    def periods() -> int:
        with other.connect() as connection, assets_held(connection, DAILY, [1]), snapshot(connection):
            return int(connection.execute(text("SELECT count(*) FROM dim_period WHERE period = 777")).scalar_one())

    with ThreadPoolExecutor() as pool, engine.connect() as connection:
        with assets_held(connection, DAILY, [1]):
            second = pool.submit(periods)
            time.sleep(A_MOMENT)
            with snapshot(connection):
                connection.execute(text("INSERT INTO dim_period VALUES (777, false, 0)"))
        assert second.result(PATIENCE) == 1


def test_failed_work_lets_go(engine: Engine, observer: Engine) -> None:
    """Whatever ends the work ends the hold, and the session is as good as before."""

    def fail() -> None:
        with engine.connect() as connection, assets_held(connection, DAILY, [1, 2]), snapshot(connection):
            connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        fail()
    assert ask(observer, LOCKS) == []
    assert waited_for(engine, DAILY, [1, 2]) is False


def test_lost_session_lets_go(engine: Engine, observer: Engine) -> None:
    """A session that was ended in the middle holds nothing, and its end is what the work ends with."""

    def work() -> None:
        with engine.connect() as connection, assets_held(connection, DAILY, [1]), snapshot(connection):
            end_holder(observer)
            connection.execute(text("SELECT 1"))

    with pytest.raises(Exception, match=r"terminating connection|closed the connection"):
        work()
    assert ask(observer, LOCKS) == []
    assert waited_for(engine, DAILY, [1]) is False


# Ending sessions


def test_sessions_of_a_process(prepared_url: str, observer: Engine) -> None:
    """Those of one process of this machine end; other processes, machines and programs stay."""
    own = session_name(SINCE)
    here, number = locks.host()[:24], os.getpid()
    names = [
        own,
        own.replace("2024", "2025"),
        own.replace(f"{number}@", f"{number}1@"),
        own.replace(f"@{here} ", f"@{here}x "),
        f"psql {own}",
    ]
    engines = [connect(prepared_url, name) for name in names]
    connections = [engine.connect() for engine in engines]
    for connection in connections:
        connection.execute(text("SELECT 1"))
    with observer.begin() as connection:
        assert end_sessions(connection, number) == 2
    query = """SELECT application_name FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    assert eventually(lambda: len(ask(observer, query)) == 3)
    assert {name for (name,) in ask(observer, query)} == set(names[2:])
    with observer.begin() as connection:
        assert end_sessions(connection, number) == 0
    for connection, engine in zip(connections, engines, strict=True):
        connection.invalidate()
        connection.close()
        engine.dispose()
