"""Servers that follow another one: a hot standby of all its databases, and a subscription to one of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from databases import as_user, closing_server, execute, guarded_folder
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import OperationalError
from statements import as_user as as_user_of
from statements import ask
from waiting import eventually

from refresh.server.programs import binaries, usable

SETTINGS = "-c wal_level=logical -c max_wal_senders=4 -c max_replication_slots=4"


@contextmanager
def primary() -> Iterator[URL]:
    """A server of which others may be copies. Yields the URL of its database ``postgres``."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs, SETTINGS) as running:
            yield make_url(running.url(database="postgres")).set(drivername="postgresql+psycopg2")


@contextmanager
def standby(of: URL) -> Iterator[URL]:
    """A hot standby of a server. Yields the URL of its database ``postgres``."""
    with guarded_folder() as folder:
        cluster = folder / "cluster"
        programs = usable(binaries(os.environ), cluster)
        cluster.mkdir()
        copy, serve = (str(as_user(folder, programs, name)) for name in ("pg_basebackup", "postgres"))
        primary_server = ["-h", str(of.host), "-p", str(of.port), "-U", str(of.username)]
        data = str(cluster / "data")
        subprocess.run([copy, *primary_server, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync"], check=True)
        own = of.set(port=_free_port())
        options = ["-D", data, "-h", "127.0.0.1", "-p", str(own.port), "-k", str(cluster), *SETTINGS.split()]
        with (folder / "log").open("w") as log, subprocess.Popen([serve, *options], stdout=log, stderr=log) as server:
            try:
                assert eventually(lambda: _answers(own)), (folder / "log").read_text()
                yield own
            finally:
                server.send_signal(signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


def _answers(url: URL) -> bool:
    try:
        as_user_of(url).connect().close()
    except OperationalError:
        return False
    return True


def has_followed(followed: Engine, name: str) -> bool:
    """Whether a standby or subscription has applied all that was written until now."""
    ((now,),) = ask(followed, "SELECT pg_current_wal_lsn()")
    query = "SELECT FROM pg_stat_replication WHERE application_name = :name AND replay_lsn >= CAST(:now AS pg_lsn)"
    return eventually(lambda: ask(followed, query, name=name, now=now))


@contextmanager
def subscribed(followed: URL, own: URL, name: str) -> Iterator[None]:
    """A subscription of a database to what another one publishes as ``everything``, for the length of the block."""
    address = f"host={followed.host} port={followed.port} user={followed.username} dbname={followed.database}"
    execute(own, f"CREATE SUBSCRIPTION {name} CONNECTION '{address}' PUBLICATION everything")
    try:
        yield
    finally:
        execute(own, f"ALTER SUBSCRIPTION {name} DISABLE")
        execute(own, f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
        execute(own, f"DROP SUBSCRIPTION {name}")
