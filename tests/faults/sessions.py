"""Sessions that others end or limit, and locks that others hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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

ANY, DONE = ends(ExitCode.DONE, ExitCode.FAILED), ends(ExitCode.DONE)
FAILS = ends(ExitCode.FAILED, ExitCode.CANNOT_START)
END, CANCEL = "pg_terminate_backend", "pg_cancel_backend"
_LOCK_OWNER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND pid = ANY(:pids) AND granted"
_WAITS = "SELECT pid FROM pg_stat_activity WHERE pg_blocking_pids(pid) && ARRAY[CAST(:holder AS int)]"
_WRITTEN = """
    SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = :pid AND l.granted AND l.mode = 'RowExclusiveLock' AND c.relkind = 'r' ORDER BY c.relname
"""


def struck(scene: Scene, how: str, choose: Choose) -> Struck:
    """End some sessions, or cancel what they do, until the server tells that it has."""
    told = scene.ground.told(_TOLD[how])
    program = scene.start(*ALL)
    scene.amid(program)

    def is_felt() -> bool:
        ask(scene.engine, f"SELECT {how}(p) FROM unnest(CAST(:pids AS int[])) AS p", pids=choose(scene, program))
        time.sleep(A_MOMENT)
        return scene.ground.told(_TOLD[how]) > told

    scene.found(program, is_felt)
    return scene.end(program)


_TOLD = {
    END: "terminating connection due to administrator command",
    CANCEL: "canceling statement due to user request",
}
A_MOMENT = 0.01
Choose = Callable[[Scene, Refresh], list[int]]


def a_builders(scene: Scene, program: Refresh) -> list[int]:
    """A session of a builder."""
    pids = scene.sessions(program, own=False)
    return [scene.draw.choice(pids)] if pids else []


def the_lock_owner(scene: Scene, program: Refresh) -> list[int]:
    """The session that holds the lock of the run."""
    return [pid for (pid,) in ask(scene.engine, _LOCK_OWNER, pids=scene.sessions(program, own=True))]


def all_of_them(scene: Scene, program: Refresh) -> list[int]:
    """Each session of the run and of its builders."""
    return [*scene.sessions(program, own=True), *scene.sessions(program, own=False)]


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
    """Somebody locks tables in another order than a builder, and the server ends one of the two.

    A state is written last, by its builder or by the one before, which marks it: whoever waits for it has written rows.
    """
    told = scene.ground.told("deadlock detected")
    state = scene.draw.choice(BUILDERS).legs[0].state
    with lasting(scene, "deadlock_timeout", ("30s", "2s")[ours_ends]), another(scene) as session:
        if not ours_ends:
            said(session, "SET deadlock_timeout = '10ms'")
        said(session, f"LOCK TABLE {state} IN SHARE MODE")
        program = scene.start(*ALL, "--jobs", "1")
        (waiting, *_) = scene.found(program, partial(_waiting, scene, session))
        written = [table for (table,) in ask(scene.engine, _WRITTEN, pid=waiting)]
        try:
            said(session, f"LOCK TABLE {scene.draw.choice(written)} IN SHARE MODE")
            is_ours = True
        except DeadlockDetected:
            is_ours = False
        session.rollback()
        ended = scene.end(program)
    if is_ours != ours_ends or scene.ground.told("deadlock detected") == told:
        raise MissedError
    return ended


SESSIONS = (
    Fault(name="a builder's session is ended", strike=partial(struck, how=END, choose=a_builders), codes=ANY),
    Fault(name="a builder's statement is cancelled", strike=partial(struck, how=CANCEL, choose=a_builders), codes=ANY),
    Fault(
        name="the session that holds the run's lock is ended",
        strike=partial(struck, how=END, choose=the_lock_owner),
        codes=ANY,
    ),
    Fault(name="all sessions are ended", strike=partial(struck, how=END, choose=all_of_them), codes=ANY),
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
        }.items()
    ),
    Fault(name="another session holds a table for a while", strike=partial(held, program_waits=0.5), codes=DONE),
    Fault(name="a deadlock that ends the other session", strike=partial(deadlocked, ours_ends=False), codes=DONE),
    Fault(name="a deadlock that ends the builder's transaction", strike=partial(deadlocked, ours_ends=True), codes=ANY),
)
