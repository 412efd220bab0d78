"""One refresh per database, one process per builder and asset, and locks that end with their session."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

import pytest
from databases import database, execute
from programs import PROJECT
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import OperationalError
from statements import ask
from waiting import PATIENCE, eventually

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.errors import AlreadyRunningError
from refresh.store import locks
from refresh.store.database import connect, repeatable_read
from refresh.store.locks import RefreshLock, assets_held, claims, end_sessions, session_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAILY, EMAS = by_key("bars.1d"), by_key("emas.multi_tf")
A_MOMENT = 0.6
"""Seconds in which what must not happen would have happened."""
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
with connect(sys.argv[1], session_name(datetime.now(UTC))) as engine:
    RefreshLock(engine).take()
    print("taken", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """One refresh, with the name of a refresh."""
    with connect(prepared_url, session_name(SINCE)) as engine:
        yield engine


@pytest.fixture
def other(prepared_url: str) -> Iterator[Engine]:
    """Another refresh of the same database."""
    with connect(prepared_url, session_name(SINCE)) as engine:
        yield engine


@pytest.fixture
def observer(prepared_url: str) -> Iterator[Engine]:
    """A session that only looks."""
    with connect(prepared_url, "observer") as engine:
        yield engine


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
    """The error says at once who holds the lock, where and since when, and what to do."""
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


def test_refused_refresh_waits_up_to_its_limit(engine: Engine, other: Engine) -> None:
    """It reports its holder once, and gives up in the end."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    reported: list[str] = []
    began = time.monotonic()
    with pytest.raises(AlreadyRunningError):
        second.take(1.0, reported.append)
    assert time.monotonic() - began >= 1.0
    (holder,) = reported
    assert holder.startswith(f"process {os.getpid()} on ")
    second.release()
    first.release()


def test_waiting_refresh_follows(engine: Engine, other: Engine) -> None:
    """The waiting refresh has the lock as soon as its holder releases it."""
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


def test_released_lock(engine: Engine, other: Engine, observer: Engine) -> None:
    """A released lock can be taken by others and again; releasing a lock that is not held does nothing."""
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
    with database(server, template) as url, connect(url) as elsewhere:
        second = RefreshLock(elsewhere)
        second.take()
        second.release()
    lock.release()


def test_holder_that_is_no_refresh(engine: Engine, observer: Engine) -> None:
    """A holder that is no refresh is reported by the name of its session."""
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
    holder = r"process \d+ on a-very-long-name-of-a-ho since 2024-01-02 03:04 UTC"
    with connect(prepared_url, session_name(SINCE)) as elsewhere:
        first, second = RefreshLock(elsewhere), RefreshLock(engine)
        first.take()
        with pytest.raises(AlreadyRunningError, match=holder):
            second.take()
        second.release()
        first.release()


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


def test_keeping_a_held_lock(engine: Engine, other: Engine) -> None:
    """A lock that was not lost stays with its session."""
    lock = RefreshLock(engine)
    lock.take()
    (before,) = ask(other, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
    lock.keep()
    assert ask(other, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted") == [before]
    lock.release()


def test_keeping_a_lock_that_was_never_taken(engine: Engine, observer: Engine) -> None:
    """A run without a lock, such as a dry run, gets none."""
    RefreshLock(engine).keep()
    assert ask(observer, LOCKS) == []


def test_lost_lock_is_taken_again(engine: Engine, other: Engine, observer: Engine) -> None:
    """A lock whose session was ended is taken again, and keeps others out."""
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


def test_lost_lock_that_another_refresh_took(engine: Engine, other: Engine, observer: Engine) -> None:
    """A refresh that lost its lock to another one must not go on."""
    first, second = RefreshLock(engine), RefreshLock(other)
    first.take()
    end_holder(observer)
    second.take()
    with pytest.raises(AlreadyRunningError, match="another refresh of this database is running: process "):
        first.keep()
    first.release()
    assert len(ask(observer, LOCKS)) == 1
    second.release()


def test_lost_lock_is_tried_until_it_is_held(engine: Engine, observer: Engine, server: URL) -> None:
    """If the server is out of reach at first, the next attempt takes the lock."""
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


# Builders beside each other, per asset

OF_DAILY = claims(DAILY, DAILY.legs[0])


@contextmanager
def holding(engine: Engine, builder: BuilderConfig, ids: Sequence[int]) -> Iterator[None]:
    """Hold assets for a builder, by a session of its own."""
    claimed = claims(builder, builder.legs[0])
    with engine.connect() as connection, assets_held(connection, claimed, ids) as are_held:
        assert are_held
        yield


def held(engine: Engine, builder: BuilderConfig, ids: Sequence[int]) -> bool:
    """Whether assets can be held for a builder at once."""
    claimed = claims(builder, builder.legs[0])
    with engine.connect() as connection, assets_held(connection, claimed, ids, lambda: True) as are_held:
        return are_held


def wait(engine: Engine, builder: BuilderConfig, ids: Sequence[int]) -> bool:
    """Hold assets for a moment, however long it takes to get them."""
    with holding(engine, builder, ids):
        return True


@pytest.mark.parametrize("ids", [[2], [1, 2, 3], [3, 2, 9]], ids=str)
def test_same_asset_and_builder(engine: Engine, other: Engine, observer: Engine, ids: list[int]) -> None:
    """The second process waits until the first is done, and holds nothing meanwhile."""
    with ThreadPoolExecutor() as pool:
        with holding(engine, DAILY, [1, 2, 3]):
            first = ask(observer, LOCKS)
            assert len(first) == 3
            second = pool.submit(wait, other, DAILY, ids)
            time.sleep(A_MOMENT)
            assert not second.done()
            assert set(first) <= set(ask(observer, LOCKS))
        assert second.result(PATIENCE) is True
    assert ask(observer, LOCKS) == []


@pytest.mark.parametrize("holder", BUILDERS, ids=lambda builder: builder.key)
def test_who_keeps_whom_waiting(engine: Engine, other: Engine, observer: Engine, holder: BuilderConfig) -> None:
    """An asset keeps its builder waiting, the builders that read what it writes, and those whose tables it reads."""
    with holding(engine, holder, [1, 2, 3]):
        for builder in BUILDERS:
            reads = {table for leg in builder.legs[:1] for table in leg.inputs}
            written = {leg.target for leg in holder.legs}
            is_read = holder.legs[0].inputs and {leg.target for leg in builder.legs} & set(holder.legs[0].inputs)
            may_not = builder == holder or bool(reads & written) or bool(is_read)
            assert held(other, builder, [3]) is not may_not, builder.key
            assert held(other, builder, [4, 2_000_000_000])
    assert ask(observer, LOCKS) == []


def test_stop_while_waiting(engine: Engine, other: Engine) -> None:
    """A process that is asked to stop does not wait any longer."""
    with holding(engine, DAILY, [1]):
        assert held(other, DAILY, [1]) is False
    assert held(other, DAILY, [1]) is True


def test_assets_and_the_refresh(engine: Engine, other: Engine) -> None:
    """The lock of a refresh lets no builder wait, and no builder lets a refresh wait."""
    lock = RefreshLock(engine)
    lock.take()
    assert held(other, DAILY, [0, 1])
    lock.release()
    with holding(engine, DAILY, [0, 1]):
        other_lock = RefreshLock(other)
        other_lock.take(PATIENCE)
        other_lock.release()


def test_no_assets(engine: Engine, observer: Engine) -> None:
    """No assets can be held as well."""
    assert held(engine, EMAS, [])
    assert ask(observer, LOCKS) == []


def test_many_assets(engine: Engine, observer: Engine) -> None:
    """Five hundred assets of a builder with two inputs fit."""
    with holding(engine, EMAS, range(500)):
        assert len(ask(observer, LOCKS)) == 1500
    assert ask(observer, LOCKS) == []


def test_waiting_process_sees_what_was_written(engine: Engine, other: Engine) -> None:
    """The transaction of the process that waited begins after the other one's commit."""
    query = text("SELECT count(*) FROM dim_period WHERE period = 777")
    claimed = claims(DAILY, DAILY.legs[0])

    def periods() -> int:
        with other.connect() as connection, assets_held(connection, claimed, [1]), repeatable_read(connection):
            return int(connection.execute(query).scalar_one())

    with ThreadPoolExecutor() as pool, engine.connect() as connection:
        with assets_held(connection, claimed, [1]):
            second = pool.submit(periods)
            time.sleep(A_MOMENT)
            with repeatable_read(connection):
                connection.execute(text("INSERT INTO dim_period VALUES (777, false, 0)"))
        assert second.result(PATIENCE) == 1


def test_failed_work_releases_its_assets(engine: Engine, observer: Engine) -> None:
    """An error in the work releases the assets, and leaves the session usable."""

    def fail() -> None:
        with (
            engine.connect() as connection,
            assets_held(connection, OF_DAILY, [1, 2]),
            repeatable_read(connection),
        ):
            connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        fail()
    assert ask(observer, LOCKS) == []
    assert held(engine, DAILY, [1, 2])


def test_lost_session_releases_its_assets(engine: Engine, observer: Engine) -> None:
    """A session that was ended in the middle holds nothing, and the work ends with that error."""

    def work() -> None:
        with (
            engine.connect() as connection,
            assets_held(connection, OF_DAILY, [1]),
            repeatable_read(connection),
        ):
            end_holder(observer)
            connection.execute(text("SELECT 1"))

    with pytest.raises(Exception, match=r"terminating connection|closed the connection"):
        work()
    assert ask(observer, LOCKS) == []
    assert held(engine, DAILY, [1])


# Ending sessions


def test_sessions_of_a_process(prepared_url: str, observer: Engine) -> None:
    """The sessions of one process of this machine end; other processes, machines and programs stay."""
    own = session_name(SINCE)
    here, number = locks.host()[:24], os.getpid()
    ended = [own, own.replace("2024", "2025")]
    staying = [own.replace(f"{number}@", f"{number}1@"), own.replace(f"@{here} ", f"@{here}x "), f"psql {own}"]
    query = """SELECT application_name FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'observer'"""
    with ExitStack() as stack:
        for name in (*ended, *staying):
            connection = stack.enter_context(connect(prepared_url, name)).connect()
            connection.execute(text("SELECT 1"))
            stack.callback(abandon, connection)
        with observer.begin() as looking:
            assert end_sessions(looking, number) == 2
        assert eventually(lambda: len(ask(observer, query)) == 3)
        assert {name for (name,) in ask(observer, query)} == set(staying)
        with observer.begin() as looking:
            assert end_sessions(looking, number) == 0


def abandon(connection: Connection) -> None:
    """Close a session that the server may have ended."""
    connection.invalidate()
    connection.close()
