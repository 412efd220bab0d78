"""The first lines of a price file -> its header: the titles of its columns, and which of ours they are.

The header need not come first: an address, a comment or ``sep=;`` may stand above it, and titles may take several
lines, as pandas writes them. Refuses to know what the lines below mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from refresh.errors import RefreshError
from refresh.load.titles import REQUIRED, Places, is_index, key, places
from refresh.wording import listed

SEPARATORS = ";,\t|"
_HEADER_LINES = 40
"""How many lines are looked at for the header."""
_INDEX_LINES = 3
"""Within so many lines below the titles stands the title of the dates, if that has a line of its own."""
_HEADER_CHARACTERS = 65_536
_SHOWN_CHARACTERS = 40
_EXAMPLE = "date,open,high,low,close,volume"


class PriceFileError(RefreshError):
    """The file as a whole cannot be read as prices; whoever opened it adds its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The lines that name the columns: the number of the last of them, the titles, and where our columns are."""

    line: int
    separator: str
    titles: tuple[str, ...]
    places: Places

    @property
    def names_assets(self) -> bool:
        """Whether ``name`` is the asset's: in CoinMarketCap's exports, with neither id nor symbol, it is not."""
        return bool({"id", "symbol"} & self.places.indexes.keys())

    @property
    def unused(self) -> list[str]:
        """The titles of the columns that are not read."""
        return [title for index, title in enumerate(self.titles) if title and index not in self.places.used]

    def title(self, column: str) -> str:
        """How the file calls one of our columns."""
        title = self.titles[self.places.indexes[column]]
        return title or column


def read_header(lines: Iterator[str]) -> Header:
    """The header among the first lines. Raises ``PriceFileError`` naming what it lacks."""
    candidates: list[Header] = []
    numbered = enumerate(islice(lines, _HEADER_LINES), 1)
    first = ""
    for number, text in numbered:
        if not text.strip():
            continue
        first = first or text
        header = _header(number, text)
        candidates.append(header)
        if not _lacking(header):
            return _without_repeats(header)
        if _lacking(header) == ["timestamp"]:
            header = _with_index(header, [text for _, text in islice(numbered, _INDEX_LINES)])
            if not _lacking(header):
                return _without_repeats(header)
    raise PriceFileError(_missing_header(candidates, first))


def _header(number: int, text: str) -> Header:
    """The line cut by the separator that yields most of our columns."""
    text = text[:_HEADER_CHARACTERS]
    return max((_cut(number, text, separator) for separator in SEPARATORS), key=_number_of_columns)


def _number_of_columns(header: Header) -> int:
    return len(header.places.indexes)


def _cut(number: int, text: str, separator: str) -> Header:
    titles = [field.strip() for field in fields_of(text, separator)[0]]
    while titles and not titles[-1]:
        titles.pop()  # a separator that ends the line
    return Header(line=number, separator=separator, titles=tuple(titles), places=places(titles))


def _lacking(header: Header) -> list[str]:
    return [name for name in REQUIRED if name not in header.places.indexes]


def _with_index(header: Header, below: Sequence[str]) -> Header:
    """The header with its dates in the first column, if one of the lines below gives a title to nothing else."""
    for distance, text in enumerate(below, 1):
        first, *others = [field.strip() for field in fields_of(text, header.separator)[0]] or [""]
        if is_index(first) and not any(others):
            indexes = {"timestamp": 0, **header.places.indexes}
            return replace(
                header,
                line=header.line + distance,
                titles=(first, *header.titles[1:]),
                places=replace(header.places, indexes=indexes),
            )
        if len(set(others)) > 1:
            raise PriceFileError(
                f"it contains several assets ({listed(map(shown, sorted(set(others))[:3]))}) side by side; "
                "save each of them to a file of its own"
            )
    return header


def _without_repeats(header: Header) -> Header:
    keys = [key(title) for title in header.titles]
    repeated = [header.titles[index] for index in header.places.used if keys[index] and keys.count(keys[index]) > 1]
    if repeated:
        raise PriceFileError(f"its header names {listed(repeated)} more than once")
    return header


def _missing_header(candidates: Sequence[Header], first: str) -> str:
    """Why there is no header, by the line that comes closest to one."""
    if not candidates:
        return "is empty"
    best = max(candidates, key=_number_of_columns)
    shown_first = f"line {candidates[0].line} is: {shown(first.strip())}"
    if not best.places.indexes and first.lstrip(" \"'")[:1].isdigit():
        return f"has no header; put a line with the titles of its columns first, such as {_EXAMPLE}; {shown_first}"
    lacks = listed(_lacking(best)).replace("timestamp", "timestamp (or date)")
    line = f"line {best.line} is: {shown(best.separator.join(best.titles))}" if best.places.indexes else shown_first
    return f"its header lacks {lacks}; {line}"


def fields_of(line: str, separator: str) -> tuple[list[str], str]:
    """The fields of one line; none, and the reason, if its quotes do not match."""
    if line.count('"') % 2:
        return [], "a quote is not closed"
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), []), ""
    except csv.Error as error:
        return [], str(error)


def shown(text: str) -> str:
    """Text from a file, fit for one line of a terminal."""
    printable = text if text.isprintable() else repr(text)[1:-1]
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "..."


def shown_few(texts: Iterable[str], number: int = 3) -> str:
    """The first of some texts from a file, in order."""
    ordered = sorted(set(texts))
    more = ", ..." if len(ordered) > number else ""
    return listed(map(shown, ordered[:number])) + more
