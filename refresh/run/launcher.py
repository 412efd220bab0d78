"""Starts builders in the best way that is possible, and connects them. What they write, it does not know."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from refresh.run.context import RunContext
from refresh.run.forking import Forks
from refresh.run.plan import Step
from refresh.run.process import CannotStartProcessError, Ends, NewPythons, Process, Way


@dataclass(frozen=True, kw_only=True, slots=True)
class Launched:
    """A builder, and our ends of its connections: its channel, and stdout and stderr together."""

    process: Process
    channel: socket.socket
    output: int

    def close(self) -> None:
        """Keep nothing of a process that has ended."""
        self.channel.close()
        os.close(self.output)
        self.process.close()


class Launching(Protocol):
    """Starts the builders of a run, wherever they work."""

    def prepare(self) -> None:
        """Begin what takes a while, because builders will be started soon."""

    def launch(self, step: Step, run: RunContext) -> Launched:
        """Start the builder of a step. Raises ``OSError`` if that is not possible."""

    def close(self) -> None:
        """Keep nothing once all builders have ended."""


def launcher_of(run: RunContext) -> Launching:
    """What starts the builders of a run: the workers of its cluster, or this machine."""
    return run.cluster or Launcher(run.environ)


class Launcher:
    """Starts the builders of a run on this machine, all in the same environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        new_pythons = NewPythons(environ)
        self._ways: tuple[Way, ...] = (new_pythons,)
        if sys.platform == "linux":  # macOS has libraries that do not survive a fork
            self._ways = (Forks(environ), new_pythons)

    def prepare(self) -> None:
        """Begin what takes a while, because builders will be started soon."""
        for way in self._ways:
            way.prepare()

    def launch(self, step: Step, run: RunContext) -> Launched:
        """Start the builder of a step."""
        return self.start([*step.arguments, *run.arguments])

    def start(self, arguments: Sequence[str]) -> Launched:
        """Start a builder with these arguments."""
        *others, last = self._ways
        for way in others:
            try:
                return _connected(way, arguments)
            except CannotStartProcessError:
                continue
        return _connected(last, arguments)

    def close(self) -> None:
        """Keep nothing once all builders have ended."""
        for way in self._ways:
            way.close()


def _connected(way: Way, arguments: Sequence[str]) -> Launched:
    """A builder with connections of its own: one that was forked although it seemed to fail finds its parent gone."""
    channel, their_channel = socket.socketpair()
    try:
        output, their_output = os.pipe()
    except OSError:
        channel.close()
        their_channel.close()
        raise
    try:
        process = way.start(arguments, Ends(channel=their_channel.fileno(), output=their_output))
    except BaseException:
        channel.close()
        os.close(output)
        raise
    finally:
        their_channel.close()
        os.close(their_output)
    return Launched(process=process, channel=channel, output=output)
