"""The lines of a price file -> blocks of columns of text, and the lines that do not fit the header.

Knows separators and quotes; refuses to know what a cell means. Every line is cut by itself, so that a stray quote
spoils one line and not the rest of the file. Lines are taken in blocks, so that memory does not grow with the file.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from refresh.core.rows import Array
from refresh.load.bounds import LONGEST_LINE, is_too_long
from refresh.load.cells import Texts, Wrong
from refresh.load.header import Header, fields_of, shown

BLOCK_LINES = 2_000
_BLOCK_CHARACTERS = 8 << 20
"""A block of long lines has fewer: it ends with the line that reaches this."""


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
        return f"{self.line}: {shown(self.column)}: {value}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A block of lines cut into columns of text: those of our columns that the file has, in the file's order.

    ``unused``: the other columns that have a title, by that title.
    """

    lines: Array
    columns: Mapping[str, Texts]
    unused: Mapping[str, Texts]
    bad: Sequence[BadLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceText:
    """The text of a price file: its header, and the lines that follow, from the first one again at each call."""

    header: Header
    lines: Callable[[], Iterator[str]]

    def blocks(self) -> Iterator[Cells]:
        """The lines cut into columns, block by block."""
        lines, first = self.lines(), self.header.line + 1
        while block := _block(lines):
            yield _cells(self.header, block, first)
            first += len(block)


def _block(lines: Iterator[str]) -> Texts:
    """The next lines, as many as are taken into memory at once."""
    block: list[str] = []
    characters = 0
    for line in islice(lines, BLOCK_LINES):
        block.append(line)
        characters += len(line)
        if characters >= _BLOCK_CHARACTERS:
            break
    return block


def _cells(header: Header, block: Texts, first: int) -> Cells:
    """The lines that have as many fields as the header; the others are bad, or blank."""
    width = len(header.titles)
    records, unreadable = _records(block, header.separator)
    if set(map(len, records)) != {width}:
        records = [_fitted(record, width) for record in records]
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
    return Cells(
        lines=np.array(fitting, np.int64) + first,
        columns=_ours(header, columns),
        unused={title: columns[header.titles.index(title)] for title in header.unused},
        bad=bad,
    )


def _fitted(record: list[str], width: int) -> list[str]:
    """A record without separators that end its line and separate nothing."""
    if len(record) > width and not any(record[width:]):
        return record[:width]
    return record


def _ours(header: Header, columns: Sequence[Texts]) -> dict[str, Texts]:
    """Our columns; a date has the time of day that stands in another column behind it."""
    ours = {name: columns[index] for name, index in header.places.indexes.items()}
    if header.places.clock is not None:
        clocks = columns[header.places.clock]
        ours["timestamp"] = [f"{day} {clock}" for day, clock in zip(ours["timestamp"], clocks, strict=True)]
    return ours


def _records(block: Texts, separator: str) -> tuple[list[list[str]], Wrong]:
    """The fields of each line; for a line that cannot be cut no fields, and the reason."""
    try:
        records = list(csv.reader(block, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        records = []
    if len(records) == len(block) and not any(map(is_too_long, block)):
        return records, {}
    unreadable: Wrong = {}
    records = []
    for index, line in enumerate(block):
        fields, reason = fields_of(line, separator)
        if is_too_long(line):
            fields, reason = [], f"longer than {LONGEST_LINE:,} bytes"
        records.append(fields)
        if reason:
            unreadable[index] = reason
    return records, unreadable
