"""Price files on disk: how they are opened, and which asset each of them is for.

Knows packing, encodings, pipes and limits; refuses to know what the lines of a price file mean.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from refresh.errors import UsageError
from refresh.load.assets import Assignment
from refresh.load.bounds import Bounded, InUtf8
from refresh.load.header import PriceFileError, read_header
from refresh.load.lines import PriceText
from refresh.load.manifest import COLUMNS, MANIFEST, Listed, listed_name, read_manifest

STANDARD_INPUT = Path("-")

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MARK = b"\x1f\x8b"
_FIRST_BYTES = 4_096
_CANNOT_READ = (OSError, EOFError, zlib.error)

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFile:
    """A file and its assets; without any if only a column of ids can provide them."""

    path: Path
    assignment: Assignment = field(default_factory=Assignment)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A price file as text. ``position``: how many of its ``size`` bytes are read; unpacked they may be more."""

    text: PriceText
    position: Callable[[], int]
    size: int


@contextmanager
def open_file(path: Path) -> Iterator[OpenFile]:
    """The file as text, unpacked if its name ends in .gz. Raises ``PriceFileError``, also while lines are read."""
    with ExitStack() as stack:
        with _reading():
            stored = stack.enter_context(_rewindable(path))
            stream = stack.enter_context(_unpacked(path, stored))
            text = _text(stream)
            header = read_header(_from_start(text))
            size = os.fstat(stored.fileno()).st_size

        def lines() -> Iterator[str]:
            with _reading():
                yield from islice(_from_start(text), header.line, None)

        yield OpenFile(text=PriceText(header=header, lines=lines), position=stored.tell, size=size)


@contextmanager
def _unpacked(path: Path, stream: BinaryIO) -> Iterator[BinaryIO]:
    """The bytes of a stream that is packed by its name, or by its first bytes where it has no name."""
    mark = stream.read(len(_GZIP_MARK))
    stream.seek(0)
    if path.suffix != ".gz" and mark != _GZIP_MARK:
        yield stream
        return
    with gzip.open(stream) as unpacked:
        yield cast("BinaryIO", unpacked)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except _CANNOT_READ as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PriceFileError(f"cannot be read: {reason}") from error


def _text(stream: BinaryIO) -> TextIO:
    encoding = _encoding(stream)
    in_bytes = InUtf8(stream) if encoding == "utf-16" else stream
    bounded = io.BufferedReader(Bounded(in_bytes))
    return io.TextIOWrapper(bounded, "utf-8" if encoding == "utf-16" else encoding, errors="replace")


def _from_start(text: TextIO) -> Iterator[str]:
    text.seek(0)
    return iter(text)


def _encoding(stream: BinaryIO) -> str:
    """By its first lines: what is neither marked nor UTF-8 is what Windows writes in western countries."""
    first = stream.read(_FIRST_BYTES)
    stream.seek(0)
    if first.startswith(_UTF16_MARKS):
        return "utf-16"
    lines = first[: first.rfind(b"\n") + 1] or first
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError as error:
        is_in_titles = b"\n" not in lines[: error.start].rstrip()
        return "cp1252" if is_in_titles else "utf-8-sig"
    return "utf-8-sig"


@contextmanager
def _rewindable(path: Path) -> Iterator[BinaryIO]:
    """The bytes of the file. A pipe is copied to a temporary file, because the lines are read more than once."""
    with _opened(path) as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(io.BufferedReader(Bounded(stream)), copy)
            copy.seek(0)
            yield cast("BinaryIO", copy)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    if stat.S_ISCHR(path.stat().st_mode) or stat.S_ISBLK(path.stat().st_mode):
        raise PriceFileError("cannot be read: it is a device")
    with path.open("rb") as stream:
        yield stream


def assigned(paths: Iterable[Path], assignment: Assignment) -> list[PriceFile]:
    """All files with the same assets."""
    return [PriceFile(path=path, assignment=assignment) for path in paths]


def by_manifest(paths: Iterable[Path], manifest: Path) -> list[PriceFile]:
    """The files with their assets from the manifest, without the manifest itself. Raises ``UsageError``."""
    listed = read_manifest(manifest)
    files: list[PriceFile] = []
    for path in paths:
        if not _is_same(path, manifest):
            entry = listed.get(listed_name(path.name)) or listed.get("", Listed())
            assignment = Assignment(asset=entry.asset, by_symbol=entry.by_symbol)
            files.append(PriceFile(path=path, assignment=assignment))
    return files


def by_manifests_beside(paths: Sequence[Path], notify: Notify) -> list[PriceFile]:
    """The files with their assets from a ``manifest.csv`` in the folder of each, without the manifests."""
    files: list[PriceFile] = []
    for folder in dict.fromkeys(path.parent for path in paths):
        inside = [path for path in paths if path.parent == folder]
        manifest = folder / MANIFEST
        if manifest.is_file():
            notify(f"{manifest}: used for the assets of the files beside it")
            files += by_manifest(inside, manifest)
        else:
            files += assigned(inside, Assignment())
    return files


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def require_ids(files: Iterable[PriceFile]) -> None:
    """Raise ``UsageError`` if a file's asset is unknown; a file that cannot be read is reported when it is loaded."""
    unknown = [file.path for file in files if not file.assignment.is_known]
    lost = [str(path) for path in unknown if not _may_have_ids(path)]
    if not lost:
        return
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    raise UsageError(
        f"{lost[0]}{more}: which asset? use --id N, or --manifest M with a line for it, "
        f"or put a {MANIFEST} ({COLUMNS}) beside it, or give it an id column"
    )


def _may_have_ids(path: Path) -> bool:
    if path == STANDARD_INPUT or path.is_fifo():
        return True  # it can be read only once
    try:
        with open_file(path) as file:
            return "id" in file.text.header.places.indexes
    except PriceFileError:
        return True
