"""Price files on disk: how they are opened, and which asset each of them is for.

Knows packing, encodings and manifests; refuses to know what the lines of a price file mean.
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

from refresh.errors import UsageError
from refresh.load.cells import read_ids, read_names
from refresh.load.lines import PriceFileError, PriceText, read_header, shown
from refresh.load.prices import Asset

MANIFEST = "manifest.csv"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CANNOT_READ = (OSError, EOFError, zlib.error)

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFile:
    """A file and its asset; the asset has no id if only a column of ids can provide it."""

    path: Path
    asset: Asset


@contextmanager
def open_file(path: Path) -> Iterator[PriceText]:
    """The file as text, unpacked if its name ends in .gz. Raises ``PriceFileError``, also while lines are read."""
    with ExitStack() as stack:
        with _reading():
            stream = stack.enter_context(_rewindable(path))
            text = io.TextIOWrapper(stream, _encoding(stream), errors="replace")
            header = read_header(_from_start(text))

        def lines() -> Iterator[str]:
            with _reading():
                yield from islice(_from_start(text), header.line, None)

        yield PriceText(header=header, lines=lines)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except _CANNOT_READ as error:
        raise PriceFileError(f"cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _from_start(text: TextIO) -> Iterator[str]:
    text.seek(0)
    return iter(text)


def _encoding(stream: BinaryIO) -> str:
    mark = stream.read(2)
    stream.seek(0)
    return "utf-16" if mark in _UTF16_MARKS else "utf-8-sig"


@contextmanager
def _rewindable(path: Path) -> Iterator[BinaryIO]:
    """The bytes of the file. A pipe is copied to a temporary file, because the lines are read more than once."""
    with _open_binary(path) as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield cast("BinaryIO", copy)


def _open_binary(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path))
    return path.open("rb")


def of_asset(paths: Iterable[Path], asset: Asset) -> list[PriceFile]:
    """All files for the same asset."""
    return [PriceFile(path=path, asset=asset) for path in paths]


def by_manifest(paths: Iterable[Path], manifest: Path) -> list[PriceFile]:
    """The files with their assets from the manifest, without the manifest itself. Raises ``UsageError``."""
    assets = read_manifest(manifest)
    files: list[PriceFile] = []
    for path in paths:
        if not _is_same(path, manifest):
            asset = assets.get(_listed_name(path.name), Asset())
            files.append(PriceFile(path=path, asset=asset))
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
            files += of_asset(inside, Asset())
    return files


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def _listed_name(name: str) -> str:
    return Path(name).name.removesuffix(".gz")


def read_manifest(path: Path) -> Mapping[str, Asset]:
    """File name -> asset, from lines of file, id, name, symbol. Raises ``UsageError`` naming line and column."""
    assets: dict[str, Asset] = {}
    for position, row in _manifest_rows(path):
        file = _listed_name((row["file"] or "").strip())
        id = asset_id((row["id"] or "").strip(), f"{position}: id")
        name = asset_name((row.get("name") or "").strip(), f"{position}: name")
        asset = Asset(id=id, name=name or None)
        if assets.setdefault(file, asset) != asset:
            raise UsageError(f"{position}: file: {shown(file)}: an earlier line names another asset")
    return assets


def _manifest_rows(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The position of each line, and its cells by lower-case title."""
    text = _manifest_text(path)
    separator = max(",;\t|", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        missing = sorted({"file", "id"}.difference(rows.fieldnames))
        if missing:
            raise UsageError(f"the manifest {path} lacks {' and '.join(missing)}; its columns are file,id,name,symbol")
        for row in rows:
            yield f"{path}:{rows.line_num}", row
    except csv.Error as error:
        raise UsageError(f"{path}:{rows.line_num + 1}: {error}") from error


def _manifest_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the manifest {path} cannot be read: {_reason(error)}") from error


def asset_id(text: str, source: str) -> int:
    """The asset id in a text. Raises ``UsageError`` that names the source of the text."""
    ids, wrong = read_ids([text])
    if wrong:
        raise UsageError(f"{source}: {shown(text)}: {wrong[0]}")
    return int(ids[0])


def asset_name(text: str, source: str) -> str:
    """The name of an asset. Raises ``UsageError`` that names the source of the text."""
    _, wrong = read_names([text])
    if wrong:
        raise UsageError(f"{source}: {shown(text)}: {wrong[0]}")
    return text


def require_ids(files: Iterable[PriceFile]) -> None:
    """Raise ``UsageError`` if a file's asset is unknown; a file that cannot be read is reported when it is loaded."""
    unknown = [file.path for file in files if file.asset.id is None]
    lost = [str(path) for path in unknown if not _may_have_ids(path)]
    if not lost:
        return
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    raise UsageError(
        f"{lost[0]}{more}: which asset? use --id N, or --manifest M with a line for it, "
        f"or put a {MANIFEST} (file,id,name,symbol) beside it, or give it an id column"
    )


def _may_have_ids(path: Path) -> bool:
    try:
        with open_file(path) as text:
            return "id" in text.header.indexes
    except PriceFileError:
        return True
