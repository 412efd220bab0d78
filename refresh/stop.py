"""Signals that ask this process to stop: first gracefully, then at once. What there is to stop, it does not know."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from refresh.errors import ExitCode

SIGNALS = {
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGHUP: ExitCode.HUNG_UP,
}
"""The signals that ask for a stop, each with the exit code that a shell gives to a process it ended."""

_Handler = Callable[[int, FrameType | None], None]


class TerminatedError(BaseException):
    """SIGTERM or SIGHUP arrived while nothing was running that has to be stopped gracefully."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a process that was stopped by this signal."""
        return SIGNALS[self.signal]


@contextmanager
def raising() -> Iterator[None]:
    """Let a signal end the block with ``TerminatedError``, as Ctrl-C ends it with ``KeyboardInterrupt``."""

    def give_up(number: int, _: FrameType | None) -> None:
        raise TerminatedError(number)

    with _handled(SIGNALS.keys() - {signal.SIGINT}, give_up):
        yield


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: _Handler) -> Iterator[None]:
    """Handle these signals for the length of the block. SIGHUP stays ignored in what ``nohup`` started."""
    heard = [number for number in numbers if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


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
        """Record the signals for the length of the block."""
        with _handled(SIGNALS, self._receive):
            yield

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.urgent = self.requested
        if self.signal is None:
            self.signal = number
