"""The lines of a price file -> its header, then blocks of columns of text, and the lines that do not fit the header.

Knows separators, quotes and titles of columns; refuses to know what a cell means. Every line is cut by itself, so that
a stray quote spoils one line and not the rest of the file. Lines are taken in blocks, so that memory does not grow with
the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

import numpy as np

from refresh.core.rows import Array
from refresh.errors import RefreshError
from refresh.load.cells import Texts, Wrong
from refresh.wording import listed

NUMBERS = ("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")
TIMES = ("timestamp", "timeopen", "timeclose", "timehigh", "timelow")
NAMES = ("name", "symbol")
COLUMNS = ("id", *NAMES, *TIMES, *NUMBERS)
REQUIRED = ("timestamp", "open", "high", "low", "close")

_TITLES = {"timestamp": ("timestamp", "datetime", "date", "time"), "symbol": ("symbol", "ticker")}
"""Columns with several titles, the best first; every other column has only its own name as its title."""

_SEPARATORS = ";,\t|"
_BLOCK_LINES = 2_000
_HEADER_CHARACTERS = 65_536
_SHOWN_CHARACTERS = 40


class PriceFileError(RefreshError):
    """The file as a whole cannot be read as prices; whoever opened it adds its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The line that names the columns: its number, its titles as written, and the index of each of our columns."""

    line: int
    separator: str
    titles: tuple[str, ...]
    indexes: Mapping[str, int]

    @property
    def names_assets(self) -> bool:
        """Whether ``name`` is the asset's: in CoinMarketCap's exports, with neither id nor symbol, it is not."""
        return bool({"id", "symbol"} & self.indexes.keys())


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class BadLine:
    """A line that is not loaded: its first cell that cannot be read, and why."""

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        """As it follows the file's name."""
        value = shown(self.value) or "(empty)"
        return f"{self.line}: {self.column}: {value}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A block of lines cut into columns of text: those of our columns that the file has, in the file's order."""

    lines: Array
    columns: Mapping[str, Texts]
    bad: Sequence[BadLine]


def read_header(lines: Iterator[str]) -> Header:
    """The first line that is not blank; no further line is taken. Raises ``PriceFileError`` naming what it lacks."""
    for number, text in enumerate(lines, 1):
        if text.strip():
            return _verified(number, text)
    raise PriceFileError("is empty")


def _verified(number: int, text: str) -> Header:
    """The header cut by the separator that yields most of our columns."""
    candidates = [_header(number, text[:_HEADER_CHARACTERS], separator) for separator in _SEPARATORS]
    header = max(candidates, key=lambda candidate: len(candidate.indexes))
    missing = [name for name in REQUIRED if name not in header.indexes]
    if missing:
        lacks = listed(missing).replace("timestamp", "timestamp (or date)")
        raise PriceFileError(f"its header lacks {lacks}; line {number} is: {shown(text.strip())}")
    keys = [_key(title) for title in header.titles]
    ours = header.indexes.values()
    repeated = [header.titles[index] for index in ours if keys.count(keys[index]) > 1]
    if repeated:
        raise PriceFileError(f"its header names {listed(repeated)} more than once")
    return header


def _header(number: int, text: str, separator: str) -> Header:
    fields, _ = _record(text, separator)
    titles = tuple(field.strip() for field in fields)
    return Header(line=number, separator=separator, titles=titles, indexes=_indexes(titles))


def _key(title: str) -> str:
    return re.sub(r"[\s_]", "", title).lower()


def _indexes(titles: Sequence[str]) -> dict[str, int]:
    """Our column -> its index among the titles, in their order."""
    keys = [_key(title) for title in titles]
    indexes: dict[str, int] = {}
    for column in COLUMNS:
        spellings = _TITLES.get(column, (column,))
        best = next((spelling for spelling in spellings if spelling in keys), None)
        if best:
            indexes[column] = keys.index(best)
    return dict(sorted(indexes.items(), key=itemgetter(1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceText:
    """The text of a price file: its header, and the lines that follow, from the first one again at each call."""

    header: Header
    lines: Callable[[], Iterator[str]]

    def blocks(self) -> Iterator[Cells]:
        """The lines cut into columns, block by block."""
        lines, first = self.lines(), self.header.line + 1
        while block := list(islice(lines, _BLOCK_LINES)):
            yield _cells(self.header, block, first)
            first += len(block)


def _cells(header: Header, block: Texts, first: int) -> Cells:
    """The lines that have as many fields as the header; the others are bad, or blank."""
    width = len(header.titles)
    records, unreadable = _records(block, header.separator)
    fitting = [index for index, record in enumerate(records) if len(record) == width]
    bad: list[BadLine] = []
    for index in set(range(len(block))).difference(fitting):
        text = block[index].strip()
        if index in unreadable:
            bad.append(BadLine(line=first + index, column="line", value=text, reason=unreadable[index]))
        elif text:
            fields = str(len(records[index]))
            bad.append(BadLine(line=first + index, column="fields", value=fields, reason=f"the header has {width}"))
    rows = [records[index] for index in fitting]
    columns = list(zip(*rows, strict=True)) or [()] * width
    ours = {name: columns[index] for name, index in header.indexes.items()}
    lines = np.array(fitting, np.int64) + first
    return Cells(lines=lines, columns=ours, bad=bad)


def _records(block: Texts, separator: str) -> tuple[list[list[str]], Wrong]:
    """The fields of each line; for a line with unmatched quotes no fields, and the reason."""
    try:
        records = list(csv.reader(block, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        records = []
    if len(records) == len(block):
        return records, {}
    unreadable: Wrong = {}
    records = []
    for index, line in enumerate(block):
        fields, reason = _record(line, separator)
        records.append(fields)
        if reason:
            unreadable[index] = reason
    return records, unreadable


def _record(line: str, separator: str) -> tuple[list[str], str]:
    if line.count('"') % 2:
        return [], "a quote is not closed"
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True)), ""
    except csv.Error as error:
        return [], str(error)


def shown(text: str) -> str:
    """Text from a file, fit for one line of a terminal."""
    printable = text if text.isprintable() else repr(text)[1:-1]
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "..."
