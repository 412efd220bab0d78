"""The contents of a price file: its blocks of text -> rows of the source table, and the lines that cannot be read.

Refuses to know files, the clock and the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import DAY, NULL_TEXT, TIME, Array, Rows, count, take
from refresh.load.assets import Apart, Assignment, ids_of, own_ids, symbols
from refresh.load.cell_numbers import Decimal, read_numbers
from refresh.load.cell_times import read_stamps
from refresh.load.cells import Column, Texts, read_names
from refresh.load.days import Zone, moments, placed
from refresh.load.header import Header, PriceFileError
from refresh.load.lines import BadLine, Cells, PriceText
from refresh.load.notation import Notation
from refresh.load.titles import NAMES, NUMBERS, TIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is settled about a file before its rows are read."""

    assignment: Assignment
    notation: Notation
    zone: Zone

    @property
    def decimal(self) -> Decimal:
        """The decimal sign of all numbers."""
        return self.notation.decimal or Decimal.POINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A block of a file: rows of the source table, and the lines that cannot be read.

    ``rows`` has line int64, day M8[D], stamped M8[us], which are no columns of that table, id int32, the times M8[us],
    the numbers float64 and name as bytes. A column that the file lacks is left out, unless it follows from the others.
    ``others``: the symbols whose lines are left out, because only some were asked for.
    """

    rows: Rows
    bad: Sequence[BadLine]
    others: Sequence[str] = ()


def provided_columns(header: Header, wanted: Assignment) -> frozenset[str]:
    """The columns of the source table for which the file, or its asset, provides values."""
    columns = header.places.indexes.keys() - set(NAMES)
    named = any(asset.name is not None for asset in wanted.assets)
    if named or header.names_assets:
        columns |= {"name"}
    return frozenset(columns)


def read_prices(text: PriceText, how: Reading) -> Iterator[Prices]:
    """The file block by block, in its order; every line that is not blank is in one block, as a row or as bad.

    Without an id column, the assignment must know ids. Raises ``PriceFileError`` if its rows then belong to several
    assets.
    """
    if not how.assignment.is_known and "id" not in text.header.places.indexes:
        raise PriceFileError("it has no id column, and nothing says which asset it is of; use --id N")
    apart = Apart()
    for cells in text.blocks():
        told = symbols(cells, text.header, how.assignment)
        if told and not how.assignment.by_symbol and "id" not in cells.columns:
            apart.add(*told)
        yield _prices(cells, text.header, how, told)


def _prices(cells: Cells, header: Header, how: Reading, told: tuple[str, Texts] | None) -> Prices:
    rows: Rows = {"line": cells.lines}
    wrong: dict[int, BadLine] = {}
    for name, column in cells.columns.items():
        values, reasons = _values(name, column, how)
        rows |= values
        title = header.title(name)
        for index, reason in reasons.items():
            line, value = int(cells.lines[index]), column[index].strip()
            wrong.setdefault(index, BadLine(line=line, column=title, value=value, reason=reason))
    others: list[str] = []
    if told and how.assignment.by_symbol:
        rows["id"], others = ids_of(told[1], how.assignment)
    is_good = rows["id"] != 0 if others else np.ones(len(cells.lines), bool)
    wrong = {index: line for index, line in wrong.items() if is_good[index]}
    is_good[list(wrong)] = False
    good = _completed(take(rows, is_good), header, how)
    bad = [line for index, line in wrong.items() if not _is_blank(cells, index)]
    return Prices(rows=good, bad=sorted([*cells.bad, *bad]), others=others)


def _is_blank(cells: Cells, index: int) -> bool:
    """Whether our columns have no text at all in that line."""
    return not any(column[index].strip() for column in cells.columns.values())


def _values(name: str, column: Texts, how: Reading) -> tuple[Rows, dict[int, str]]:
    """The column as it is stored, or as what its time says about the row; and its wrong cells."""
    if name in TIMES:
        return _times(name, column, how)
    values, wrong = _plain(name, column, how)
    return {name: values}, wrong


def _plain(name: str, column: Texts, how: Reading) -> Column:
    if name in NUMBERS:
        return read_numbers(column, how.decimal)
    if name in NAMES:
        return read_names(column)
    return own_ids(column, how.assignment.asset)


def _times(name: str, column: Texts, how: Reading) -> tuple[Rows, dict[int, str]]:
    stamps, wrong = read_stamps(column, how.notation.order)
    if name != "timestamp":
        is_day = stamps.local == stamps.local.astype(DAY).astype(TIME)
        return {name: moments(stamps, how.zone), f"{name}_is_day": is_day}, wrong
    missing = np.flatnonzero(np.isnat(stamps.local)).tolist()
    implied = placed(stamps, how.zone)
    rows = {f"implied_{bound}": implied.pop(bound) for bound in ("timeopen", "timeclose")}
    return rows | implied, dict.fromkeys(missing, "is missing") | wrong


def _completed(rows: Rows, header: Header, how: Reading) -> Rows:
    """With the id and name from outside the file, and the times that follow from the timestamp."""
    size, asset = count(rows), how.assignment.asset
    flags = {name: rows.pop(f"{name}_is_day", None) for name in TIMES}
    for bound in ("timeopen", "timeclose"):
        implied = rows.pop(f"implied_{bound}")
        rows[bound] = _or_implied(rows.get(bound), implied, flags[bound])
    if asset.id is not None:
        rows["id"] = np.full(size, asset.id, np.int32)
    _name(rows, header, how)
    return rows


def _or_implied(given: Array | None, implied: Array, is_day: Array | None) -> Array:
    """The time that a file gives; a date alone, of the same day, means the bound of that day."""
    if given is None or is_day is None:
        return implied
    is_bound = is_day & (given.astype(DAY) == implied.astype(DAY))
    return np.where(is_bound, implied, given)


def _name(rows: Rows, header: Header, how: Reading) -> None:
    """Put the name of each row's asset in the place of its columns of names."""
    asset, by_symbol = how.assignment.asset, how.assignment.by_symbol
    names = [rows.pop(name) for name in NAMES if name in rows]
    known = {of_symbol.id or 0: of_symbol.name for of_symbol in by_symbol.values() if of_symbol.name}
    if asset.name is not None:
        rows["name"] = np.full(count(rows), asset.name.encode())
    elif known:
        texts = [known.get(id, "").encode() or NULL_TEXT for id in rows["id"].tolist()]
        rows["name"] = np.array(texts, np.bytes_)
    elif header.names_assets and names:
        rows["name"] = np.where(names[0] == NULL_TEXT, names[-1], names[0])
