"""Who may work: one refresh per database, and one process per builder and asset. Locks die with their session.

Advisory locks of two numbers: the first says what is locked, the second is the asset.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from refresh.catalog import BUILDERS, BuilderConfig
from refresh.errors import AlreadyRunningError
from refresh.store.database import ASSET_ERRORS

_REFRESH = 0x7265_6672  # "refr"; builders have the numbers behind it
_SECONDS_BETWEEN_TRIES = 0.25
_NAME = re.compile(r"refresh (?P<pid>\d+)@(?P<host>\S*) (?P<since>\S+)Z")
_HOST_LENGTH = 24  # with it a session's name stays below the 63 bytes that PostgreSQL keeps


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def session_name(at: datetime) -> str:
    """What a session of this process is called, so that others can say who holds a lock and since when."""
    return f"refresh {os.getpid()}@{host()[:_HOST_LENGTH]} {at.astimezone(UTC):%Y-%m-%dT%H:%M}Z"


class RefreshLock:
    """The lock of the one refresh that a database may have at a time, held by a session of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Connection | None = None
        self._wanted = False

    def take(self, wait_seconds: float = 0.0, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock, waiting for its holder if asked. Raises ``AlreadyRunningError`` that names the holder."""
        self._wanted = True
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            _await(session, time.monotonic() + wait_seconds, on_wait)
        except BaseException:
            _close(session)
            raise
        self._session = session

    def keep(self) -> None:
        """Take the lock again where its session was lost. Raises ``AlreadyRunningError``, and what a server raises."""
        if not self._wanted:
            return
        if self._session is not None:
            try:
                self._session.execute(text("SELECT 1"))
            except ASSET_ERRORS:
                _close(self._session)
                self._session = None
        if self._session is None:
            self.take()

    def release(self) -> None:
        """Let go of the lock, also where the server is gone."""
        self._wanted = False
        if self._session is not None:
            _close(self._session)
            self._session = None


def _await(session: Connection, until: float, on_wait: Callable[[str], None]) -> None:
    told = False
    while not _try(session, _REFRESH, [0]):
        holder = _holder(session, _REFRESH, 0)
        if time.monotonic() >= until:
            raise AlreadyRunningError(
                f"another refresh of this database is running: {holder}; wait for it with --wait-lock 10m"
            )
        if not told:
            on_wait(holder)
            told = True
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _close(session: Connection) -> None:
    """End a session: given back to the pool, it would keep its locks."""
    with suppress(*ASSET_ERRORS):
        session.invalidate()
    with suppress(*ASSET_ERRORS):
        session.close()


@contextmanager
def assets_held(connection: Connection, builder: BuilderConfig, ids: Sequence[int]) -> Iterator[bool]:
    """Keep other processes from building these assets with this builder. Tells whether one of them had to be awaited.

    The locks belong to the session, and are taken before a transaction begins, so that it sees what the other wrote.
    """
    number = _REFRESH + 1 + BUILDERS.index(builder)
    session = connection.execution_options(isolation_level="AUTOCOMMIT")
    waited = False
    while not _try(session, number, ids):
        waited = True
        time.sleep(_SECONDS_BETWEEN_TRIES)
    try:
        yield waited
    finally:
        with suppress(*ASSET_ERRORS):
            _free(connection.execution_options(isolation_level="AUTOCOMMIT"), number, ids)


def _try(session: Connection, number: int, ids: Sequence[int]) -> bool:
    """Lock all or none."""
    taken = session.execute(
        text("SELECT id FROM unnest(CAST(:ids AS int[])) AS u(id) WHERE pg_try_advisory_lock(:number, id)"),
        {"ids": list(ids), "number": number},
    ).scalars()
    locked = list(taken)
    session.commit()
    if len(locked) == len(ids):
        return True
    _free(session, number, locked)
    return False


def _free(session: Connection, number: int, ids: Sequence[int]) -> None:
    session.execute(
        text("SELECT count(pg_advisory_unlock(:number, id)) FROM unnest(CAST(:ids AS int[])) AS u(id)"),
        {"ids": list(ids), "number": number},
    )
    session.commit()


def _holder(session: Connection, number: int, id: int) -> str:
    """Whoever holds a lock: its process, machine, and since when."""
    name = session.execute(
        text("""
            SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :number AND l.objid = :id AND l.objsubid = 2
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """),
        {"number": number, "id": id},
    ).scalar()
    known = _NAME.fullmatch(name or "")
    if not known:
        return name or "it has just ended"
    since = datetime.fromisoformat(known["since"])
    return f"process {known['pid']} on {known['host']} since {since:%Y-%m-%d %H:%M} UTC"


def end_sessions(connection: Connection, pid: int) -> int:
    """End the sessions that a process of this machine left behind. Returns how many there were."""
    ended = connection.execute(
        text("""
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = current_user AND starts_with(application_name, :name)
        """),
        {"name": f"refresh {pid}@{host()[:_HOST_LENGTH]} "},
    )
    return int(ended.scalar_one())
