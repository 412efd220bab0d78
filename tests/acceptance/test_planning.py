"""What interrupts a run before its first builder: it is told, and planned again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prices import fill
from programs import PROJECT
from refreshing import enable
from sqlalchemy import Engine
from statements import address, ask, execute
from waiting import eventually

from refresh.catalog import SOURCE

WAITS = f"SELECT pid FROM pg_locks WHERE relation = '{SOURCE}'::regclass AND NOT granted"


@contextmanager
def held_in_planning(engine: Engine, url: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program that waits for the price table, which is free again at the end of the block."""
    environ = {"PATH": os.environ["PATH"], "TARGET_DB_URL": url, "REFRESH_LOG_DIR": str(folder)}
    command = [sys.executable, "run_daily_refresh.py", *arguments]
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(f"LOCK TABLE {SOURCE} IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert eventually(lambda: ask(engine, WAITS) or process.poll() is not None)
        yield process


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with one asset."""
    enable(engine, ["7D"], [10])
    fill(engine, 1, "2024-01-01", "2024-02-01")
    return engine


def first_complaint(process: subprocess.Popen[str]) -> str:
    """The next line on stderr."""
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize("arguments", [("--all",), ("--all", "--dry-run"), ("--explain", "1")], ids=" ".join)
def test_ended_session(filled: Engine, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A session that ends while a run is planned is replaced."""
    with held_in_planning(filled, address(filled), tmp_path, *arguments) as process:
        execute(filled, f"SELECT pg_terminate_backend(pid) FROM ({WAITS}) AS w")
        assert first_complaint(process).startswith("trying again: ")
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_limit_of_statements(filled: Engine, tmp_path: Path) -> None:
    """A limit that ends a statement is named with the way to lift it, and the statement may work the next time."""
    url = f"{address(filled)}?options=-c%20statement_timeout%3D5000"
    with held_in_planning(filled, url, tmp_path, "--all") as process:
        line = first_complaint(process)
        assert line.startswith(
            "trying again: canceling statement due to statement timeout (statement_timeout is 5s for"
        )
        assert line.endswith("lift it with ALTER ROLE ... SET statement_timeout = 0, or in the URL: "
                             "?options=-c%20statement_timeout%3D0)\n")  # fmt: skip
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_limit_that_stays(filled: Engine, tmp_path: Path) -> None:
    """If it never works, the run ends with what ended it, exit code 3."""
    url = f"{address(filled)}?options=-c%20statement_timeout%3D2000"
    with held_in_planning(filled, url, tmp_path, "--all", "--retries", "0") as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "Traceback" not in output + errors
    assert errors.startswith("error: canceling statement due to statement timeout (statement_timeout is 2s for")
