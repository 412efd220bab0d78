"""Text on its way to a terminal, a pipe or a file: a thread per destination writes it, so that nobody else waits.

Of words that nobody reads a limited amount is kept; a result is kept whole. When a program ends, this module does not
know.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from refresh.wording import escaped_lines

LONGEST_BACKLOG = 1 << 20
"""The bytes of words that wait for a destination. If there are more, the oldest are dropped."""
_BYTES_AT_ONCE = 1 << 16
_SECONDS_BETWEEN_TRIES = 0.05

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
            if self._thread is None and not self._start_thread():
                self._write_at_once()
            self._change.notify_all()

    def _start_thread(self) -> bool:
        """Whether the system has a thread left."""
        thread = threading.Thread(target=self._write_for_ever, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _write_at_once(self) -> None:
        """Without a thread, the one that prints has to wait."""
        while self._pieces and not self.error:
            try:
                self._write(self._take())
            except OSError as error:
                self._close(error)
            self._being_written = []

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
                time.sleep(_SECONDS_BETWEEN_TRIES)

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
    """Looks like the stream that it stands for, and hands everything to an outlet.

    What would move a terminal's cursor is written as an escape: it is in a name or a message of somebody else.
    """

    def __init__(self, outlet: Outlet, encoding: str = "utf-8", *, is_result: bool = False) -> None:
        self.is_result = is_result
        self._outlet, self._encoding = outlet, encoding
        self._shown: Callable[[str], str] = escaped_lines

    def canvas(self) -> Stream:
        """The same stream for who draws with a terminal's cursor and colors, and escapes the texts of others."""
        canvas = Stream(self._outlet, self._encoding, is_result=self.is_result)
        canvas._shown = str
        return canvas

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream. What it lacks is written as an escape."""
        return self._encoding

    def write(self, text: str) -> int:
        """Hand over text, without waiting."""
        data = self._shown(text).encode(self._encoding, "backslashreplace")
        self._outlet.put(data, is_result=self.is_result)
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
