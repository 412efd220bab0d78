"""Who may work: one refresh per database, and per asset the builder that writes a table or those that read it.

They are advisory locks of two numbers: the first says what is locked, the second is the asset. They end with their
session.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from refresh.catalog import BUILDERS, BuilderConfig, Leg, writer_of
from refresh.errors import AlreadyRunningError
from refresh.store.server_errors import ASSET_ERRORS
from refresh.store.statements import columns_of, lists_of, rows_of

_REFRESH = 0x7265_6672  # "refr"; builders have the numbers after it
_SHORTEST_PAUSE, _SECONDS_BETWEEN_TRIES = 0.01, 0.25
_NAME = re.compile(r"refresh (?P<pid>\d+)@(?P<host>\S*) (?P<since>\S+)Z(?: .*)?")
_HOST_LENGTH = 24  # with it a session's name stays below the 63 bytes that PostgreSQL keeps


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def session_name(now: datetime) -> str:
    """The name of a session of this process, from which others see who holds a lock and since when."""
    return f"{_sessions_of(os.getpid())}{now.astimezone(UTC):%Y-%m-%dT%H:%M}Z"


def _sessions_of(pid: int, machine: str | None = None) -> str:
    """The beginning of the names of all sessions of a process of a machine; ``None``: of this one."""
    return f"refresh {pid}@{(machine or host())[:_HOST_LENGTH]} "


class RefreshLock:
    """The lock of the one refresh that a database may have at a time, held by a session of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Connection | None = None
        self._wanted = False

    def take(self, wait_seconds: float = 0.0, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock, and wait up to ``wait_seconds`` for it. Raises ``AlreadyRunningError`` naming the holder."""
        self._wanted = True
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            _await(session, time.monotonic() + wait_seconds, on_wait)
        except BaseException:
            _close(session)
            raise
        self._session = session

    def keep(self) -> None:
        """Take the lock again if its session was lost. Raises ``AlreadyRunningError``, and what a server raises."""
        if self._wanted and not self._is_held():
            self.take()

    def _is_held(self) -> bool:
        """Whether the session of the lock still exists and has it; any other is closed."""
        if self._session is None:
            return False
        is_held = False
        with suppress(*ASSET_ERRORS):
            is_held = bool(self._session.execute(_HELD, {"number": _REFRESH}).scalar_one())
        if not is_held:
            _close(self._session)
            self._session = None
        return is_held

    def release(self) -> None:
        """Release the lock, even if the server is gone."""
        self._wanted = False
        if self._session is not None:
            _close(self._session)
            self._session = None


_HELD = text("""
    SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND granted
                   AND classid = :number AND objid = 0 AND objsubid = 2)
""")


def _await(session: Connection, until: float, on_wait: Callable[[str], None]) -> None:
    """Wait for the lock until a time of the monotonic clock, and report its holder once."""
    is_reported = False
    while not _try(session, [Claim(_REFRESH, is_shared=False)], [0]):
        holder = _holder(session, _REFRESH, 0)
        if time.monotonic() >= until:
            raise AlreadyRunningError(
                f"another refresh of this database is running: {holder}; wait for it with --wait-lock 10m"
            )
        if not is_reported:
            on_wait(holder)
            is_reported = True
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _close(session: Connection) -> None:
    """End a session: in the pool it would keep its locks."""
    with suppress(*ASSET_ERRORS):
        session.invalidate()
    with suppress(*ASSET_ERRORS):
        session.close()


@dataclass(frozen=True, order=True, slots=True)
class Claim:
    """What a builder claims of each asset: the locks of a builder, alone or shared with others that only read."""

    number: int
    is_shared: bool


def claims(builder: BuilderConfig, leg: Leg) -> list[Claim]:
    """The claims of a leg: alone on its own builder, shared on the builders whose tables it reads."""
    writers = {writer_of(table) for table in leg.inputs}
    shared = [Claim(_number(writer), is_shared=True) for writer in writers if writer not in {None, builder}]
    return sorted([Claim(_number(builder), is_shared=False), *shared])


def _number(builder: BuilderConfig | None) -> int:
    return _REFRESH + 1 + BUILDERS.index(builder)


@contextmanager
def assets_held(
    connection: Connection,
    claimed: Sequence[Claim],
    ids: Sequence[int],
    is_stopping: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Keep other processes from what they may not do to these assets meanwhile. Yields whether the assets are held.

    They are not if ``is_stopping`` became true while others held some of them. The locks belong to the session. They
    are taken before a transaction begins, so that it sees what the others wrote.
    """
    try:
        yield _wait_for(connection, claimed, ids, is_stopping)
    finally:
        with suppress(*ASSET_ERRORS):
            _free(connection.execution_options(isolation_level="AUTOCOMMIT"))


def _wait_for(
    connection: Connection, claimed: Sequence[Claim], ids: Sequence[int], is_stopping: Callable[[], bool]
) -> bool:
    """Try until all locks are taken, or a stop is requested. Returns whether they are taken."""
    session = connection.execution_options(isolation_level="AUTOCOMMIT")
    pause = _SHORTEST_PAUSE
    while not _try(session, claimed, ids):
        if is_stopping():
            return False
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - two that wait must not meet again and again
        pause = min(2 * pause, _SECONDS_BETWEEN_TRIES)
    return True


def _try(session: Connection, claimed: Sequence[Claim], ids: Sequence[int]) -> bool:
    """Take all locks, in the order of assets, then builders; or none."""
    values = {**columns_of("i", id=ids), **lists_of("c", claimed, "number", "is_shared")}
    taken = session.execute(_TAKE, values).scalar_one()
    if not taken:
        _free(session)
    session.commit()
    return bool(taken)


_TAKE = text(f"""
    SELECT coalesce(bool_and(CASE WHEN is_shared THEN pg_try_advisory_lock_shared(number, id)
                                  ELSE pg_try_advisory_lock(number, id) END), true)
    FROM (SELECT number, id, is_shared FROM {rows_of("i", id="int")}
          CROSS JOIN {rows_of("c", number="int", is_shared="bool")} ORDER BY id, number OFFSET 0) AS wanted
""")


def _free(session: Connection) -> None:
    """Release all locks of a session; one that works on assets has no others."""
    session.execute(text("SELECT pg_advisory_unlock_all()"))
    session.commit()


def _holder(session: Connection, number: int, id: int) -> str:
    """The holder of a lock: its process and machine, and since when."""
    name = session.execute(
        text("""
            SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :number AND l.objid = :id AND l.objsubid = 2
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """),
        {"number": number, "id": id},
    ).scalar()
    if not name:
        return "it has just ended"
    refresh = _NAME.fullmatch(name)
    if not refresh:
        return str(name)
    since = datetime.fromisoformat(refresh["since"])
    return f"process {refresh['pid']} on {refresh['host']} since {since:%Y-%m-%d %H:%M} UTC"


def is_refreshing(connection: Connection) -> bool:
    """Whether a refresh of this database is at work."""
    query = text("""
        SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :number AND objid = 0
            AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """)
    return bool(connection.execute(query, {"number": _REFRESH}).scalar_one())


def end_sessions(connection: Connection, pid: int, machine: str | None = None) -> int:
    """End the sessions that a process of a machine, or of this one, left behind. Returns their number."""
    ended = connection.execute(
        text("""
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = current_user AND starts_with(application_name, :name)
        """),
        {"name": _sessions_of(pid, machine)},
    )
    return int(ended.scalar_one())
