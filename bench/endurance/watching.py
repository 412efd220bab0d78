"""Looks several times a second at what runs: sessions of the server, and memory by kind of process. Linux only.

The memory of a process is the most that it ever had, as the system keeps it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, text

from bench.server import NAME, Database
from refresh.store.database import connect

SECONDS_BETWEEN_LOOKS = 0.1
_PROCESSES = Path("/proc")
_KINDS = {"orchestrator": b"run_daily_refresh.py", "warm process": b"refresh.builder.warm"}
_STARTER = b"launch.py"
_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND application_name <> :name
"""


def sessions(engine: Engine) -> int:
    """The number of sessions in a database, without those of the bench itself."""
    with engine.connect() as connection:
        number: int = connection.execute(text(_SESSIONS), {"name": NAME}).scalar_one()
    return number


class Watch:
    """Looks for the length of a block. ``sessions``: the most at once; ``memory``: the most bytes by kind of process.

    Without a database it only looks at processes.
    """

    def __init__(self, database: Database | None = None) -> None:
        self.sessions = 0
        self.memory: dict[str, int] = dict.fromkeys(_KINDS, 0)
        self._database = database
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        if self._database is None:
            self._look_until_over(None)
            return
        with connect(self._database.url, NAME) as engine:
            self._look_until_over(engine)

    def _look_until_over(self, engine: Engine | None) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            if engine:
                self.sessions = max(self.sessions, sessions(engine))
            for kind, size in _memory(os.getpid()):
                self.memory[kind] = max(self.memory[kind], size)


def _memory(pid: int) -> Iterator[tuple[str, int]]:
    """The kind and the bytes of each process below one."""
    for child in _children(pid):
        with suppress(OSError, ValueError):
            if kind := _kind((_PROCESSES / str(child) / "cmdline").read_bytes()):
                yield kind, most_bytes((_PROCESSES / str(child) / "status").read_text())
        yield from _memory(child)


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):
        for task in (_PROCESSES / str(pid) / "task").iterdir():
            with suppress(OSError):
                children += map(int, (task / "children").read_text().split())
    return children


def _kind(command: bytes) -> str | None:
    """What a process is by its command; ``None`` if it is not of the kinds that are watched."""
    if _STARTER in command:
        return None
    return next((kind for kind, sign in _KINDS.items() if sign in command), None)


def most_bytes(status: str) -> int:
    """The most memory that a process ever had, from what the system says of it; 0 if it has ended."""
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
