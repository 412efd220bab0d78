"""A builder as a process of the system, and a new Python for each. The only user of subprocess in a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
    """A process in a group of its own."""

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""

    def exit_code(self) -> int | None:
        """The exit code of a process that has ended: negative if a signal ended it, ``None`` if nobody knows."""

    def close(self) -> None:
        """Keep nothing of a process that has ended."""


class Way(Protocol):
    """A way to start builders."""

    def prepare(self) -> None:
        """Begin what takes a while, without waiting for it."""

    def start(self, arguments: Sequence[str], ends: Ends) -> Process:
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


class _NewPython:
    """A builder that was started as a new Python."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self._started.pid

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

    def start(self, arguments: Sequence[str], ends: Ends) -> Process:
        """Start a builder with these arguments."""
        command = [*COMMAND, *arguments, "--outcomes-fd", str(ends.channel)]
        return _NewPython(start_python(command, self._environ, ends.channel, ends.output))

    def close(self) -> None:
        """Nothing is kept."""
