"""Sessions that others end or limit, and locks that others hold."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

import psycopg2
from faults.ground import ALL, ROLE
from faults.scene import Fault, MissedError, Scene, Struck, ends
from faults.signals import felt
from psycopg2.errors import DeadlockDetected
from psycopg2.extensions import connection
from running import Refresh
from statements import ask, execute

from refresh.catalog import BUILDERS
from refresh.errors import ExitCode
from refresh.store.tables import DAILY_STATE

ANY, DONE = ends(ExitCode.DONE, ExitCode.FAILED), ends(ExitCode.DONE)
FAILS = ends(ExitCode.FAILED, ExitCode.CANNOT_START)
END, CANCEL = "pg_terminate_backend", "pg_cancel_backend"
_LOCK_OWNER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND pid = ANY(:pids) AND granted"
_WAITS = "SELECT pid FROM pg_stat_activity WHERE pg_blocking_pids(pid) && ARRAY[CAST(:holder AS int)]"
_HELD = """
    SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = :pid AND l.granted AND l.mode = 'RowExclusiveLock' AND c.relkind = 'r' AND c.relname = ANY(:ours)
"""


def struck(scene: Scene, how: str, *, own: bool = False, everybody: bool = False) -> Struck:
    """End or cancel what a session does: one of the builders', the one that holds the run's lock, or all."""
    program = scene.start(*ALL)
    scene.amid(program)
    pids = scene.found(program, lambda: _chosen(scene, program, own=own, everybody=everybody))
    query = f"SELECT count(*) FROM unnest(CAST(:pids AS int[])) AS p WHERE {how}(p) AND {_IS_BUSY[how]}"
    if ask(scene.engine, query, pids=pids) == [(0,)]:
        raise MissedError
    return scene.end(program)


_IS_BUSY = {
    END: "true",
    CANCEL: "EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = p AND a.state = 'active')",
}
"""A session that waits for its client does not feel that its query is cancelled."""


def _chosen(scene: Scene, program: Refresh, *, own: bool, everybody: bool) -> list[int]:
    pids = scene.sessions(program, own=own)
    if everybody:
        return [*pids, *scene.sessions(program, own=not own)]
    if own:
        return [pid for (pid,) in ask(scene.engine, _LOCK_OWNER, pids=pids)]
    return [scene.draw.choice(pids)] if pids else []


def limited(scene: Scene, setting: str, values: Sequence[str]) -> Struck:
    """The role gets a limit in the middle of a refresh, which its next sessions feel."""
    with lasting(scene, setting, scene.draw.choice(values)):
        program = scene.start(*ALL, "--retries", "1")
        return felt(scene.end(program))


@contextmanager
def lasting(scene: Scene, setting: str, value: str) -> Iterator[None]:
    """The sessions of the role in this database have a setting, for the length of the block."""
    of_role = f"ALTER ROLE {ROLE} IN DATABASE {scene.url.database}"
    execute(scene.engine, f"{of_role} SET {setting} = '{value}'")
    try:
        yield
    finally:
        execute(scene.engine, f"{of_role} RESET {setting}")


def few_connections(scene: Scene) -> Struck:
    """The database takes fewer sessions than a refresh needs."""
    number = scene.draw.randint(1, 2)
    execute(scene.engine, f"ALTER DATABASE {scene.url.database} CONNECTION LIMIT {number}")
    try:
        return felt(scene.end(scene.start(*ALL, "--retries", "1")))
    finally:
        execute(scene.engine, f"ALTER DATABASE {scene.url.database} CONNECTION LIMIT -1")


@contextmanager
def another(scene: Scene) -> Iterator[connection]:
    """A session of somebody else, which asks for deadlocks last of all."""
    address = scene.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as session:
        with session.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '30s'")
        session.commit()
        yield session


def said(session: connection, statement: str) -> None:
    """Run a statement of somebody else, whose transaction stays open."""
    with session.cursor() as cursor:
        cursor.execute(statement)


def held(scene: Scene, program_waits: float) -> Struck:
    """Somebody holds a table of ours for a while."""
    table = scene.draw.choice(BUILDERS).legs[0].table
    with another(scene) as session:
        said(session, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        program = scene.start(*ALL)
        scene.found(program, partial(_waiting, scene, session))
        time.sleep(scene.draw.uniform(0, program_waits))
        session.rollback()
        return scene.end(program)


def _waiting(scene: Scene, session: connection) -> list[int]:
    return [pid for (pid,) in ask(scene.engine, _WAITS, holder=session.info.backend_pid)]


def deadlocked(scene: Scene, *, ours_ends: bool) -> Struck:
    """Somebody locks tables in another order than a builder, and the server ends one of the two."""
    builder = scene.draw.choice(BUILDERS)
    table = builder.legs[0].table
    with lasting(scene, "deadlock_timeout", ("30s", "1s")[ours_ends]), another(scene) as session:
        if not ours_ends:
            said(session, "SET deadlock_timeout = '10ms'")
        said(session, f"LOCK TABLE {table} IN SHARE MODE")
        program = scene.start(*ALL, "--jobs", "1")
        (waiting, *_) = scene.found(program, partial(_waiting, scene, session))
        ours = [builder.legs[0].state, DAILY_STATE, *(other.legs[0].table for other in BUILDERS)]
        held_by_it = ask(scene.engine, _HELD, pid=waiting, ours=ours)
        if not held_by_it:
            raise MissedError
        try:
            said(session, f"LOCK TABLE {held_by_it[0][0]} IN SHARE MODE")
            is_ours = True
        except DeadlockDetected:
            is_ours = False
        session.rollback()
        ended = scene.end(program)
    log = scene.ground.log.read_text(encoding="utf-8", errors="replace")
    if is_ours != ours_ends or not log.count("deadlock detected"):
        raise MissedError
    return ended


SESSIONS = (
    Fault(name="a builder's session is ended", strike=partial(struck, how=END), codes=ANY),
    Fault(name="a builder's statement is cancelled", strike=partial(struck, how=CANCEL), codes=ANY),
    Fault(name="the session that holds the run's lock is ended", strike=partial(struck, how=END, own=True), codes=ANY),
    Fault(name="all sessions are ended", strike=partial(struck, how=END, everybody=True), codes=ANY),
    Fault(name="all statements are cancelled", strike=partial(struck, how=CANCEL, everybody=True), codes=ANY),
    Fault(
        name="the database takes one or two sessions",
        strike=few_connections,
        codes=FAILS,
    ),
    *(
        Fault(
            name=f"the role's `{setting}` is tiny",
            strike=partial(limited, setting=setting, values=values),
            codes=FAILS,
        )
        for setting, values in {
            "statement_timeout": ("2ms", "5ms", "10ms"),
            "transaction_timeout": ("10ms", "20ms", "40ms"),
            "idle_in_transaction_session_timeout": ("1ms", "2ms"),
            "temp_file_limit": ("0",),
        }.items()
    ),
    Fault(name="another session holds a table for a while", strike=partial(held, program_waits=0.5), codes=DONE),
    Fault(name="a deadlock that ends the other session", strike=partial(deadlocked, ours_ends=False), codes=DONE),
    Fault(name="a deadlock that ends the builder's transaction", strike=partial(deadlocked, ours_ends=True), codes=ANY),
)
