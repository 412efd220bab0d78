"""Builders that are forked from a warm process, beside those that are new Pythons: nobody can tell the two apart."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from programs import PROJECT
from run.planning import BARS, CAL_ISO, CAL_US, DAILY, EMAS
from run.processes import (
    EVERYTHING,
    Recording,
    builder_pids,
    context,
    daily_bars,
    descendants,
    errors,
    everywhere,
    locked,
    plan,
    statuses_by_step,
)
from sqlalchemy import Engine
from statements import address, ask
from waiting import PATIENCE, eventually

from refresh.catalog import BuilderConfig
from refresh.records import Status
from refresh.run import forking
from refresh.run.forking import Forks
from refresh.run.launcher import Launcher
from refresh.run.process import CannotStartProcessError, Ends, NewPythons, OwnProcess, Way
from refresh.run.steps import Limits, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="builders are forked on Linux only")

WAYS = (Forks, NewPythons)
JOBS = Limits(jobs=2)
WAITING = """
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()
"""
ALONE = "import sys\nif 'refresh.builder.warm' in sys.orig_argv:\n    "
SHARED = {
    "a thread": "import threading, time; threading.Thread(target=time.sleep, args=[99], daemon=True).start()",
    "a file": "import builtins; builtins.kept = open('/proc/self/maps')",
    "a failure": "import os; os._exit(1)",
    "a refusal": "import os\n    def fork(): raise OSError('no memory')\n    os.fork = fork",
    "silence": "import time; time.sleep(600)",
}
"""What a ``sitecustomize`` may do to the warm process."""


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with 25 days of three assets, and their daily bars."""
    with daily_bars(prepared_url) as engine:
        yield engine


def warm_pids() -> list[int]:
    """The warm processes of this process."""
    return [pid for pid, command in descendants().items() if "refresh.builder.warm" in command]


def parent(pid: int) -> int:
    """The number of the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[1])


def descriptors(pid: int) -> list[tuple[int, str]]:
    """What a process has open, without the numbers of pipes and sockets."""
    links = sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name))
    return [(link.name in "012", re.sub(r"\d+", "", str(link.readlink()))) for link in links]


@contextmanager
def started(way: Way, *arguments: str) -> Iterator[tuple[OwnProcess, socket.socket]]:
    """A builder, and our end of its channel; its output is thrown away."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open("wb") as output:
        process = way.start(arguments, Ends(channel=theirs.fileno(), output=output.fileno()))
        theirs.close()
        try:
            yield process, ours
        finally:
            if process.is_running:
                os.killpg(process.pid, signal.SIGKILL)
            assert has_ended(process)
            process.close()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Way]:
    """Each way to start builders."""
    with closing(request.param(context(engine).environ)) as way:
        yield way


def has_ended(process: OwnProcess) -> bool:
    """Whether a process ends before long."""
    return eventually(lambda: not process.is_running)


def are_stuck(engine: Engine, number: int) -> bool:
    """Whether this many builders come to wait for a lock."""
    return eventually(lambda: len(ask(engine, WAITING)) == number)


# Each way


def test_exit_code_of_its_own(way: Way) -> None:
    """A builder that refuses its arguments, and one that does its work."""
    for arguments, code in ((("bars.none",), 2), (("bars.1d", "--run-id", "r"), 0)):
        with started(way, *arguments) as (process, channel):
            assert has_ended(process)
            assert process.exit_code() == code
            assert channel.recv(1) == b"{" * (code == 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGSEGV, -11)])
def test_code_of_a_signal(engine: Engine, way: Way, number: signal.Signals, code: int) -> None:
    """A builder that is ended by a signal says so."""
    with locked(engine, BARS), started(way, BARS.key, "--run-id", "r") as (process, _):
        assert are_stuck(engine, 1)
        os.killpg(process.pid, number)
        assert has_ended(process)
        assert process.exit_code() == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_a_new_builder(engine: Engine, way: Way, number: signal.Signals) -> None:
    """A signal that comes before the builder listens is not lost."""
    with locked(engine, BARS), started(way, BARS.key, "--run-id", "r") as (process, _):
        os.killpg(process.pid, number)
        assert has_ended(process)
        assert process.exit_code()


def test_group_and_session(engine: Engine, way: Way) -> None:
    """A builder leads a group of its own in our session, and its command says what it does."""
    with locked(engine, BARS), started(way, BARS.key, "--ids", "1,52", "--run-id", "r") as (process, _):
        assert os.getpgid(process.pid) == process.pid
        assert os.getsid(process.pid) == os.getsid(0)
        assert are_stuck(engine, 1)
        (command,) = (command for pid, command in descendants().items() if pid == process.pid)
        assert f"-m refresh.builder {BARS.key} --ids 1,52 --run-id r --outcomes-fd " in command


def test_orphan_of_either_way(engine: Engine, way: Way) -> None:
    """A builder ends when its channel falls silent, whoever its parent is."""
    with locked(engine, BARS), started(way, BARS.key, "--run-id", "r") as (process, channel):
        assert are_stuck(engine, 1)
        channel.close()
        assert has_ended(process)
        assert process.exit_code() == 1


def test_descriptors_are_the_same(engine: Engine) -> None:
    """The third of three builders has nothing open that a new Python would not have, and inherits nothing of others."""
    keys = (BARS.key, CAL_US.key, CAL_ISO.key)
    with ExitStack() as stack:
        for builder in (BARS, CAL_US, CAL_ISO):
            stack.enter_context(locked(engine, builder))
        found = []
        for kind in WAYS:
            with ExitStack() as inner:
                way = inner.enter_context(closing(kind(context(engine).environ)))
                all_three = [inner.enter_context(started(way, key, "--run-id", kind.__name__)) for key in keys]
                assert are_stuck(engine, len(keys))
                found.append([descriptors(process.pid) for process, _ in all_three])
            assert are_stuck(engine, 0)
    forked, new = found
    assert [sorted(each) for each in forked] == [sorted(each) for each in new]


# The warm process


def test_one_warm_process(engine: Engine) -> None:
    """It has one thread, is the parent of builders that run side by side, and ends with its launcher."""
    with locked(engine, BARS), locked(engine, CAL_US):
        with closing(Launcher(context(engine).environ)) as launcher, ExitStack() as stack:
            for key in (BARS.key, CAL_US.key):
                stack.enter_context(closing(launcher.start([key, "--run-id", "r"])))
            assert are_stuck(engine, 2)
            (warm,) = warm_pids()
            assert len(list(Path(f"/proc/{warm}/task").iterdir())) == 1
            assert [parent(pid) for pid in builder_pids()] == [warm] * 2
        assert warm_pids() == []
        assert eventually(lambda: not builder_pids())


def after(number: int, call: Callable[[object], None]) -> Callable[[object], None]:
    """A function that calls another one when it is called for this time."""
    calls: list[object] = []

    def count(value: object) -> None:
        calls.append(value)
        if len(calls) == number:
            call(value)

    return count


@pytest.mark.parametrize(("builder", "number"), [(BARS, 1), (DAILY, 0)])
def test_process_is_started_early_if_at_all(engine: Engine, builder: BuilderConfig, number: int) -> None:
    """It imports while the run is recorded; a run without work has none."""
    seen: list[int] = []
    report = run(
        plan(engine, builder),
        EVERYTHING,
        context(engine),
        Recording(),
        begin=lambda: seen.extend((len(warm_pids()), len(builder_pids()))),
    )
    assert seen == [number, 0]
    assert [step.launched for step in report.steps] == [bool(number)]
    assert warm_pids() == []


def test_warm_process_is_killed(engine: Engine) -> None:
    """The builder that runs works on, and the others are new Pythons: the run is complete."""
    parents: list[set[int]] = []

    def kill(_: object) -> None:
        (warm,) = warm_pids()
        os.kill(warm, signal.SIGKILL)
        assert eventually(lambda: not warm_pids())
        holder.rollback()

    def look(_: object) -> None:
        if not warm_pids():
            parents.append({parent(pid) for pid in builder_pids()} - {os.getpid()})

    ended: list[int] = []
    planned = plan(engine, BARS, CAL_US, EMAS)
    with locked(engine, BARS) as holder:
        watcher = Recording(begin=after(2, kill), outcome=look)
        report = run(planned, EVERYTHING, context(engine, end_sessions=ended.append), watcher, limits=JOBS)
    assert report.exit_code == 0
    assert statuses_by_step(report) == {builder.key: everywhere(Status.DONE) for builder in (BARS, CAL_US, EMAS)}
    assert len(ended) == 1
    assert parents


def test_warm_process_and_its_builder_are_killed(engine: Engine) -> None:
    """Nobody knows how the builder ended. Its assets are not reached, and its sessions are ended."""
    killed: list[int] = []
    ended: list[int] = []

    def kill(_: object) -> None:
        assert are_stuck(engine, 1)
        (builder,) = builder_pids()
        killed.append(builder)
        for pid in (*warm_pids(), builder):
            os.kill(pid, signal.SIGKILL)

    with locked(engine, BARS):
        watcher = Recording(begin=after(2, kill))
        run_context = context(engine, end_sessions=ended.append)
        report = run(plan(engine, BARS, CAL_US), EVERYTHING, run_context, watcher, limits=JOBS)
    assert statuses_by_step(report) == {
        BARS.key: everywhere(Status.NOT_REACHED),
        CAL_US.key: everywhere(Status.DONE),
    }
    assert errors(report.steps[0]) == {"the builder ended without reporting this asset"}
    assert ended == killed
    assert run(plan(engine, BARS), EVERYTHING, context(engine), Recording()).exit_code == 0


@pytest.mark.parametrize("harm", SHARED)
def test_new_python_where_nothing_can_be_forked(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """If the warm process is not alone, fails or keeps silent, builders are new Pythons, and nothing is said."""
    monkeypatch.setattr(forking, "SECONDS_TO_ANSWER", 1.0 if harm == "silence" else forking.SECONDS_TO_ANSWER)
    (tmp_path / "sitecustomize.py").write_text(ALONE + SHARED[harm])
    environ = {**context(engine).environ, "PYTHONPATH": str(tmp_path)}
    with closing(Launcher(environ)) as launcher, locked(engine, BARS):
        for _ in range(2):
            launched = launcher.start([BARS.key, "--run-id", "r"])
            with closing(launched):
                assert isinstance(launched.process, OwnProcess)
                assert parent(launched.process.pid) == os.getpid()
                os.killpg(launched.process.pid, signal.SIGKILL)
                assert launched.process.exit_code() == -signal.SIGKILL
    assert warm_pids() == []


def test_too_many_arguments(engine: Engine) -> None:
    """What no packet can hold is not forked; the next builder is."""
    with closing(Forks(context(engine).environ)) as forks:
        ids = ["--ids", ",".join(map(str, range(50_000)))]
        with pytest.raises(CannotStartProcessError), started(forks, BARS.key, *ids):
            pytest.fail("it was started")
        with started(forks, BARS.key, "--run-id", "r") as (process, _):
            assert parent(process.pid) in warm_pids()


# The program


@pytest.fixture
def program(engine: Engine, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A refresh in a session of its own, with two builders that are stuck."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REFRESH_LOG_DIR": str(tmp_path)}
    command = [sys.executable, "run_daily_refresh.py", "--bars", "--builders", "multi_tf,cal_us", "--jobs", "2"]
    with ExitStack() as stack, (tmp_path / "out").open("wb") as out:
        for builder in (BARS, CAL_US):
            stack.enter_context(locked(engine, builder))
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**environ, "TARGET_DB_URL": address(engine)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        assert are_stuck(engine, 2)
        yield process
        for pid in session(process):
            os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE)


def session(process: subprocess.Popen[bytes]) -> Sequence[int]:
    """The processes that are alive in the session of a program: itself, the warm one, and builders."""
    listed = subprocess.run(["pgrep", "-s", str(process.pid), "-r", "R,S,D,T"], capture_output=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def test_program_is_killed(engine: Engine, program: subprocess.Popen[bytes]) -> None:
    """Neither its warm process nor a builder nor a session is left."""
    assert len(session(program)) == 4
    program.kill()
    program.wait(PATIENCE)
    assert eventually(lambda: not session(program))
    assert eventually(lambda: not ask(engine, WAITING))


def test_service_is_stopped(engine: Engine, program: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A service manager sends SIGTERM to all processes: the run still learns how its builders ended."""
    for pid in session(program):
        os.kill(pid, signal.SIGTERM)
    assert program.wait(PATIENCE) == 143
    assert session(program) == []
    assert "Stopped by SIGTERM" in (tmp_path / "out").read_text(encoding="utf-8")
    assert not ask(engine, WAITING)
