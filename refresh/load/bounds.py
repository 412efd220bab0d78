"""How much of a file is taken into memory at once, and at all: bytes -> the same bytes, with lines that end.

A name of megabytes spoils its line; a file without lines, such as a device, is refused before it fills the memory.
"""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO

from refresh.load.header import PriceFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

LONGEST_LINE = 1 << 20
"""Bytes of a line that are read. What follows up to its end is left out, and the line is bad."""
NO_LINE = 64 << 20
"""Bytes after which what has no end is no line of text."""
LARGEST_FILE = 64 << 30
"""Bytes of a file, unpacked."""
_UNIT = 1 << 30
_LINE_ENDS = (b"\n", b"\r")
_CHUNK = 8_192


def is_too_long(line: str) -> bool:
    """Whether a line has been cut."""
    return len(line) > LONGEST_LINE // 4 and len(line.encode(errors="replace")) >= LONGEST_LINE


class Bounded(io.RawIOBase):
    """A stream whose lines are cut to ``LONGEST_LINE`` bytes. Reading raises ``PriceFileError`` beyond the limits."""

    def __init__(self, stream: BinaryIO | InUtf8) -> None:
        self._stream = stream
        self._since_end = 0
        self._total = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """To its start, if the stream is."""
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; the limits begin anew."""
        self._since_end = self._total = 0
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Where the stream is."""
        return self._stream.tell()

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer; with less than the stream gave where a line is too long."""
        room = memoryview(buffer).cast("B")
        while chunk := self._stream.read(len(room)):
            self._check(chunk)
            kept = self._cut(chunk)
            if kept:
                room[: len(kept)] = kept
                return len(kept)
        return 0

    def _check(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._total > LARGEST_FILE:
            raise PriceFileError(f"is larger than {LARGEST_FILE // _UNIT} GiB; split it")

    def _cut(self, chunk: bytes) -> bytes:
        """The chunk without what is too long in its lines."""
        if self._since_end + len(chunk) <= LONGEST_LINE:
            end = max(map(chunk.rfind, _LINE_ENDS))
            self._since_end = len(chunk) - end - 1 if end >= 0 else self._since_end + len(chunk)
            return chunk
        return b"".join(self._cut_line(line) for line in chunk.splitlines(keepends=True))

    def _cut_line(self, line: bytes) -> bytes:
        room = max(LONGEST_LINE - self._since_end, 0)
        self._since_end += len(line)
        if self._since_end > NO_LINE:
            raise PriceFileError(f"has a line of more than {NO_LINE:,} bytes: this is no text of prices")
        if not line.endswith(_LINE_ENDS):
            return line[:room]
        self._since_end = 0
        return line if len(line) <= room + 1 else line[:room] + line[-1:]


class InUtf8:
    """A stream of UTF-16 in UTF-8, in which a line ends with a byte and can be cut without harm to the next one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._reader = codecs.getreader("utf-16")(stream, "replace")
        self._rest = b""
        self.seekable, self.tell = stream.seekable, stream.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to the start of the stream."""
        self._rest = b""
        self._reader.seek(offset, whence)
        return offset

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        if not self._rest:
            self._rest = self._reader.read(_CHUNK).encode()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
