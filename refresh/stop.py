"""Signals that ask this process to stop: first gracefully, then at once. What there is to stop, it does not know."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from refresh.errors import ExitCode

SIGNALS = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}
"""The signals that ask for a stop, each with the exit code that a shell gives to a process it ended."""


class TerminatedError(BaseException):
    """SIGTERM arrived while nothing was running that has to be stopped gracefully."""


@contextmanager
def raising() -> Iterator[None]:
    """Let SIGTERM end the block with ``TerminatedError``, as Ctrl-C ends it with ``KeyboardInterrupt``."""

    def give_up(number: int, _: FrameType | None) -> None:
        raise TerminatedError(number)

    previous = signal.signal(signal.SIGTERM, give_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class Stop:
    """The first signal that asked this process to stop, if any, and whether another one followed (``urgent``)."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.urgent = False

    @property
    def requested(self) -> bool:
        """Whether a signal asked this process to stop."""
        return self.signal is not None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a process that was stopped by this signal; ``DONE`` without a signal."""
        if self.signal is None:
            return ExitCode.DONE
        return SIGNALS[signal.Signals(self.signal)]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record SIGTERM and SIGINT for the length of the block."""
        previous = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.urgent = self.requested
        if self.signal is None:
            self.signal = number
