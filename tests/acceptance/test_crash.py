"""Processes and servers that are killed in the middle of a refresh: the next run completes what they left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from databases import create_tables
from programs import PROJECT
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import make_url
from statements import execute
from waiting import eventually

from refresh.catalog import SOURCE, BuilderConfig, by_key
from refresh.options.request import Request
from refresh.server.embedded import lease
from refresh.store.database import connect

FILL = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT a, d, d, 100 + sin(n), 102, 98, 100 + cos(n), n, d FROM generate_series(1, 4) a,
    generate_series('2020-01-01'::timestamptz, '2023-12-31', '1 day') WITH ORDINALITY AS g(d, n)
"""


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """The environment of a user whose embedded database contains prices of four assets and no bars yet."""
    folder = Path(tempfile.mkdtemp(prefix="refresh-"))
    folder.chmod(0o711)
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "REFRESH_DATA_DIR": str(folder / "data"),
        "REFRESH_LOG_DIR": str(folder),
    }
    with lease(settings) as server, connect(server.url) as engine:
        with engine.begin() as connection:
            create_tables(connection)
        enable(engine, ["7D", *FEW])
        execute(engine, FILL)
    yield settings
    shutil.rmtree(folder)


def start(environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start a refresh in a process group of its own."""
    command = [sys.executable, "run_daily_refresh.py", "--all", "--retries", "1"]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def held_at(environ: dict[str, str], builder: BuilderConfig) -> Iterator[subprocess.Popen[str]]:
    """A refresh that is held where this builder writes its first rows, in a transaction."""
    with lease(environ) as server, closing(psycopg2.connect(plain_url(server.url))) as session:
        with session.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {builder.legs[0].table} IN SHARE MODE")
            process = start(environ)
            assert eventually(lambda: is_waited_for(cursor, builder.legs[0].table))
        yield process


def plain_url(url: str) -> str:
    """A URL as psycopg2 reads it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def is_waited_for(cursor: Any, table: str) -> bool:
    """Whether a session waits for a lock of this table."""
    cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s::regclass AND NOT granted)", (table,))
    return bool(cursor.fetchone()[0])


def check_completed(environ: dict[str, str]) -> None:
    """One more run succeeds, and the tables are those of a rebuild."""
    last = start(environ)
    _, errors = last.communicate(timeout=120)
    assert (last.returncode, errors) == (0, "")
    with lease(environ) as server, connect(server.url) as engine:
        completed = digests(engine)
        assert all(rows for rows, _ in completed.values())
        refresh(engine, Request(full_rebuild=True))
        assert digests(engine) == completed


@pytest.mark.parametrize("key", ["bars.multi_tf", "emas.cal"])
def test_the_database_server_is_killed(environ: dict[str, str], key: str) -> None:
    """If the server is killed under a builder, the run reports it without a traceback; the next one completes it."""
    with held_at(environ, by_key(key)) as process:
        pid_file = Path(environ["REFRESH_DATA_DIR"], "pg18", "postmaster.pid")
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert "not reached" in errors
    check_completed(environ)


def test_the_refresh_and_its_builder_are_killed(environ: dict[str, str]) -> None:
    """SIGKILL to the whole process group loses only what its builder had not committed."""
    with held_at(environ, by_key("emas.multi_tf")) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    check_completed(environ)
