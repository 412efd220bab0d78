"""A manifest: a table of files and the assets that they hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refresh.errors import UsageError
from refresh.load.assets import Asset
from refresh.load.cells import read_ids, read_names
from refresh.load.header import SEPARATORS, shown

MANIFEST = "manifest.csv"
COLUMNS = "file,id,name,symbol"
ANY_FILE = frozenset({"", "*"})
_LARGEST = 16 << 20
"""Bytes: some hundred thousand lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a manifest says of one file: the asset of all its lines, or those of its symbols."""

    asset: Asset = field(default_factory=Asset)
    by_symbol: Mapping[str, Asset] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    position: str
    file: str
    symbol: str
    asset: Asset


def read_manifest(path: Path) -> Mapping[str, Listed]:
    """File name -> what it holds; "" stands for files without a line of their own, if they have symbols.

    Raises ``UsageError`` naming line and column.
    """
    lines: dict[str, list[_Line]] = {}
    for line in _lines(path):
        lines.setdefault(line.file, []).append(line)
    return {file: _listed(file, of_file) for file, of_file in lines.items()}


def _lines(path: Path) -> Iterator[_Line]:
    for position, row in _rows(path):
        cells = {name: (row.get(name) or "").strip() for name in COLUMNS.split(",")}
        id = asset_id(cells["id"], f"{position}: id")
        name = asset_name(cells["name"], f"{position}: name")
        file = "" if cells["file"] in ANY_FILE else listed_name(cells["file"])
        if not file and not cells["symbol"]:
            raise UsageError(f"{position}: file: (empty): a line without a file needs a symbol")
        symbol = asset_name(cells["symbol"], f"{position}: symbol")
        asset = Asset(id=id, name=name or None, symbol=symbol or None)
        yield _Line(position=position, file=file, symbol=symbol, asset=asset)


def _listed(file: str, lines: Iterable[_Line]) -> Listed:
    """What the lines of one file say. A single line is about the whole file, several are about its symbols."""
    by_symbol: dict[str, Asset] = {}
    for line in lines:
        known = by_symbol.setdefault(line.symbol, line.asset)
        if known != line.asset:
            what = "another asset" if not line.symbol else f"another asset for {shown(line.symbol)}"
            raise UsageError(f"{line.position}: file: {shown(line.file)}: an earlier line names {what}")
    if file and len(by_symbol) == 1:
        return Listed(asset=next(iter(by_symbol.values())))
    if "" in by_symbol:
        raise UsageError(f"{shown(file)}: of several lines about a file, each needs the symbol of its asset")
    return Listed(by_symbol=by_symbol)


def listed_name(name: str) -> str:
    """The name of a file as manifests have it, whether the file is packed or not."""
    return Path(name).name.removesuffix(".gz")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The position of each line, and its cells by lower-case title."""
    text = _text(path)
    separator = max(SEPARATORS, key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        missing = sorted({"file", "id"}.difference(rows.fieldnames))
        if missing:
            raise UsageError(f"the manifest {path} lacks {' and '.join(missing)}; its columns are {COLUMNS}")
        repeated = [name for name in COLUMNS.split(",") if rows.fieldnames.count(name) > 1]
        if repeated:
            raise UsageError(f"the manifest {path} has more than one column {repeated[0]}; leave one of them")
        for row in rows:
            yield f"{path}:{rows.line_num}", row
    except csv.Error as error:
        raise UsageError(f"{path}:{rows.line_num + 1}: {error}") from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise UsageError(f"the manifest {path} has more than {_LARGEST:,} bytes, as no manifest has")
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the manifest {path} cannot be read: {reason}") from error


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
