"""Output that nobody reads: full pipes, a stopped terminal, a reader that is gone. Nothing waits for it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from evil_services import drips_a_header, serving, silent
from prices import FILL
from programs import PROJECT
from sqlalchemy import Engine, text
from statements import address, ask, execute
from waiting import PATIENCE, eventually

DAILY = ("run_daily_refresh.py", "--bars", "--builders", "1d")
BUILDER = ("-m", "refresh.builder", "bars.1d")
ROWS = "SELECT count(*) FROM cmc_price_bars_1d"
LOCKS = """
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""
WAITING = """
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()
"""
SECONDS_TO_STOP = 15.0


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with forty days of three assets."""
    for asset in (1, 2, 3):
        execute(engine, FILL, asset=asset, first="2024-01-01Z", last="2024-02-09Z")
    return engine


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a small pipe into which nothing more fits."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"." * 4096)
    yield reader, writer
    for end in (reader, writer):
        with suppress(OSError):
            os.close(end)


@contextmanager
def started(
    engine: Engine, command: Sequence[str], logs: Path, *, out: int, err: int, keep: Sequence[int] = (), **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program at work in a session of its own, which is ended with all its children."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REFRESH_LOG_DIR": str(logs), "NO_PROXY": "*"}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**environ, "TARGET_DB_URL": address(engine), **more},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        pass_fds=keep,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in (*builders(process), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def builders(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes of the session that a program leads, except itself."""
    listed = subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True, check=False).stdout
    return [int(pid) for pid in listed.split() if int(pid) != process.pid]


def stop_at_work(engine: Engine, process: subprocess.Popen[bytes]) -> float:
    """Send SIGTERM while the builder waits for a table. Returns when that was."""
    assert eventually(lambda: ask(engine, WAITING)), "no builder is at work"
    process.send_signal(signal.SIGTERM)
    return time.monotonic()


@contextmanager
def table_locked(engine: Engine) -> Iterator[Callable[[], None]]:
    """Nobody can write daily bars until the function is called."""
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))
        yield connection.rollback
        connection.rollback()


def check_stopped(engine: Engine, process: subprocess.Popen[bytes], free: Callable[[], None], logs: Path) -> None:
    """SIGTERM ends the run in time with 143, its summary in the log, no process and no lock left."""
    began = stop_at_work(engine, process)
    time.sleep(0.5)
    free()
    assert process.wait(PATIENCE) == 143
    assert time.monotonic() - began < SECONDS_TO_STOP
    log = "".join(path.read_text() for path in logs.glob("refresh-*.log"))
    assert "event=finish" in log
    assert "exit_code=143" in log
    assert builders(process) == []
    assert eventually(lambda: not ask(engine, LOCKS))


# A run


def test_stdout_is_a_full_pipe(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """SIGTERM ends the run while the reader of stdout sleeps."""
    with (
        table_locked(filled) as free,
        started(filled, (*DAILY, "--verbose"), tmp_path, out=full_pipe[1], err=subprocess.DEVNULL) as process,
    ):
        check_stopped(filled, process, free, tmp_path)


def test_terminal_is_stopped(filled: Engine, tmp_path: Path) -> None:
    """The same on a terminal that was stopped with Ctrl-S, for stdout and stderr."""
    master, terminal = pty.openpty()
    try:
        os.write(master, b"\x13")
        with (
            table_locked(filled) as free,
            started(filled, DAILY, tmp_path, out=terminal, err=terminal, TERM="xterm") as process,
        ):
            check_stopped(filled, process, free, tmp_path)
    finally:
        os.close(master)
        os.close(terminal)


def test_stderr_is_a_full_pipe(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """A run with failures and warnings ends by itself, and its summary is on stdout."""
    execute(filled, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    command = (*DAILY, "--alert-on-error")
    with started(filled, command, tmp_path, out=subprocess.PIPE, err=full_pipe[1]) as process:
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
    assert b"Not complete: 1 of 3 assets (ID 2)" in out
    assert ask(filled, ROWS) == [(80,)]


def test_run_ends_with_its_own_code(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """Without a signal the run ends as well, does its work, and is no failure."""
    with started(filled, DAILY, tmp_path, out=full_pipe[1], err=full_pipe[1]) as process:
        assert process.wait(PATIENCE) == 0
    assert ask(filled, ROWS) == [(120,)]
    assert ask(filled, "SELECT exit_code FROM refresh_runs") == [(0,)]


def test_reader_is_gone(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """A run whose words cannot be written does its work, and then ends with 1."""
    os.close(full_pipe[0])
    with started(filled, DAILY, tmp_path, out=full_pipe[1], err=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (1, b"")
    assert ask(filled, ROWS) == [(120,)]
    assert ask(filled, "SELECT exit_code FROM refresh_runs") == [(0,)]


# Results


def test_document_waits_for_its_reader(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """The document on stdout is whole, however late it is read; the lock is free meanwhile."""
    command = (*DAILY, "--json", "-")
    reader, writer = full_pipe
    with started(filled, command, tmp_path, out=writer, err=subprocess.DEVNULL) as process:
        os.close(writer)
        assert eventually(lambda: ask(filled, "SELECT FROM refresh_runs WHERE ended_at IS NOT NULL"))
        assert eventually(lambda: not ask(filled, LOCKS))
        time.sleep(7.0)
        assert process.poll() is None
        with os.fdopen(os.dup(reader), "rb") as file:
            received = file.read()
        assert process.wait(PATIENCE) == 0
    document = json.loads(received.lstrip(b"."))
    assert (document["kind"], document["rows"]) == ("run", 120)


def test_signal_ends_the_wait_for_a_reader(filled: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """A document that nobody reads does not keep a process alive that is asked to end."""
    command = (*DAILY, "--json", "-")
    with started(filled, command, tmp_path, out=full_pipe[1], err=subprocess.DEVNULL) as process:
        assert eventually(lambda: ask(filled, "SELECT FROM refresh_runs WHERE ended_at IS NOT NULL"))
        time.sleep(2.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_TO_STOP) == 143


# A builder by itself, and loading


@pytest.mark.parametrize("is_parent", [False, True])
def test_outcomes_wait_for_their_reader(
    filled: Engine, full_pipe: tuple[int, int], tmp_path: Path, *, is_parent: bool
) -> None:
    """While nobody reads its outcomes a builder does its work, holds no lock, and ends when it is asked to."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                theirs.send(b"." * 4096)
        theirs.setblocking(True)
        command = (*BUILDER, "--outcomes-fd", str(theirs.fileno())) if is_parent else BUILDER
        keep = [theirs.fileno()] if is_parent else []
        with started(filled, command, tmp_path, out=full_pipe[1], err=full_pipe[1], keep=keep) as process:
            assert eventually(lambda: ask(filled, "SELECT FROM refresh_runs WHERE exit_code = 0"))
            assert eventually(lambda: not ask(filled, LOCKS))
            assert ask(filled, ROWS) == [(120,)]
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_TO_STOP) in {143, -signal.SIGTERM}


def test_loading_waits_for_nobody(engine: Engine, full_pipe: tuple[int, int], tmp_path: Path) -> None:
    """A file is loaded, and the program ends, while nobody reads what it prints."""
    command = ("-m", "refresh.load", "--sample")
    with started(engine, command, tmp_path, out=full_pipe[1], err=full_pipe[1]) as process:
        assert process.wait(PATIENCE) == 0
    assert ask(engine, "SELECT count(*) FROM cmc_price_histories7") == [(1509,)]


# Services


def test_signal_while_a_service_is_silent(filled: Engine, tmp_path: Path) -> None:
    """The run begins beside its heartbeat, and a signal during the sending leaves the run's exit code."""
    with serving(silent) as silence:
        command, pipe = (*DAILY, "--quiet"), subprocess.PIPE
        began = time.monotonic()
        with started(filled, command, tmp_path, out=pipe, err=pipe, HEARTBEAT_URL=f"{silence}/ping") as process:
            assert eventually(lambda: ask(filled, "SELECT FROM refresh_runs WHERE ended_at IS NOT NULL"))
            assert time.monotonic() - began < 10.0, "the run waited for its heartbeat"
            time.sleep(1.0)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=5.0)
            assert process.returncode == 0
        assert err.decode().splitlines()[-1] == "not sent: heartbeat (stopped by a signal)"


def test_a_channel_that_drips_its_answer(filled: Engine, tmp_path: Path) -> None:
    """A thread of the library of alerts that still reads from its server does not keep the program from its end."""
    with (
        serving(drips_a_header) as address,
        started(
            filled,
            DAILY,
            tmp_path,
            out=subprocess.DEVNULL,
            err=subprocess.DEVNULL,
            ALERT_URLS=address.replace("http://", "json://"),
        ) as process,
    ):
        assert eventually(lambda: ask(filled, "SELECT FROM refresh_runs WHERE ended_at IS NOT NULL"))
        process.terminate()
        assert process.wait(SECONDS_TO_STOP) == 0
