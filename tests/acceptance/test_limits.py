"""Limits of the system: no more files, processes, threads or memory. A run tells it, ends, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from bot_api import Bot, serving
from other_users import as_root
from prices import FILL
from programs import PROJECT
from sqlalchemy import Engine
from statements import address, ask, execute
from waiting import eventually

BEGINNING = """
import os, resource, sys
import encodings.idna
import refresh.commands.program, refresh.faces.exchange, refresh.faces.html
from refresh.options.declaration import Program
"""
LIMITED = (
    BEGINNING
    + """
if sys.argv[1] == "RLIMIT_NPROC":  # which is counted per user, and not for root
    os.setgroups([]), os.setgid(123_457), os.setuid(123_457)
resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]),) * 2)
del sys.argv[1:3]
sys.exit(refresh.commands.program.main(Program.DAILY, sys.argv[1:]))
"""
)
GREEDY = """
import sys
if any(word.startswith("refresh.builder") for word in sys.orig_argv):
    import numpy
    from refresh.due import source_bars as daily
    whole = daily.build_daily_bars
    def build(raw, *others, **more):
        if 52 in raw["id"]:
            numpy.empty(1 << 60, numpy.int8)
        return whole(raw, *others, **more)
    daily.build_daily_bars = build
"""
"""A ``sitecustomize`` that lets the daily bars of an asset need too much memory."""
LOCKS = """
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""
RUNS = "SELECT ended_at IS NOT NULL, exit_code FROM refresh_runs"


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with forty days of two assets."""
    for asset in (1, 52):
        execute(engine, FILL, asset=asset, first="2024-01-01Z", last="2024-02-09Z")
    return engine


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


def limited(engine: Engine, bot: Bot, limit: str, number: int, **environ: str) -> subprocess.CompletedProcess[str]:
    """A refresh of the daily bars under a limit."""
    logs = {"REFRESH_LOG_DIR": os.environ["REFRESH_LOG_DIR"], "PATH": os.environ["PATH"], "NO_PROXY": "*"}
    command = [sys.executable, "-c", LIMITED, limit, str(number), "--bars", "--builders", "1d"]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={**logs, **bot.environ, "TARGET_DB_URL": address(engine), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def check_told(engine: Engine, bot: Bot, result: subprocess.CompletedProcess[str], problem: str) -> None:
    """One line says what is missing, as does an alert; the run has an end, and neither lock nor session is left."""
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert problem in result.stderr
    assert ask(engine, RUNS) == [(True, 1)]
    assert problem in "".join(bot.texts)
    assert bot.beats[-1] == "fail"
    assert eventually(lambda: not ask(engine, LOCKS))


@pytest.mark.parametrize("number", [9, 10, 11, 12, 13, 14, 15, 16, 18])
def test_open_files(filled: Engine, bot: Bot, number: int) -> None:
    """Wherever the files are used up, the run tells it; or it needs no more than these."""
    result = limited(filled, bot, "RLIMIT_NOFILE", number)
    assert "Traceback" not in result.stdout + result.stderr
    assert ask(filled, RUNS) in ([], [(True, result.returncode)])
    if result.returncode:
        assert "Too many open files: raise the limit of open files (ulimit -n)" in result.stderr
    assert eventually(lambda: not ask(filled, LOCKS))


@pytest.mark.parametrize("room", ["commands", "builder", "load"])
def test_programs_need_no_second_thread(room: str) -> None:
    """Where the system gives none, numpy's linear algebra would end the program as if by Ctrl-C."""
    threads = f"import refresh.{room}, numpy, os; print(len(os.listdir('/proc/self/task')))"
    command = [sys.executable, "-c", threads]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "1\n"


@as_root
def test_processes_and_threads(filled: Engine, bot: Bot) -> None:
    """Without another process or thread nothing is built, and that is still told and sent."""
    result = limited(filled, bot, "RLIMIT_NPROC", 1)
    check_told(
        filled, bot, result, "could not be started: Resource temporarily unavailable: raise the limit of processes"
    )


def test_memory_of_a_builder(filled: Engine, bot: Bot, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An asset that needs more memory than there is fails by itself, in words."""
    folder = tmp_path_factory.mktemp("greedy")
    (folder / "sitecustomize.py").write_text(GREEDY, encoding="utf-8")
    result = limited(filled, bot, "RLIMIT_CORE", 0, PYTHONPATH=str(folder))
    check_told(filled, bot, result, "Unable to allocate")
    assert ask(filled, "SELECT DISTINCT id FROM cmc_price_bars_1d") == [(1,)]


def test_one_huge_text(filled: Engine, bot: Bot) -> None:
    """A builder's memory does not grow with the widest text: one of ten megabytes among many rows is no matter."""
    execute(filled, FILL, asset=7, first="1990-01-01Z", last="2024-02-09Z")
    wide = "UPDATE cmc_price_histories7 SET name = repeat('x', 10000000) WHERE id = 52 AND timeclose >= '2024-02-09Z'"
    execute(filled, wide)
    for _ in range(2):  # the second time the stored row is read too
        result = limited(filled, bot, "RLIMIT_AS", 2 << 30)
        assert (result.returncode, result.stderr) == (0, "")
    widths = "SELECT max(length(src_name)) FROM cmc_price_bars_1d GROUP BY id = 52 ORDER BY 1 NULLS FIRST"
    assert ask(filled, widths)[-1] == (256,)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces this limit")
def test_little_memory_is_refused_at_the_start() -> None:
    """A process that cannot load everything says so at once: what it loads may look for memory for ever."""
    for module in ("refresh.commands", "refresh.builder", "refresh.load"):
        program = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (200 << 20,) * 2); import {module}"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (
            3, "error: a process may have 200 MB here; raise that to 256 MB: ulimit -v 262144\n",
        )  # fmt: skip
