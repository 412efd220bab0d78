"""What refreshes leave behind where nobody looks: files, processes, sessions, shared memory. Linux only.

Other programs use the machine as well. What is new in shared memory counts if the server uses it, or nobody does.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bench.endurance.watching import sessions
from bench.server import Bench, Database

SECONDS_TO_GO = 5.0
"""How long a session or process may need to end after the program that a user waits for."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SHARED = Path("/dev/shm")  # noqa: S108 - it is only looked at
_SYSTEM_V = Path("/proc/sysvipc")
_PROCESSES = Path("/proc")
_OF_ENDED = slice(13, 15)
"""Where the statistics of a process, after its name, have the time of the children that have ended."""
_SERVERS_FILES = "SELECT count(*) FROM pg_ls_tmpdir()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """What there is while no refresh runs. ``temporary``: files of refreshes and of the server that should be gone.

    ``shared``: segments of shared memory (POSIX and System V) and sets of semaphores. ``descriptors``: the open files
    of the server's first process.
    """

    logs: int
    temporary: int
    processes: int
    sessions: int
    shared: int
    descriptors: int


NAMES = {
    "logs": "files in the folder of logs",
    "temporary": "temporary files",
    "processes": "processes",
    "sessions": "sessions of the server",
    "shared": "shared memory and semaphores",
    "descriptors": "open files of the server",
}
"""What each number of the traces is called."""


def growth(traces: Sequence[Traces], name: str) -> int:
    """By how much the most of a number in the second half is above the most in the first half."""
    values = [getattr(each, name) for each in traces]
    middle = (len(values) + 1) // 2
    return max(values[middle:], default=0) - max(values[:middle], default=0)


class Tracker:
    """Looks for traces of the programs that a bench runs in some folders; what was there before does not count."""

    def __init__(self, bench: Bench, database: Database, *folders: Path) -> None:
        self._bench, self._database = bench, database
        self._folders = (bench.directory, *folders)
        self._known = {*_shared(), *_system_v()}

    def look(self) -> Traces:
        """What there is now, once what is about to end has ended."""
        deadline = time.monotonic() + SECONDS_TO_GO
        while self._processes() + sessions(self._database.engine) and time.monotonic() < deadline:
            time.sleep(0.01)
        return Traces(
            logs=sum(len(_logs(folder / "logs")) for folder in self._folders),
            temporary=sum(_files(folder / "tmp") for folder in self._folders) + self._servers_files(),
            processes=self._processes(),
            sessions=sessions(self._database.engine),
            shared=self._shared_by_nobody_else(),
            descriptors=len(list((_PROCESSES / str(self._server()) / "fd").iterdir())),
        )

    def server_seconds(self) -> float:
        """The seconds of CPU of all sessions and workers of the server that have ended."""
        fields = (_PROCESSES / str(self._server()) / "stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[_OF_ENDED])) / os.sysconf("SC_CLK_TCK")

    def _servers_files(self) -> int:
        with self._database.engine.connect() as connection:
            number: int = connection.execute(text(_SERVERS_FILES)).scalar_one()
        return number

    def _processes(self) -> int:
        """The programs that were started with one of the folders, and what they have started."""
        signs = [f"REFRESH_LOG_DIR={folder}/logs".encode() for folder in self._folders]
        return sum(any(sign in environment for sign in signs) for environment in _environments())

    def _server(self) -> int:
        """The number of the server's first process."""
        (file,) = (self._bench.directory / "data").glob("pg*/postmaster.pid")
        return int(file.read_text().split()[0])

    def _shared_by_nobody_else(self) -> int:
        server, new = self._server(), {*_shared()} - self._known
        used = {name for pid in _pids() if pid != server for name in _mapped(pid)}
        kept = {name for name in new if (_SHARED / name).exists()}  # not gone meanwhile
        own = kept & _mapped(server)
        unused = kept - used
        of_system_v = {*_system_v(by=server)} - self._known
        return len(own | unused) + len(of_system_v)


def _files(folder: Path) -> int:
    return sum(path.is_file() or path.is_socket() for path in folder.rglob("*"))


def _logs(folder: Path) -> set[str]:
    """The files below a folder; those of several days count once, because a day may end while nights are played."""
    return {_DAY.sub("", str(path)) for path in folder.rglob("*") if path.is_file()}


def _pids() -> Iterator[int]:
    return (int(path.name) for path in _PROCESSES.iterdir() if path.name.isdigit())


def _environments() -> Iterator[bytes]:
    """The environment of each other process that may be read."""
    for pid in _pids():
        if pid != os.getpid():
            with suppress(OSError):
                yield (_PROCESSES / str(pid) / "environ").read_bytes()


def _shared() -> Iterator[str]:
    """The names of the segments of shared memory and semaphores; folders are of programs that keep files there."""
    with suppress(OSError):
        yield from (path.name for path in _SHARED.iterdir() if not path.is_dir())


def _mapped(pid: int) -> set[str]:
    """The names of the segments that a process uses."""
    with suppress(OSError):
        lines = (_PROCESSES / str(pid) / "maps").read_text().splitlines()
        return {line.partition(f"{_SHARED}/")[2].split(" ")[0] for line in lines if f"{_SHARED}/" in line}
    return set()


def _system_v(by: int | None = None) -> Iterator[str]:
    """The segments of System V that a process has made, or that nobody uses, and all sets of semaphores."""
    for kind in ("shm", "sem", "msg"):
        with suppress(OSError):
            titles, *lines = (_SYSTEM_V / kind).read_text().splitlines()
            for line in lines:
                row = dict(zip(titles.split(), line.split(), strict=False))
                if kind != "shm" or by is None or row["cpid"] == str(by) or row["nattch"] == "0":
                    yield f"{kind} {row.get('shmid') or row.get('semid') or row.get('msqid')}"
