"""One builder process: passes on what it writes, and stops it. Knows no other builder, and not how it was started.

Outcomes come over a socket pair of their own, whose end also tells the builder that its parent is gone. Stdout and
stderr come together over a pipe.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from refresh.records import Outcome
from refresh.run.launcher import Launched
from refresh.run.plan import Step
from refresh.run.unreached import silent_end, unreached
from refresh.run.watch import Watcher
from refresh.wording import escaped

BROKEN_OFF = "the run was broken off"
BYTES_AT_ONCE = 65_536


class _Lines:
    """Bytes as they arrive -> whole lines. ``rest``: the line that is not complete yet."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


class Child:
    """A builder process with ``seconds`` for its step and, once it was asked to stop, ``grace`` seconds to do so."""

    def __init__(
        self,
        step: Step,
        watcher: Watcher,
        launched: Launched,
        *,
        seconds: float,
        grace: float,
    ) -> None:
        self.step = step
        self.outcomes: list[Outcome] = []
        self.started = time.monotonic()
        self._watcher, self._seconds, self._grace = watcher, seconds, grace
        self._planned = set(step.ids)
        self._deadline = self.started + seconds
        self._stop_reason = self._last_line = ""
        self._outcome_lines, self._output_lines = _Lines(), _Lines()
        self._launched, self.process = launched, launched.process
        self.channel, self.output = launched.channel, launched.output

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.is_running

    def receive_outcomes(self, data: bytes) -> None:
        """Keep and pass on the outcomes that are complete now, except those of assets that were not planned."""
        for line in self._outcome_lines.feed(data):
            outcome = Outcome.parse(line)
            if outcome.id in self._planned:
                self._keep(outcome)

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._watcher.outcome(outcome)

    def receive_output(self, data: bytes) -> None:
        """Pass on the lines of output that are complete now."""
        for line in map(escaped, self._output_lines.feed(data)):
            self._last_line = line.strip() or self._last_line
            self._watcher.words(self.step, line)

    def receive_rest(self) -> None:
        """Once the process has ended: complete outcomes and output. An asset that was not reported is not reached."""
        for data in _available(self.channel.fileno()):  # a line cut off by the end of the process is dropped
            self.receive_outcomes(data)
        for data in _available(self.output):
            self.receive_output(data)
        if self._output_lines.rest:
            self.receive_output(b"\n")
        reported = {outcome.id for outcome in self.outcomes}
        silent = [task for task in self.step.tasks if task.id not in reported]
        for outcome in unreached(self.step, silent, self._stop_reason or self._silence):
            self._keep(outcome)

    @property
    def _silence(self) -> str:
        return silent_end(self.process.exit_code(), self._last_line)

    def stop(self, reason: str) -> None:
        """Ask the process to stop, and set it a last deadline. Only the first reason counts."""
        if not self._stop_reason:
            self._stop_reason = reason
            self._deadline = time.monotonic() + self._grace
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._stop_reason = self._stop_reason or BROKEN_OFF
        self._send(signal.SIGKILL)

    def enforce_deadline(self) -> None:
        """Stop the process when its time is over, and kill it when it did not stop in time."""
        if time.monotonic() <= self._deadline:
            return
        if self._stop_reason:
            self.kill()
        else:
            self.stop(f"the builder took longer than {self._seconds:.0f} s (--timeout)")

    def _send(self, number: int) -> None:
        if self.is_running:
            self.process.send(number)

    def close(self) -> None:
        """Keep nothing of a process that has ended."""
        self._launched.close()


def _available(descriptor: int) -> Iterator[bytes]:
    """What can be read without waiting."""
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        while data := os.read(descriptor, BYTES_AT_ONCE):
            yield data
