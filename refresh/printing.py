"""The border of a process that prints: stdout and stderr of a program, and how long its end waits for their readers.

What is printed, this module does not know.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from refresh.errors import ExitCode
from refresh.outlet import Outlet, Stream
from refresh.stop import SIGNALS, Stop

SECONDS_FOR_THE_REST = 5.0
"""How long the end of a program waits for the readers of its words."""
SECONDS_AFTER_A_SIGNAL = 2.0
"""How long it waits for any reader once a signal has asked it to end."""
_SECONDS_BETWEEN_LOOKS = 0.01
_LAST_STANDARD = 2


class _Printed:
    """Everything that a program prints."""

    def __init__(self) -> None:
        self.outlets: list[Outlet] = []
        self.last_signal: int | None = None

    def outlet(self, descriptor: int) -> Outlet:
        """The outlet of a descriptor. Two of the same file share one, so their lines stay in order."""
        for outlet in self.outlets:
            if os.path.sameopenfile(outlet.descriptor, descriptor):
                return outlet
        self.outlets.append(Outlet(descriptor))
        return self.outlets[-1]

    def has_rest(self, *, only_results: bool = False) -> bool:
        """Whether anything that can still be written is not."""
        return any(outlet.holds(only_results=only_results) for outlet in self.outlets)

    def await_readers(self, stop: Stop, *, is_stopped: bool) -> None:
        """Wait for the readers: a limited time for those of words, and of results once a signal arrived."""
        started = time.monotonic()
        limit = SECONDS_AFTER_A_SIGNAL if is_stopped else SECONDS_FOR_THE_REST
        while self.has_rest(only_results=not is_stopped and time.monotonic() - started > limit):
            if stop.requested or (is_stopped and time.monotonic() - started > limit):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)


_printed: list[_Printed] = []
"""That of the program that runs; empty outside of one."""


def run(program: Callable[[], int]) -> int:
    """Run a program that never waits for the readers of its output, except at its end. Returns its exit code.

    That is ``FAILED`` instead of ``DONE`` if not everything could be written, because a disk is full or a reader is
    gone; and that of the signal that ended the wait for the reader of a result.
    """
    _open_standard_streams()
    os.environ["PYTHON_COLORS"] = "0"  # a traceback of Python's own is text for a stream that escapes colors
    gc.freeze()  # what is imported lives to the end, where looking at it would cost a fifth of the imports again
    atexit.register(_hear_no_signal)
    with _installed() as printed:
        code = _guarded(program)
        return _finish(printed, code)


def _hear_no_signal() -> None:
    """Python takes a moment to end. A signal that arrives meanwhile has nothing to stop, and changes no exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _open_standard_streams() -> None:
    """Let nothing that is opened later get the number of a closed stream, to which libraries print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _guarded(program: Callable[[], int]) -> int:
    try:
        return program()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - as Python itself does
            return ExitCode.FAILED
        return end.code or ExitCode.DONE
    except Exception:  # noqa: BLE001 - Python would print it where nobody may read
        traceback.print_exc()
        return ExitCode.FAILED


@contextmanager
def _installed() -> Iterator[_Printed]:
    """Stdout and stderr as streams with outlets, for the length of the block."""
    printed, original = _Printed(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (_replaced(printed, stream) for stream in original)
    _printed.append(printed)
    try:
        yield printed
    finally:
        _printed.remove(printed)
        sys.stdout, sys.stderr = original


def _replaced(printed: _Printed, stream: TextIO | None) -> TextIO:
    if stream is None:  # the program was started with a closed descriptor
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - a name, and open to the end
    try:
        stream.flush()
        return cast("TextIO", Stream(printed.outlet(stream.fileno()), stream.encoding))
    except (OSError, ValueError):
        return stream


def channel(descriptor: int) -> TextIO | None:
    """A stream for results on a descriptor of its own; ``None`` outside of ``run``."""
    if not _printed:
        return None
    return cast("TextIO", Stream(_printed[-1].outlet(descriptor), is_result=True))


def expect_result() -> None:
    """From now on stdout gets the result of the program: all of it is kept, and the end waits for its reader."""
    if isinstance(sys.stdout, Stream):
        sys.stdout.is_result = True


def hurry(number: int | None) -> None:
    """Note a signal that did not end the program at once: its end waits for no reader any longer."""
    for printed in _printed:
        printed.last_signal = number


def _finish(printed: _Printed, code: int) -> int:
    stop = Stop()
    with stop.listening():
        is_stopped = printed.last_signal is not None or code in SIGNALS.values()
        printed.await_readers(stop, is_stopped=is_stopped)
        code = _with_errors(printed, code)
        if stop.signal is None:
            stop.signal = printed.last_signal
        if code == ExitCode.DONE and printed.has_rest(only_results=True):
            code = stop.exit_code
        for outlet in printed.outlets:
            if outlet.error or outlet.holds(only_results=False):
                outlet.give_up()
    return code


def _with_errors(printed: _Printed, code: int) -> int:
    """The exit code, after a line about output that could not be written. That a reader left is no news."""
    errors = [outlet.error for outlet in printed.outlets if outlet.error]
    for error in errors:
        if not isinstance(error, BrokenPipeError):
            print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the process border
    if errors:
        printed.await_readers(Stop(), is_stopped=True)
    return ExitCode.FAILED if errors and code == ExitCode.DONE else code
