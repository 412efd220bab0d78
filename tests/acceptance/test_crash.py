"""Processes and servers that are killed in the middle of a refresh: the next run completes what they left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_tables
from programs import PROJECT
from refreshing import FEW, digests, enable, refresh
from statements import execute

from refresh.catalog import SOURCE
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
    command = [sys.executable, "run_daily_refresh.py", "--all"]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(process: subprocess.Popen[str], line: str) -> None:
    """Read the output of the refresh until a line begins like this, and wait a little longer."""
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.startswith(line):
            time.sleep(0.9)
            return
    pytest.fail(f"the refresh ended before it printed {line!r}")


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


@pytest.mark.parametrize("step", ["[2/10]", "[8/10]"])
def test_the_database_server_is_killed(environ: dict[str, str], step: str) -> None:
    """If the server is killed under a builder, the run reports it without a traceback; the next one completes it."""
    process = start(environ)
    until(process, step)
    pid_file = Path(environ["REFRESH_DATA_DIR"], "pg18", "postmaster.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert "not reached" in errors
    check_completed(environ)


def test_the_refresh_and_its_builder_are_killed(environ: dict[str, str]) -> None:
    """SIGKILL to the whole process group loses only what its builder had not committed."""
    process = start(environ)
    until(process, "[7/10]")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    check_completed(environ)
