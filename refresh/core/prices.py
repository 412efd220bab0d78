"""What a price file says: its blocks of text -> rows of the source table, and the lines that cannot be understood.

Knows the forms that price files come in: CoinMarketCap's exports, the Kaggle collection, and plain CSV whose header
names its columns. Refuses to know files, the clock and the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.cell_times import DAY_END, DAY_START, DateOrder, possible_orders, read_times
from refresh.core.cells import (
    COMMA_FORMS,
    NumberForm,
    Wrong,
    has_comma,
    narrowed,
    read_ids,
    read_names,
    read_numbers,
)
from refresh.core.price_lines import NAMES, NUMBERS, TIMES, BadLine, Cells, Header, PriceFileError, blocks
from refresh.core.rows import DAY, NULL_TEXT, TIME, Array, Rows, count, take

Lines = Callable[[], Iterator[str]]
"""The lines that follow the header, from the first one on each time it is called."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What is known about a file's asset from elsewhere; an id column in the file may say the rest."""

    id: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Notation:
    """How the file as a whole writes its dates and, per column, its numbers."""

    order: DateOrder | None
    forms: Mapping[str, NumberForm]


@dataclass(frozen=True, slots=True)
class Prices:
    """A block of a file: rows of the source table with their ``line``, and what could not be understood.

    ``rows`` holds line int64, id int32, the times M8[us], the numbers float64 and name as bytes; a column that the file
    does not have, and that does not follow from the others, is left out.
    """

    rows: Rows
    bad: tuple[BadLine, ...]


def survey(header: Header, lines: Lines, order: DateOrder | None) -> Notation:
    """What only the file as a whole can tell; ``order`` is the user's word, if any.

    Raises ``PriceFileError`` where no date settles whether day or month comes first.
    """
    if not _is_doubtful(header, lines, order):
        return Notation(order, {})
    orders, example = frozenset(DateOrder), ""
    forms = {name: COMMA_FORMS for name in NUMBERS if name in header.places}
    with_commas: set[str] = set()
    for cells in blocks(header, lines()):
        for name, column in cells.columns.items():
            if name in forms:
                forms[name] = narrowed(forms[name], column)
                with_commas |= {name} if has_comma(column) else set()
            elif name in TIMES and order is None:
                fitting, date = possible_orders(column)
                orders, example = orders & fitting, example or date
    settled = {name: form for name in with_commas if len(forms[name]) == 1 for form in forms[name]}
    return Notation(order or (_settled(orders, example) if example else None), settled)


def _is_doubtful(header: Header, lines: Lines, order: DateOrder | None) -> bool:
    """Whether every cell must be looked at: not where the first dates begin with the year and no number has a comma."""
    first = next(blocks(header, lines()), None)
    if order is None and first and any(possible_orders(first.columns.get(name, ()))[1] for name in TIMES):
        return True
    sign = '"' if header.separator == "," else ","
    return any(sign in line for line in lines())


def _settled(orders: frozenset[DateOrder], example: str) -> DateOrder:
    """The order that every date fits. Raises ``PriceFileError`` where that is not exactly one."""
    if len(orders) == 1:
        return next(iter(orders))
    facts = "no date tells" if orders else "its dates contradict each other about"
    raise PriceFileError(
        f"{facts} whether the day or the month comes first in {example}: say --dates dmy or --dates mdy"
    )


def said(header: Header, asset: Asset) -> frozenset[str]:
    """The columns of the source table that the file, or what is known about its asset, has values for."""
    named = {"name"} if asset.name is not None or header.names_assets else set[str]()
    return frozenset((header.places.keys() - set(NAMES)) | named)


def read_prices(header: Header, lines: Lines, notation: Notation, asset: Asset) -> Iterator[Prices]:
    """The file block by block, in its order; every line is in one block, as a row or as bad.

    A line that says nothing at all is passed over. Without an id column, ``asset`` must know the id; raises
    ``PriceFileError`` where the rows then turn out to be several assets'.
    """
    symbols: set[str] = set()
    for cells in blocks(header, lines()):
        symbols |= {symbol.strip() for symbol in set(cells.columns.get("symbol", ()))} - {""}
        if len(symbols) > 1 and "id" not in header.places:
            raise PriceFileError(
                f"it holds several assets ({', '.join(sorted(symbols)[:3])}) and no id column: add one, "
                "or make it a file per asset"
            )
        yield _prices(header, cells, notation, asset)


def _prices(header: Header, cells: Cells, notation: Notation, asset: Asset) -> Prices:
    rows: Rows = {"line": cells.lines}
    wrong: dict[int, BadLine] = {}
    for name, column in cells.columns.items():
        rows[name], reasons = _values(name, column, notation, asset)
        for place, reason in reasons.items():
            title = header.titles[header.places[name]]
            wrong.setdefault(place, BadLine(int(cells.lines[place]), title, column[place].strip(), reason))
    silent = {place for place in wrong if not any(column[place].strip() for column in cells.columns.values())}
    bad = [wrong[place] for place in sorted(wrong.keys() - silent)]
    keep = np.ones(len(cells.lines), bool)
    keep[list(wrong)] = False
    told = _completed(take(rows, keep), header, asset)
    return Prices(told, tuple(sorted((*cells.bad, *bad), key=lambda line: line.line)))


def _values(name: str, column: Sequence[str], notation: Notation, asset: Asset) -> tuple[Array, Wrong]:
    if name in NUMBERS:
        return read_numbers(column, notation.forms.get(name, NumberForm.PLAIN))
    if name in NAMES:
        return read_names(column)
    if name == "id":
        return _with_ids_of(asset, *read_ids(column))
    closes = name in {"timestamp", "timeclose"}
    times, wrong = read_times(column, notation.order, date_means=DAY_END if closes else DAY_START)
    if name == "timestamp":
        wrong = dict.fromkeys(np.flatnonzero(np.isnat(times)).tolist(), "is missing") | wrong
    return times, wrong


def _with_ids_of(asset: Asset, ids: Array, wrong: Wrong) -> tuple[Array, Wrong]:
    """An id column must not contradict what was said about the file: the wrong asset's prices would be overwritten."""
    if asset.id is None:
        return ids, wrong
    others = np.flatnonzero(ids != asset.id).tolist()
    return ids, dict.fromkeys(others, f"the file was said to hold asset {asset.id}") | wrong


def _completed(rows: Rows, header: Header, asset: Asset) -> Rows:
    """With the id and name that are known from elsewhere, and the times that follow from the timestamp."""
    size, day = count(rows), rows["timestamp"].astype(DAY).astype(TIME)
    end = np.where(rows["timestamp"] == day, day + np.timedelta64(DAY_END), rows["timestamp"])
    derived: Rows = {"timeopen": day, "timeclose": end}
    if asset.id is not None:
        derived["id"] = np.full(size, asset.id, np.int32)
    names = [rows.pop(name) for name in NAMES if name in rows]
    if asset.name is not None:
        rows["name"] = np.full(size, asset.name.encode())
    elif header.names_assets and names:
        rows["name"] = np.where(names[0] == NULL_TEXT, names[-1], names[0])
    return derived | rows
