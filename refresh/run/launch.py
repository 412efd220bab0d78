"""The builder processes that run side by side: starts them, listens to them, and ends them.

Knows no plan: the caller decides which step starts, and when.
"""

from __future__ import annotations

import os
import selectors
import time
from contextlib import suppress
from typing import Self

from refresh.records import Outcome, Status
from refresh.run.child import BROKEN_OFF, BYTES_AT_ONCE, Child
from refresh.run.context import RunContext
from refresh.run.launcher import launcher_of
from refresh.run.plan import Step
from refresh.run.process import COMMAND
from refresh.run.report import StepReport
from refresh.run.unreached import unreached
from refresh.run.watch import Watcher

SECONDS_TO_STOP = 10.0
"""How long a builder that was asked to stop may go on with the batch that it is committing."""
_SECONDS_TO_WAIT = 0.1
_SECONDS_TO_AN_END = 0.005
"""How long a builder that has closed a stream, as all do that end, is left alone."""


def command(step: Step) -> list[str]:
    """The command that starts the step's builder; secrets travel in the environment."""
    return [*COMMAND, *step.arguments]


class Crew:
    """The builder processes that run side by side. As a context manager it leaves no process behind."""

    def __init__(self, run: RunContext, watcher: Watcher) -> None:
        self._run, self._watcher = run, watcher
        self._launcher = launcher_of(run)
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(BROKEN_OFF)
        while any(child.is_running for child in self._children):
            self._enforce_deadlines()
            time.sleep(_SECONDS_TO_WAIT / 10)
        for child in tuple(self._children):
            self._dismiss(child)
        self._launcher.close()
        self._selector.close()

    @property
    def size(self) -> int:
        """The number of processes at work."""
        return len(self._children)

    def prepare(self) -> None:
        """Get ready to start builders, while something else is done."""
        self._launcher.prepare()

    def start(self, step: Step, *, seconds: float) -> None:
        """Start a step's builder, which may take this many seconds."""
        launched = self._launcher.launch(step, self._run)
        child = Child(step, self._watcher, launched, seconds=seconds, grace=SECONDS_TO_STOP)
        self._children.append(child)
        self._selector.register(child.channel, selectors.EVENT_READ, child.receive_outcomes)
        self._selector.register(child.output, selectors.EVENT_READ, child.receive_output)

    def wait(self) -> list[StepReport]:
        """Listen to the builders for a moment. Returns the reports of the steps that ended."""
        for key, _ in self._selector.select(self._patience):
            data = os.read(key.fd, BYTES_AT_ONCE)
            if data:
                key.data(data)
            else:
                self._selector.unregister(key.fileobj)
        self._enforce_deadlines()
        ended = [child for child in self._children if not child.is_running]
        return [self._finish(child) for child in ended]

    @property
    def _patience(self) -> float:
        """The seconds until something has to be looked at, whether anybody writes or not."""
        streams = 2 * len(self._children)
        return _SECONDS_TO_WAIT if len(self._selector.get_map()) == streams else _SECONDS_TO_AN_END

    def stop(self, reason: str) -> None:
        """Ask every builder to stop; one that does not is killed after ``SECONDS_TO_STOP``."""
        for child in self._children:
            child.stop(reason)

    def kill(self) -> None:
        """End every builder at once."""
        for child in self._children:
            child.kill()

    def _enforce_deadlines(self) -> None:
        for child in self._children:
            child.enforce_deadline()

    def _finish(self, child: Child) -> StepReport:
        """The report of a step that ended: every asset has an outcome, whatever happened to the process."""
        child.receive_rest()
        seconds = time.monotonic() - child.started
        self._dismiss(child)
        outcomes = (*child.outcomes, *skipped(child.step))
        return StepReport(builder=child.step.builder, outcomes=outcomes, seconds=seconds, launched=True)

    def _dismiss(self, child: Child) -> None:
        for stream in (child.channel, child.output):
            with suppress(KeyError):
                self._selector.unregister(stream)
        left_behind = child.process.left_behind
        child.close()
        self._children.remove(child)
        if left_behind is not None:
            self._run.end_sessions(left_behind)


def skipped(step: Step) -> tuple[Outcome, ...]:
    """The outcomes of the assets that a step leaves out."""
    key = step.builder.key
    return tuple(Outcome(builder=key, id=task.id, status=Status.SKIPPED, reason=task.reason) for task in step.skipped)


def unlaunched(step: Step, error: str) -> StepReport:
    """The report of a step whose builder was never started; ``error`` says why its assets were not reached."""
    return StepReport(
        builder=step.builder,
        outcomes=(*unreached(step, step.tasks, error), *skipped(step)),
        seconds=0.0,
        launched=False,
        idle_because=step.idle_because,
    )
