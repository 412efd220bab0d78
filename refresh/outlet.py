"""What a program prints, on its way to a terminal, a pipe or a file. The program never waits for its reader.

Text is handed to a thread per destination, which writes it. Of words that nobody reads a limited amount is kept; a
result is kept whole. What is printed, this module does not know.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from refresh.errors import ExitCode
from refresh.stop import SIGNALS, Stop

LONGEST_BACKLOG = 1 << 20
"""The bytes of words that wait for a destination. If there are more, the oldest are dropped."""
SECONDS_FOR_THE_REST = 5.0
"""How long the end of a program waits for the reader of its words."""
SECONDS_AFTER_A_SIGNAL = 2.0
"""How long it waits for any reader once a signal has asked it to end."""
_BYTES_AT_ONCE = 1 << 16
_SECONDS_BETWEEN_LOOKS = 0.05

_Piece = tuple[bytes, bool]
"""Bytes, and whether they belong to a result."""


class Outlet:
    """One destination, and the thread that writes to it. ``error`` is why it can no longer be written to."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.error: OSError | None = None
        self._change = threading.Condition()
        self._pieces: deque[_Piece] = deque()
        self._words = self._lost = 0
        self._at_line_start = True
        self._being_written: list[_Piece] = []
        self._thread: threading.Thread | None = None

    def put(self, data: bytes, *, is_result: bool) -> None:
        """Hand over bytes, without waiting."""
        with self._change:
            if self.error or not data:
                return
            self._pieces.append((data, is_result))
            if not is_result:
                self._words += len(data)
                self._drop_oldest()
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_for_ever, daemon=True)
                self._thread.start()
            self._change.notify_all()

    def _drop_oldest(self) -> None:
        """Keep half of what may wait, whole lines of it, so that this is rarely done."""
        if self._words <= LONGEST_BACKLOG:
            return
        kept: deque[_Piece] = deque()
        is_dropping = True
        for data, is_result in self._pieces:
            if is_result or not is_dropping:
                kept.append((data, is_result))
                continue
            self._words -= len(data)
            self._lost += data.count(b"\n")
            is_dropping = self._words > LONGEST_BACKLOG // 2 or not data.endswith(b"\n")
        self._pieces = kept

    def _write_for_ever(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._pieces)
                data = self._take()
            try:
                self._write(data)
            except OSError as error:
                self._close(error)
                return
            with self._change:
                self._being_written = []
                self._change.notify_all()

    def _take(self) -> bytes:
        """The next bytes to write, after a line about those that are lost."""
        taken = b""
        if self._lost:
            notice = f"... {self._lost:,} lines are missing here, because nobody read them in time\n"
            taken = notice.encode() if self._at_line_start else b"\n" + notice.encode()
            self._lost = 0
        while self._pieces and len(taken) < _BYTES_AT_ONCE:
            piece = self._pieces.popleft()
            taken += piece[0]
            self._being_written.append(piece)
            if not piece[1]:
                self._words -= len(piece[0])
        self._at_line_start = taken.endswith(b"\n")
        return taken

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # whoever started the program made the descriptor non-blocking
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _close(self, error: OSError) -> None:
        with self._change:
            self.error = error
            self._pieces.clear()
            self._being_written = []
            self._change.notify_all()

    def holds(self, *, only_results: bool) -> bool:
        """Whether anything is not written yet."""
        with self._change:
            pieces = (*self._being_written, *self._pieces)
        return any(is_result or not only_results for _, is_result in pieces)

    def give_up(self) -> None:
        """Let what is printed from now on vanish: Python itself prints when it ends, and would wait."""
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.descriptor)


class Stream(io.TextIOBase):
    """Looks like the stream that it stands for, and hands everything to an outlet."""

    def __init__(self, outlet: Outlet, encoding: str = "utf-8", *, is_result: bool = False) -> None:
        self.is_result = is_result
        self._outlet, self._encoding = outlet, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream. What it lacks is written as an escape."""
        return self._encoding

    def write(self, text: str) -> int:
        """Hand over text, without waiting."""
        self._outlet.put(text.encode(self._encoding, "backslashreplace"), is_result=self.is_result)
        return len(text)

    def fileno(self) -> int:
        """The descriptor that is written to."""
        return self._outlet.descriptor

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        return os.isatty(self._outlet.descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Stay open: the program's end writes the rest."""


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
            time.sleep(_SECONDS_BETWEEN_LOOKS / 5)


_printed: list[_Printed] = []
"""That of the program that runs; empty outside of one."""


def run(program: Callable[[], int]) -> int:
    """Run a program that never waits for the readers of its output, except at its end. Returns its exit code.

    That is ``FAILED`` instead of ``DONE`` if not everything could be written, because a disk is full or a reader is
    gone; and that of the signal that ended the wait for the reader of a result.
    """
    with _installed() as printed:
        code = _guarded(program)
        return _finish(printed, code)


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
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a name, and open to the end
    try:
        stream.flush()
        return Stream(printed.outlet(stream.fileno()), stream.encoding)  # type: ignore[return-value]
    except (OSError, ValueError):
        return stream


def channel(descriptor: int) -> Stream:
    """A stream for results on a descriptor of its own. Only within ``run`` its end is awaited."""
    outlet = _printed[-1].outlet(descriptor) if _printed else Outlet(descriptor)
    return Stream(outlet, is_result=True)


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
