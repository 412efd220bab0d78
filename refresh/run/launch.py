"""Starts builder processes, hears what they report, and ends them. The only module of the run that starts a process.

A builder's outcomes come over a socket pair of its own, which also tells it when we are gone; its words, stdout and
stderr alike, come line by line over a pipe.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import refresh
from refresh.records import Outcome, Status
from refresh.run.plan import Step
from refresh.run.report import StepReport
from refresh.run.watch import Watcher

PACKAGE_FOLDER = Path(refresh.__file__).resolve().parent.parent
SECONDS_TO_STOP = 10
"""How long a builder that was asked to stop may go on with the batch that it is committing."""
_SECONDS_TO_WAIT = 0.1
_AT_ONCE = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What every builder of a run shares: the run's name and clock, and the environment with its secrets.

    ``end_sessions`` ends what a killed process, told by its number, left running in the database.
    """

    run_id: str
    now: datetime
    environ: Mapping[str, str]
    end_sessions: Callable[[int], object] = lambda _: None

    @property
    def arguments(self) -> list[str]:
        """The arguments that tie a builder to its run."""
        return ["--run-id", self.run_id, "--now", self.now.isoformat()]


def command(step: Step) -> list[str]:
    """The command that starts the step's builder; secrets travel in the environment."""
    return [sys.executable, "-m", "refresh.builder", *step.arguments]


class _Lines:
    """Bytes as they arrive -> whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def rest(self) -> list[str]:
        return [self._rest.decode(errors="replace")] if self._rest else []


class _Child:
    """One builder process: what it reported, what it said last, and when it has to be gone."""

    def __init__(self, step: Step, run: RunContext, seconds: float) -> None:
        self.step = step
        self.outcomes: list[Outcome] = []
        self.last_words = ""
        self.reported, self.said = _Lines(), _Lines()
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.ended_because = ""
        self._planned = set(step.ids)
        self.channel, theirs = socket.socketpair()
        self.words, saying = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command(step), *run.arguments, "--outcomes-fd", str(theirs.fileno())],
                env=_environment(run.environ),
                stdin=subprocess.DEVNULL,
                stdout=saying,
                stderr=saying,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C in the terminal is ours to pass on
            )
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(saying)

    def take(self, lines: list[str]) -> list[Outcome]:
        """Note the outcomes among some lines; of assets that were not planned, nothing is noted."""
        found = [one for one in map(Outcome.parse, lines) if one.id in self._planned]
        self.outcomes += found
        return found

    def hear(self, line: str) -> None:
        """Remember a word, in case it is the last one."""
        self.last_words = line.strip() or self.last_words

    def stop(self, because: str) -> None:
        """Ask it to stop, and set it a last deadline."""
        if not self.ended_because:
            self.ended_because = because
            self.deadline = time.monotonic() + SECONDS_TO_STOP
            self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.ended_because = self.ended_because or "the run was broken off"
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def close(self) -> None:
        self.channel.close()
        os.close(self.words)


class Crew:
    """The builder processes that run side by side. Left as a context, it leaves none behind."""

    def __init__(self, run: RunContext, watcher: Watcher) -> None:
        self._run, self._watcher = run, watcher
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("the run was broken off")
        while self._children and any(child.process.poll() is None for child in self._children):
            self._enforce()
            time.sleep(_SECONDS_TO_WAIT / 10)
        for child in tuple(self._children):
            self._dismiss(child)
        self._selector.close()

    @property
    def size(self) -> int:
        """How many processes are at work."""
        return len(self._children)

    def start(self, step: Step, *, seconds: float) -> None:
        """Start a step's builder, which has so many seconds."""
        child = _Child(step, self._run, seconds)
        self._children.append(child)
        self._selector.register(child.channel, selectors.EVENT_READ, (child, self._outcomes))
        self._selector.register(child.words, selectors.EVENT_READ, (child, self._words))

    def wait(self) -> list[StepReport]:
        """Hear what builders report for a moment. Returns the reports of the steps that ended."""
        for key, _ in self._selector.select(_SECONDS_TO_WAIT):
            child, hear = key.data
            data = os.read(key.fd, _AT_ONCE)
            if data:
                hear(child, data)
            else:
                self._selector.unregister(key.fileobj)
        self._enforce()
        ended = [child for child in self._children if child.process.poll() is not None]
        return [self._finish(child) for child in ended]

    def stop(self, because: str) -> None:
        """Ask every builder to stop; one that does not is killed after ``SECONDS_TO_STOP``."""
        for child in self._children:
            child.stop(because)

    def kill(self) -> None:
        """End every builder at once."""
        for child in self._children:
            child.kill()

    def _enforce(self) -> None:
        for child in self._children:
            if time.monotonic() > child.deadline:
                if child.ended_because:
                    child.kill()
                else:
                    child.stop(f"the builder took longer than {child.deadline - child.began:.0f} s (--timeout)")

    def _outcomes(self, child: _Child, data: bytes) -> None:
        for outcome in child.take(child.reported.feed(data)):
            self._watcher.outcome(outcome)

    def _words(self, child: _Child, data: bytes) -> None:
        self._hear(child, child.said.feed(data))

    def _hear(self, child: _Child, lines: list[str]) -> None:
        for line in lines:
            child.hear(line)
            self._watcher.words(child.step, line)

    def _finish(self, child: _Child) -> StepReport:
        """Every asset of the step has an outcome afterwards, whatever became of the process."""
        for descriptor, hear in ((child.channel.fileno(), self._outcomes), (child.words, self._words)):
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):  # a line torn by death is dropped: its asset counts as not reached
                while data := os.read(descriptor, _AT_ONCE):
                    hear(child, data)
        self._hear(child, child.said.rest())
        missing = _missing(child)
        for outcome in missing:
            self._watcher.outcome(outcome)
        seconds = time.monotonic() - child.began
        self._dismiss(child)
        outcomes = (*child.outcomes, *missing, *skipped(child.step))
        return StepReport(builder=child.step.builder, outcomes=outcomes, seconds=seconds, launched=True)

    def _dismiss(self, child: _Child) -> None:
        for one in (child.channel, child.words):
            with suppress(KeyError):
                self._selector.unregister(one)
        child.close()
        self._children.remove(child)
        if child.process.wait() < 0:
            self._run.end_sessions(child.process.pid)


def skipped(step: Step) -> tuple[Outcome, ...]:
    """The outcomes of what a step leaves out."""
    return tuple(
        Outcome(builder=step.builder.key, id=task.id, status=Status.SKIPPED, reason=task.reason)
        for task in step.skipped
    )


def unlaunched(step: Step, because: str) -> StepReport:
    """The report of a step whose builder was never started."""
    blank = Outcome(builder=step.builder.key, id=0, status=Status.NOT_REACHED, error=because)
    missed = tuple(replace(blank, id=task.id, reason=task.reason) for task in step.tasks)
    return StepReport(
        builder=step.builder,
        outcomes=(*missed, *skipped(step)),
        seconds=0.0,
        launched=False,
        idle_because=step.idle_because,
    )


def _missing(child: _Child) -> list[Outcome]:
    """An outcome for each asset that the process did not report: a silent builder has failed."""
    reported = {outcome.id for outcome in child.outcomes}
    error = _ended(child)
    blank = Outcome(builder=child.step.builder.key, id=0, status=Status.NOT_REACHED, error=error)
    return [replace(blank, id=task.id, reason=task.reason) for task in child.step.tasks if task.id not in reported]


def _ended(child: _Child) -> str:
    code = child.process.wait()
    if child.ended_because:
        return child.ended_because
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    word = child.last_words.removeprefix("error: ")
    return f"the builder {ended} without reporting this asset" + (f": {word}" if word else "")


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    paths = [str(PACKAGE_FOLDER), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}
