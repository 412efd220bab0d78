"""Price files on disk: how they are opened, and which asset each of them is said to hold.

What stands in them is the business of ``core.price_lines`` and ``core.prices``.
"""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from refresh.core.cells import read_ids
from refresh.core.price_lines import Header, PriceFileError, read_header
from refresh.core.prices import Asset, Lines
from refresh.errors import UsageError

MANIFEST = "manifest.csv"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CANNOT_READ = (OSError, EOFError, zlib.error)

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A file and what was said about its asset: nothing, where a column of ids must tell."""

    path: Path
    asset: Asset


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file whose header was read, and its other lines, as often as needed."""

    header: Header
    lines: Lines


@contextmanager
def open_file(path: Path) -> Iterator[OpenFile]:
    """The file as text, unpacked if its name ends in .gz. Raises ``PriceFileError``, also while lines are read."""
    with ExitStack() as opened:
        with _reading():
            stream = opened.enter_context(_rewindable(path))
            text = io.TextIOWrapper(stream, _encoding(stream), errors="replace")
            header = read_header(_from_start(text))

        def lines() -> Iterator[str]:
            with _reading():
                yield from islice(_from_start(text), header.line, None)

        yield OpenFile(header, lines)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except _CANNOT_READ as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PriceFileError(f"cannot be read: {reason}") from error


def _from_start(text: TextIO) -> Iterator[str]:
    text.seek(0)
    return iter(text)


def _encoding(stream: BinaryIO) -> str:
    mark = stream.read(2)
    stream.seek(0)
    return "utf-16" if mark in _UTF16_MARKS else "utf-8-sig"


@contextmanager
def _rewindable(path: Path) -> Iterator[BinaryIO]:
    """The bytes of the file; a pipe's in a temporary file, for they are read more than once."""
    with cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield cast("BinaryIO", copy)


def of_asset(paths: Iterable[Path], asset: Asset) -> list[PriceFile]:
    """All files for one asset."""
    return [PriceFile(path, asset) for path in paths]


def by_manifest(paths: Iterable[Path], manifest: Path) -> list[PriceFile]:
    """The files with what the manifest says of each. Raises ``UsageError`` where it cannot be read."""
    assets = read_manifest(manifest)
    return [
        PriceFile(path, assets.get(_listed_name(path.name), Asset())) for path in paths if not _same(path, manifest)
    ]


def by_manifests_beside(paths: Sequence[Path], notify: Notify) -> list[PriceFile]:
    """The files with what a ``manifest.csv`` in the folder of each says; the manifests themselves are left out."""
    files: list[PriceFile] = []
    for folder in dict.fromkeys(path.parent for path in paths):
        inside, manifest = [path for path in paths if path.parent == folder], folder / MANIFEST
        if not manifest.is_file():
            files += of_asset(inside, Asset())
            continue
        notify(f"{manifest}: used to tell the assets of the files beside it")
        files += by_manifest(inside, manifest)
    return files


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def _listed_name(name: str) -> str:
    return Path(name).name.removesuffix(".gz")


def read_manifest(path: Path) -> Mapping[str, Asset]:
    """File name -> asset, from lines of file, id, name, symbol. Raises ``UsageError`` naming line and column."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the manifest {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    separator = max(",;\t|", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    if missing := {"file", "id"} - set(rows.fieldnames):
        raise UsageError(
            f"the manifest {path} lacks {' and '.join(sorted(missing))}; its columns are file,id,name,symbol"
        )
    assets: dict[str, Asset] = {}
    for row in rows:
        name, asset = _listed_name((row["file"] or "").strip()), _asset(f"{path}:{rows.line_num}", row)
        if assets.setdefault(name, asset) != asset:
            raise UsageError(f"{path}:{rows.line_num}: file: {name}: an earlier line says another asset")
    return assets


def _asset(place: str, row: Mapping[str, str | None]) -> Asset:
    text = (row["id"] or "").strip()
    return Asset(asset_id(text, f"{place}: id"), (row.get("name") or "").strip() or None)


def asset_id(text: str, place: str) -> int:
    """The id that a text says. Raises ``UsageError`` with the place where it stands."""
    ids, wrong = read_ids([text])
    if wrong:
        raise UsageError(f"{place}: {text}: {wrong[0]}")
    return int(ids[0])


def require_ids(files: Iterable[PriceFile]) -> None:
    """Raise ``UsageError`` where nothing tells a file's asset; a file that cannot be read is told of in its turn."""
    lost = [str(file.path) for file in files if file.asset.id is None and not _has_ids(file.path)]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UsageError(
            f"{lost[0]}{more}: which asset? say --id N, or --manifest M with a line for it, "
            f"or put a {MANIFEST} (file,id,name,symbol) beside it, or give it an id column"
        )


def _has_ids(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return "id" in file.header.places
    except PriceFileError:
        return True
