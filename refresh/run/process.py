"""A builder as a process of the system, and a new Python for each. The only user of subprocess in a run."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import refresh
from refresh import threads

PACKAGE_FOLDER = Path(refresh.__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "refresh.builder")


class CannotStartProcessError(Exception):
    """This way to start a builder is not possible here or now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """The descriptors of a builder: where its outcomes go, and where stdout and stderr go."""

    channel: int
    output: int


class Process(Protocol):
    """A builder that was started: a process in a group of its own, or what looks like one."""

    @property
    def pid(self) -> int | None:
        """Its number, and that of its group; ``None`` if there is no such process on this machine."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""

    def exit_code(self) -> int | None:
        """The exit code of a process that has ended: negative if a signal ended it, ``None`` if nobody knows."""

    def send(self, number: int) -> None:
        """Send a signal to its group."""

    @property
    def left_behind(self) -> int | None:
        """The number of a process that has ended, if it may have left something running in the database."""

    def close(self) -> None:
        """Keep nothing of a process that has ended."""


class OwnProcess(ABC):
    """A process of this machine. ``pid``: its number, and that of its group."""

    pid: int

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it has not ended yet."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """The exit code of a process that has ended."""

    @abstractmethod
    def close(self) -> None:
        """Keep nothing of a process that has ended."""

    def send(self, number: int) -> None:
        """Send a signal to its group, if there is still anything in it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    @property
    def left_behind(self) -> int | None:
        """Its number, unless it came to its own end."""
        code = self.exit_code()
        return self.pid if code is None or code < 0 else None


class Way(Protocol):
    """A way to start builders."""

    def prepare(self) -> None:
        """Begin what takes a while, without waiting for it."""

    def start(self, arguments: Sequence[str], ends: Ends) -> OwnProcess:
        """Start a builder with these arguments; raises ``CannotStartProcessError`` if another way has to be tried."""

    def close(self) -> None:
        """Keep nothing once all builders have ended."""


def start_python(
    command: Sequence[str], environ: Mapping[str, str], keep: int, output: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start Python in a process group of its own, where it inherits the descriptor ``keep``."""
    return subprocess.Popen(
        command,
        env=with_this_package(environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[keep],
        process_group=0,  # a Ctrl-C in the terminal reaches this process alone, which passes it on
    )


def with_this_package(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Python that we start, in which it finds this very package.

    Nothing is imported from the current folder, where anything may be: a relative or empty entry would be in it.
    """
    named = environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(PACKAGE_FOLDER), *filter(os.path.isabs, named)]
    return {
        **environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        **threads.NONE,
    }


class NewPython(OwnProcess):
    """A builder that was started as a new Python."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self.pid = started.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._started.poll() is None

    def exit_code(self) -> int:
        """Wait for the end."""
        return self._started.wait()

    def close(self) -> None:
        """Nothing is kept."""


class NewPythons:
    """A new Python per builder: possible everywhere."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def prepare(self) -> None:
        """Nothing can be done beforehand."""

    def start(self, arguments: Sequence[str], ends: Ends) -> NewPython:
        """Start a builder with these arguments."""
        command = [*COMMAND, *arguments, "--outcomes-fd", str(ends.channel)]
        return NewPython(start_python(command, self._environ, ends.channel, ends.output))

    def close(self) -> None:
        """Nothing is kept."""
