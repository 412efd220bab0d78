"""Which asset a line of a price file is of: the file's, that of a column of ids, or that of what tells assets apart.

Knows columns of text; refuses to know numbers and times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from refresh.core.rows import Array
from refresh.load.cells import Column, Texts, read_ids
from refresh.load.header import Header, PriceFileError, shown, shown_few
from refresh.load.lines import Cells, PriceText
from refresh.load.titles import key

_LOOKED_THROUGH = 25
"""Blocks of lines in which a column is searched that tells assets apart."""
_MANY = 10_000
_MAP_THEM = "name each in a manifest (a line of file,id,name,symbol for every symbol), or load one: --id N --symbol"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What is known of an asset from outside the file; the file's columns may add the rest."""

    id: int | None = None
    name: str | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The asset of a file, or those of some of its symbols; ``column`` is the title of the symbols if it was typed."""

    asset: Asset = field(default_factory=Asset)
    by_symbol: Mapping[str, Asset] = field(default_factory=dict)
    column: str = ""

    @property
    def is_known(self) -> bool:
        """Whether a file needs no column of ids."""
        return self.asset.id is not None or bool(self.by_symbol)

    @property
    def assets(self) -> list[Asset]:
        """All of them."""
        return [self.asset, *self.by_symbol.values()]

    @property
    def asset_of(self) -> dict[str, Asset]:
        """The asset of each symbol, in lower case."""
        return {symbol.casefold(): asset for symbol, asset in self.by_symbol.items()}


def symbols(cells: Cells, header: Header, wanted: Assignment) -> tuple[str, Texts] | None:
    """The title of the column that tells assets apart, and its cells; ``None`` if there is no such column.

    Raises ``PriceFileError`` if symbols were named and there is none.
    """
    if wanted.column:
        return _typed(cells, header, wanted.column)
    for name in ("symbol", "name"):
        if name in cells.columns:
            return header.title(name), cells.columns[name]
    if wanted.by_symbol:
        raise PriceFileError(
            f"no column is known to tell its assets apart; name it: --symbol TITLE={next(iter(wanted.by_symbol))}"
        )
    return None


def _typed(cells: Cells, header: Header, column: str) -> tuple[str, Texts]:
    for title, texts in [*cells.unused.items(), *((header.title(name), cells.columns[name]) for name in cells.columns)]:
        if key(title) == key(column):
            return title, texts
    raise PriceFileError(f"has no column {shown(column)} to tell its assets apart")


def ids_of(texts: Texts, wanted: Assignment) -> tuple[Array, list[str]]:
    """The id of each line by its symbol, int32, 0 for one that is not wanted, and the symbols that are not."""
    by_symbol = {symbol: asset.id or 0 for symbol, asset in wanted.asset_of.items()}
    keys = [text.strip().casefold() for text in texts]
    ids = [by_symbol.get(key, 0) for key in keys]
    others = {text.strip() for text, id in zip(texts, ids, strict=True) if not id}
    return np.array(ids, np.int32), sorted(others)


def own_ids(column: Texts, asset: Asset) -> Column:
    """The ids. They must not contradict the file's asset, because the rows would overwrite another asset's prices."""
    ids, wrong = read_ids(column)
    if asset.id is None:
        return ids, wrong
    others = np.flatnonzero(ids != asset.id).tolist()
    return ids, dict.fromkeys(others, f"the file is for asset {asset.id}") | wrong


class Apart:
    """Watches that a file of one asset names no second one. Raises ``PriceFileError`` where it does."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, title: str, texts: Texts) -> None:
        """Take in the names of more lines."""
        self._seen.update(map(str.strip, set(texts)))
        self._seen.discard("")
        if len(self._seen) > 1:
            raise several_assets(title, sorted(self._seen))


def several_assets(title: str, names: Sequence[str]) -> PriceFileError:
    """Why a file is refused whose lines would overwrite each other."""
    return PriceFileError(
        f"it contains several assets, told apart by {shown(title)} ({shown_few(names)}), and no id column; "
        f"{_MAP_THEM} {shown(names[0])}"
    )


def told_apart(text: PriceText) -> tuple[str, list[str]] | None:
    """A column of names by which lines of the same time differ, and its names; looked for in the first lines."""
    found = _Differing()
    for _, cells in zip(range(_LOOKED_THROUGH), text.blocks(), strict=False):
        found.add(cells)
    return found.column


class _Differing:
    """The columns that, together with the time, have no two equal lines so far."""

    def __init__(self) -> None:
        self._pairs: dict[str, set[tuple[str, str]]] = {}
        self._lines = 0

    def add(self, cells: Cells) -> None:
        times = cells.columns["timestamp"]
        self._lines += len(times)
        for title, texts in cells.unused.items():
            self._pairs.setdefault(title, set()).update(zip(times, texts, strict=True))

    @property
    def column(self) -> tuple[str, list[str]] | None:
        return next(self._columns(), None)

    def _columns(self) -> Iterator[tuple[str, list[str]]]:
        for title, pairs in self._pairs.items():
            names = {name.strip() for _, name in pairs}
            is_named = all(any(map(str.isalpha, name)) for name in names)
            if len(pairs) == self._lines and 1 < len(names) < min(_MANY, self._lines) and is_named:
                yield title, sorted(names)
