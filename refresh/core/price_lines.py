"""The lines of a price file -> its header, then blocks of columns of text, and the lines that do not fit the header.

Knows separators, quotes and the titles that columns go by; refuses to know what a cell means. Every line stands by
itself, so that a stray quote spoils one line and not the rest of the file; lines are taken in blocks, so that memory
does not grow with the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from refresh.core.cells import Wrong
from refresh.core.rows import Array
from refresh.errors import RefreshError

NUMBERS = ("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")
TIMES = ("timestamp", "timeopen", "timeclose", "timehigh", "timelow")
NAMES = ("name", "symbol")
REQUIRED = ("timestamp", "open", "high", "low", "close")

_TITLES = {"timestamp": ("timestamp", "datetime", "date", "time"), "symbol": ("symbol", "ticker")}
"""Columns that go by several titles, the best first; every other column goes by its own name alone."""

_SEPARATORS = ";,\t|"
_BLOCK_LINES = 2_000
_HEADER_CHARACTERS = 65_536
_SHOWN_CHARACTERS = 40


class PriceFileError(RefreshError):
    """The file as a whole cannot be taken for prices; its name is added by whoever opened it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The line that names the columns: its number, its titles as they stand, and where our columns are."""

    line: int
    separator: str
    titles: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def names_assets(self) -> bool:
        """Whether ``name`` is the asset's: in CoinMarketCap's exports, with neither id nor symbol, it is not."""
        return bool({"id", "symbol"} & self.places.keys())


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not loaded: the first cell of it that cannot be understood, and why."""

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        """As it follows the file's name."""
        return f"{self.line}: {self.column}: {_shown(self.value) or '(empty)'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Cells:
    """A block of lines cut into columns of text: those of our columns that the file has, in the file's order."""

    lines: Array
    columns: Mapping[str, Sequence[str]]
    bad: tuple[BadLine, ...]


def read_header(lines: Iterator[str]) -> Header:
    """The first line that is not blank; no further line is taken. Raises ``PriceFileError`` naming what it lacks."""
    number, text = next(((n, line) for n, line in enumerate(lines, 1) if line.strip()), (0, ""))
    if not number:
        raise PriceFileError("is empty")
    cut = {separator: _titles(text[:_HEADER_CHARACTERS], separator) for separator in _SEPARATORS}
    separator = max(cut, key=lambda candidate: len(_places(cut[candidate])))
    titles, places = cut[separator], _places(cut[separator])
    missing = ["timestamp (or date)" if name == "timestamp" else name for name in REQUIRED if name not in places]
    if missing:
        raise PriceFileError(f"its header lacks {', '.join(missing)}; line {number} is: {_shown(text.strip())}")
    twice = [titles[place] for place in places.values() if list(map(_key, titles)).count(_key(titles[place])) > 1]
    if twice:
        raise PriceFileError(f"its header names {', '.join(twice)} more than once")
    return Header(number, separator, titles, places)


def _titles(text: str, separator: str) -> tuple[str, ...]:
    fields, _ = _record(text, separator)
    return tuple(field.strip() for field in fields)


def _key(title: str) -> str:
    return re.sub(r"[\s_]", "", title).lower()


def _places(titles: Sequence[str]) -> dict[str, int]:
    """Our column -> its place among the titles, in their order."""
    keys = [_key(title) for title in titles]
    found = {
        next((keys.index(key) for key in _TITLES.get(column, (column,)) if key in keys), len(keys)): column
        for column in ("id", *NAMES, *TIMES, *NUMBERS)
    }
    return {found[place]: place for place in sorted(found) if place < len(keys)}


def blocks(header: Header, lines: Iterator[str]) -> Iterator[Cells]:
    """The lines that follow the header, cut into columns block by block."""
    first = header.line + 1
    while block := list(islice(lines, _BLOCK_LINES)):
        yield _cells(header, block, first)
        first += len(block)


def _cells(header: Header, block: Sequence[str], first: int) -> Cells:
    """The lines that have as many fields as the header; the others are bad, or blank."""
    width = len(header.titles)
    records, unreadable = _records(block, header.separator)
    kept = [place for place, record in enumerate(records) if len(record) == width]
    bad = []
    if len(kept) < len(records):
        strange = (place for place, record in enumerate(records) if len(record) != width and block[place].strip())
        bad = [
            BadLine(first + place, "line", block[place].strip(), unreadable[place])
            if place in unreadable
            else BadLine(first + place, "fields", str(len(records[place])), f"the header has {width}")
            for place in strange
        ]
        records = [records[place] for place in kept]
    columns = list(zip(*records, strict=True)) or [()] * width
    return Cells(
        np.array(kept, np.int64) + first, {name: columns[place] for name, place in header.places.items()}, tuple(bad)
    )


def _records(block: Sequence[str], separator: str) -> tuple[list[list[str]], Wrong]:
    """The fields of each line; none, and the reason, where quotes do not match."""
    try:
        records = list(csv.reader(block, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        records = []
    if len(records) == len(block):
        return records, {}
    cut = [_record(line, separator) for line in block]
    return [fields for fields, _ in cut], {place: reason for place, (_, reason) in enumerate(cut) if reason}


def _record(line: str, separator: str) -> tuple[list[str], str]:
    if line.count('"') % 2:
        return [], "a quote is not closed"
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True)), ""
    except csv.Error as error:
        return [], str(error)


def _shown(text: str) -> str:
    """Text from a file, fit for one line of a terminal."""
    printable = text if text.isprintable() else repr(text)[1:-1]
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "..."
