"""Being asked to stop by a signal: the first time in order, the second time at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TerminatedError(BaseException):
    """SIGTERM came while nothing was running that would have to be stopped in order."""


@contextmanager
def raising() -> Iterator[None]:
    """Let SIGTERM break off the block as Ctrl-C does."""

    def give_up(number: int, _: FrameType | None) -> None:
        raise TerminatedError(number)

    before = signal.signal(signal.SIGTERM, give_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Stop:
    """Which signal asked this process to stop, if any did, and whether it was repeated."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.urgent = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """How a shell names a process that a signal ended."""
        return 128 + (self.signal or 0)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT for the length of the block."""
        before = {one: signal.signal(one, self._receive) for one in SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.urgent = self.signal is not None
        self.signal = self.signal or number
