"""Programs of ours side by side, one for each database: starts them, passes on their words, and passes on signals.

What they do, this module does not know.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from refresh.run.process import with_this_package
from refresh.stop import Stop

COMMAND = (sys.executable, "-m", "refresh.commands")
_BYTES_AT_ONCE = 65_536
_SECONDS_TO_WAIT = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One program: the name of its database, its arguments, and its environment with its secrets."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A line that a part has printed. ``is_error``: on stderr."""

    name: str
    line: str
    is_error: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedPart:
    """How a part ended: its exit code, ``None`` if it was not started any more, and the seconds that it took."""

    name: str
    code: int | None = None
    seconds: float = 0.0


def run_parts(parts: Iterable[Part], jobs: int, tell: Callable[[Said], object], stop: Stop) -> list[EndedPart]:
    """Run all parts, up to ``jobs`` at a time. Once a stop is requested none is started. None outlives the call."""
    waiting, ended = list(parts), list[EndedPart]()
    with selectors.DefaultSelector() as selector:
        running: list[_Running] = []
        sent = 0
        while running or (waiting and not stop.requested):
            while waiting and len(running) < jobs and not stop.requested:
                running.append(_Running(waiting.pop(0), selector, tell))
            for key, _ in selector.select(_SECONDS_TO_WAIT):
                key.data()
            if stop.signal is not None and sent <= stop.urgent:
                sent += 1
                for program in running:
                    program.send(stop.signal)
            done = [program for program in running if not program.is_running]
            running = [program for program in running if program not in done]
            ended += [program.ended() for program in done]
    return [*ended, *(EndedPart(name=part.name) for part in waiting)]


class _Running:
    """One program at work."""

    def __init__(self, part: Part, selector: selectors.BaseSelector, tell: Callable[[Said], object]) -> None:
        self._part, self._selector, self._tell = part, selector, tell
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [*COMMAND, *part.arguments],
            env=with_this_package(part.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # a Ctrl-C in the terminal reaches this process alone, which passes it on
        )
        self._rest = {False: b"", True: b""}
        self._open = 2
        for stream, is_error in ((self._process.stdout, False), (self._process.stderr, True)):
            if stream:
                self._listen(stream.fileno(), is_error=is_error)

    def _listen(self, descriptor: int, *, is_error: bool) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._receive(descriptor, is_error=is_error))

    def _receive(self, descriptor: int, *, is_error: bool) -> None:
        data = os.read(descriptor, _BYTES_AT_ONCE)
        *lines, self._rest[is_error] = (self._rest[is_error] + data).split(b"\n")
        if not data:
            self._selector.unregister(descriptor)
            self._open -= 1
            lines = [self._rest[is_error]] if self._rest[is_error] else []
        for line in lines:
            text = line.decode(errors="replace")
            self._tell(Said(name=self._part.name, line=text, is_error=is_error))

    @property
    def is_running(self) -> bool:
        """Whether it lives, or has words that were not passed on."""
        return self._open > 0 or self._process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.Signals(number))

    def ended(self) -> EndedPart:
        """How it ended."""
        with self._process as process:
            code = process.wait()
        return EndedPart(name=self._part.name, code=code, seconds=time.monotonic() - self._started)
