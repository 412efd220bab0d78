"""How far a long load has come: rows, bytes, and the time that is left."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from refresh.load.files import OpenFile
from refresh.load.telling import warn

_SECONDS = {True: 5.0, False: 60.0}
"""Between two lines, on a terminal and elsewhere."""
_MEGABYTE = 1_000_000


@dataclass(slots=True, kw_only=True)
class Progress:
    """Tells about a file, from time to time, how much of it has been read; nothing about one that is read soon."""

    name: str
    rows: int = 0
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)
    opened: OpenFile | None = None

    def watch(self, opened: OpenFile) -> None:
        """Begin with a file."""
        self.opened = opened

    def add(self, rows: int) -> None:
        """Take in more rows, and tell if it is time."""
        self.rows += rows
        now = time.monotonic()
        if now - self.told < _SECONDS[sys.stderr.isatty()]:
            return
        self.told = now
        warn(f"{self.name}: {self._words(now - self.started)}")

    def _words(self, seconds: float) -> str:
        if self.opened is None:
            return f"{self.rows:,} rows"
        position, size = self.opened.position(), self.opened.size
        read = f"{self.rows:,} rows, {position / _MEGABYTE:,.0f} of {size / _MEGABYTE:,.0f} MB"
        if not 0 < position <= size:
            return read
        left = seconds * (size - position) / position
        return f"{read}, {left:,.0f} s left to read"
