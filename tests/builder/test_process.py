"""A builder as a process of its own: what it records of itself, and how it ends when it is stopped or orphaned."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from prices import FILL
from programs import PROJECT, run
from sqlalchemy import Engine, text
from statements import ask, execute
from waiting import PATIENCE, eventually

from refresh.records import Outcome, Status
from refresh.store.database import connect

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with forty days of assets 1 and 2 of which nothing is built."""
    with connect(prepared_url, "observer") as engine:
        for asset in (1, 2):
            execute(engine, FILL, asset=asset, first="2024-01-01Z", last="2024-02-09Z")
        yield engine


def build(engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a builder by hand."""
    return run("-m refresh.builder", *arguments, url=engine.url.render_as_string(hide_password=False))


@contextmanager
def started(engine: Engine, *arguments: str, descriptor: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A builder at work, which is killed if it has not ended by itself."""
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "refresh.builder", *arguments],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=() if descriptor is None else [descriptor],
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def locked(engine: Engine, table: str) -> Iterator[None]:
    """A table that can be read but not written for the length of the block."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        yield


def sessions(engine: Engine, process: subprocess.Popen[str]) -> list[str | None]:
    """What each session of a process waits for."""
    query = f"""SELECT wait_event_type FROM pg_stat_activity
                WHERE datname = current_database() AND starts_with(application_name, 'refresh {process.pid}@')"""
    return [kind for (kind,) in ask(engine, query)]


def is_stuck(engine: Engine, process: subprocess.Popen[str]) -> bool:
    """Whether a process comes to wait for a lock before it ends."""
    return eventually(lambda: "Lock" in sessions(engine, process) or process.poll() is not None)


def statuses(engine: Engine) -> dict[int, str]:
    """The last recorded status of each asset."""
    return {row[0]: row[1] for row in ask(engine, "SELECT id, status FROM refresh_outcomes ORDER BY noted_at")}


# A run of its own


def test_builder_started_by_hand_is_a_run(engine: Engine) -> None:
    """It records its command, its host, and how it and its assets ended."""
    process = build(engine, "bars.1d", "--ids", "1,2")
    assert (process.returncode, process.stderr) == (0, "")
    outcomes = [Outcome.parse(line) for line in process.stdout.splitlines()]
    assert {(outcome.id, outcome.status, outcome.rows) for outcome in outcomes} == {
        (1, Status.DONE, 40),
        (2, Status.DONE, 40),
    }
    columns = "command, arguments, resumes, host, assets, exit_code, rows, ended_at >= started_at"
    assert ask(engine, f"SELECT {columns} FROM refresh_runs") == [
        ("python -m refresh.builder bars.1d --ids 1,2", [], None, socket.gethostname(), 2, 0, 80, True),
    ]
    query = "SELECT o.id, o.status, o.rows FROM refresh_outcomes o JOIN refresh_runs USING (run_id) ORDER BY 1"
    assert ask(engine, query) == [(1, "done", 40), (2, "done", 40)]


def test_exit_code_of_a_failure_is_recorded(engine: Engine) -> None:
    """An asset that failed is the run's failure; the next run says that it is a retry."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    assert build(engine, "bars.1d").returncode == 1
    assert ask(engine, "SELECT exit_code, rows FROM refresh_runs") == [(1, 40)]
    assert statuses(engine) == {1: "done", 2: "failed"}
    execute(engine, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT spare")
    assert build(engine, "bars.1d", "--restate-limit", "50").returncode == 0
    query = "SELECT arguments, exit_code, rows FROM refresh_runs ORDER BY started_at DESC LIMIT 1"
    assert ask(engine, query) == [(["--restate-limit", "50"], 0, 40)]
    query = "SELECT id, status, reason FROM refresh_outcomes ORDER BY noted_at DESC LIMIT 2"
    assert sorted(ask(engine, query)) == [
        (1, "done", "up to date"),
        (2, "done", "retry (failed last time): build 40 days: not built yet"),
    ]


def test_builder_of_a_run_is_no_run_itself(engine: Engine) -> None:
    """A builder that works for a run records its outcomes under that run's name, and leaves the run to its parent."""
    assert build(engine, "bars.1d", "--run-id", "r").returncode == 0
    assert ask(engine, "SELECT FROM refresh_runs") == []
    assert ask(engine, "SELECT DISTINCT run_id FROM refresh_outcomes") == [("r",)]


@pytest.mark.parametrize("arguments", [(), ("--run-id", "r")], ids=["by hand", "of a run"])
def test_session_ends_while_it_prepares(engine: Engine, arguments: tuple[str, ...]) -> None:
    """It prepares again in another session, as it tries again what it was about to commit."""
    assert build(engine, "bars.1d").returncode == 0
    assert build(engine, "bars.multi_tf").returncode == 0
    with started(engine, "emas.multi_tf", *arguments) as child:
        with locked(engine, "ema_alpha_lookup"):
            assert is_stuck(engine, child)
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(application_name, :name)"
            assert ask(engine, query, name=f"refresh {child.pid}@")
        output, errors = child.communicate(timeout=PATIENCE)
    assert (child.returncode, errors.count("trying again: ")) == (0, 1), errors
    assert {outcome.status for outcome in map(Outcome.parse, output.splitlines())} == {Status.DONE}


# Its end


def test_orphan_dies(engine: Engine) -> None:
    """A builder whose parent is gone ends soon, even while it waits for a lock, and so does its session."""
    ours, its = socket.socketpair()
    arguments = ("bars.1d", "--run-id", "r", "--outcomes-fd", str(its.fileno()))
    with ours, its, locked(engine, "cmc_price_bars_1d"), started(engine, *arguments, descriptor=its.fileno()) as child:
        its.close()
        assert is_stuck(engine, child)
        assert child.poll() is None
        ours.close()
        assert child.wait(PATIENCE) == 1
        assert eventually(lambda: not sessions(engine, child))
        assert statuses(engine) == {1: "not reached", 2: "not reached"}
    assert ask(engine, "SELECT FROM cmc_price_bars_1d") == []
    assert build(engine, "bars.1d").returncode == 0
    assert statuses(engine) == {1: "done", 2: "done"}


def test_outcomes_come_over_the_socket(engine: Engine) -> None:
    """A parent that reads its end of the socket gets each outcome, and the builder ends as usual."""
    ours, its = socket.socketpair()
    arguments = ("bars.1d", "--run-id", "r", "--outcomes-fd", str(its.fileno()))
    with ours, its, started(engine, *arguments, descriptor=its.fileno()) as child:
        its.close()
        with ours.makefile(encoding="utf-8") as lines:
            outcomes = [Outcome.parse(line) for line in lines]
        assert child.communicate(timeout=PATIENCE) == ("", "")
        assert child.returncode == 0
    assert sorted((outcome.id, outcome.rows) for outcome in outcomes) == [(1, 40), (2, 40)]


@pytest.fixture
def two_batches(engine: Engine) -> Engine:
    """Asset 1 has a day to append, asset 2 is new: work that is committed in two batches, in this order."""
    assert build(engine, "bars.1d", "--ids", "1", "--run-id", "before").returncode == 0
    execute(engine, FILL, asset=1, first="2024-02-10Z", last="2024-02-10Z")
    execute(engine, "TRUNCATE refresh_outcomes")
    return engine


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_stopped_builder(two_batches: Engine, number: int, code: int) -> None:
    """It commits its current batch, begins no other and reports that; the next builder does the rest."""
    with started(two_batches, "bars.1d", "--run-id", "r") as child:
        with locked(two_batches, "cmc_price_bars_1d"):
            assert is_stuck(two_batches, child)
            child.send_signal(number)
        output, errors = child.communicate(timeout=PATIENCE)
    assert (child.returncode, errors) == (code, "")
    (outcome,) = map(Outcome.parse, output.splitlines())
    assert (outcome.id, outcome.rows) == (1, 1)
    assert statuses(two_batches) == {1: "done", 2: "not reached"}
    query = "SELECT id, count(*) FROM cmc_price_bars_1d GROUP BY id"
    assert ask(two_batches, query) == [(1, 41)]
    assert build(two_batches, "bars.1d").returncode == 0
    assert sorted(ask(two_batches, query)) == [(1, 41), (2, 40)]


def test_stopped_run_is_recorded(two_batches: Engine) -> None:
    """A builder that was started by hand and stopped records its exit code."""
    with started(two_batches, "bars.1d") as child:
        with locked(two_batches, "cmc_price_bars_1d"):
            assert is_stuck(two_batches, child)
            child.send_signal(signal.SIGTERM)
        child.communicate(timeout=PATIENCE)
    assert child.returncode == 143
    assert ask(two_batches, "SELECT exit_code, rows FROM refresh_runs") == [(143, 1)]
