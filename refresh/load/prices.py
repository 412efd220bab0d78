"""The contents of a price file: its blocks of text -> rows of the source table, and the lines that cannot be read.

Knows the forms of price files: CoinMarketCap's exports, the Kaggle collection, and plain CSV whose header names its
columns. Refuses to know files, the clock and the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refresh.core.rows import DAY, NULL_TEXT, TIME, Rows, count, take
from refresh.load.cell_times import DAY_END, DAY_START, DateOrder, OrderEvidence, read_times
from refresh.load.cells import Column, CommaEvidence, NumberForm, Texts, read_ids, read_names, read_numbers
from refresh.load.lines import NAMES, NUMBERS, TIMES, BadLine, Cells, Header, PriceFileError, PriceText, shown
from refresh.wording import listed

_CLOSING_TIMES = frozenset({"timestamp", "timeclose"})
_SHOWN_SYMBOLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """The id and name of a file's asset if they come from outside the file; its own columns may add the rest."""

    id: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notation:
    """The order of day and month if it matters, and per column the form of its numbers; other columns are plain."""

    order: DateOrder | None
    forms: Mapping[str, NumberForm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A block of a file: rows of the source table with their ``line``, and the lines that cannot be read.

    ``rows`` has line int64, id int32, the times M8[us], the numbers float64 and name as bytes. A column that the file
    lacks is left out, unless it follows from the others.
    """

    rows: Rows
    bad: Sequence[BadLine]


def settle_notation(text: PriceText, order: DateOrder | None) -> Notation:
    """The notation of the file, from all of its lines if the first ones leave a doubt; ``order`` is the user's choice.

    Raises ``PriceFileError`` if no date settles whether day or month comes first.
    """
    if not _is_doubtful(text, order):
        return Notation(order=order, forms={})
    dates = OrderEvidence()
    numbers: defaultdict[str, CommaEvidence] = defaultdict(CommaEvidence)
    for cells in text.blocks():
        for name, column in cells.columns.items():
            if name in NUMBERS:
                numbers[name].add_numbers(column)
            elif name in TIMES and order is None:
                dates.add_dates(column)
    forms = {name: evidence.form for name, evidence in numbers.items()}
    return Notation(order=order or _settled(dates), forms=forms)


def _is_doubtful(text: PriceText, order: DateOrder | None) -> bool:
    """Whether every cell must be read: unless the first dates begin with the year and no number has a comma."""
    first = next(text.blocks(), None)
    if first and order is None:
        dates = OrderEvidence()
        for name in first.columns.keys() & set(TIMES):
            dates.add_dates(first.columns[name])
        if dates.example:
            return True
    sign = '"' if text.header.separator == "," else ","
    return any(sign in line for line in text.lines())


def _settled(dates: OrderEvidence) -> DateOrder | None:
    """The only order left, ``None`` without such dates. Raises ``PriceFileError`` if not exactly one is left."""
    if not dates.example:
        return None
    if len(dates.orders) == 1:
        return next(iter(dates.orders))
    problem = "no date shows" if dates.orders else "its dates contradict each other about"
    raise PriceFileError(
        f"{problem} whether the day or the month comes first in {dates.example}; use --dates dmy or --dates mdy"
    )


def provided_columns(header: Header, asset: Asset) -> frozenset[str]:
    """The columns of the source table for which the file, or its asset, provides values."""
    columns = header.indexes.keys() - set(NAMES)
    if asset.name is not None or header.names_assets:
        columns |= {"name"}
    return frozenset(columns)


def read_prices(text: PriceText, asset: Asset, *, notation: Notation) -> Iterator[Prices]:
    """The file block by block, in its order; every line that is not blank is in one block, as a row or as bad.

    Without an id column, ``asset`` must have an id. Raises ``PriceFileError`` if its rows then belong to several
    assets.
    """
    symbols: set[str] = set()
    for cells in text.blocks():
        symbols.update(map(str.strip, cells.columns.get("symbol", ())))
        symbols.discard("")
        if len(symbols) > 1 and "id" not in text.header.indexes:
            named = listed(map(shown, sorted(symbols)[:_SHOWN_SYMBOLS]))
            raise PriceFileError(
                f"it contains several assets ({named}) and no id column; add one, or split it into a file per asset"
            )
        yield _prices(cells, text.header, asset, notation)


def _prices(cells: Cells, header: Header, asset: Asset, notation: Notation) -> Prices:
    rows: Rows = {"line": cells.lines}
    wrong: dict[int, BadLine] = {}
    for name, column in cells.columns.items():
        rows[name], reasons = _values(name, column, notation, asset)
        title = header.titles[header.indexes[name]]
        for index, reason in reasons.items():
            line, value = int(cells.lines[index]), column[index].strip()
            wrong.setdefault(index, BadLine(line=line, column=title, value=value, reason=reason))
    is_good = np.ones(len(cells.lines), bool)
    is_good[list(wrong)] = False
    good = _completed(take(rows, is_good), header, asset)
    bad = [line for index, line in wrong.items() if not _is_blank(cells, index)]
    return Prices(rows=good, bad=sorted([*cells.bad, *bad]))


def _is_blank(cells: Cells, index: int) -> bool:
    """Whether our columns have no text at all in that line."""
    return not any(column[index].strip() for column in cells.columns.values())


def _values(name: str, column: Texts, notation: Notation, asset: Asset) -> Column:
    if name in NUMBERS:
        return read_numbers(column, notation.forms.get(name, NumberForm.PLAIN))
    if name in NAMES:
        return read_names(column)
    if name == "id":
        return _ids(column, asset)
    date_means = DAY_END if name in _CLOSING_TIMES else DAY_START
    times, wrong = read_times(column, notation.order, date_means=date_means)
    if name == "timestamp":
        missing = np.flatnonzero(np.isnat(times)).tolist()
        wrong = dict.fromkeys(missing, "is missing") | wrong
    return times, wrong


def _ids(column: Texts, asset: Asset) -> Column:
    """The ids. They must not contradict the file's asset, because the rows would overwrite another asset's prices."""
    ids, wrong = read_ids(column)
    if asset.id is None:
        return ids, wrong
    others = np.flatnonzero(ids != asset.id).tolist()
    return ids, dict.fromkeys(others, f"the file is for asset {asset.id}") | wrong


def _completed(rows: Rows, header: Header, asset: Asset) -> Rows:
    """With the id and name from outside the file, and the times that follow from the timestamp."""
    size, timestamp = count(rows), rows["timestamp"]
    day = timestamp.astype(DAY).astype(TIME)
    end = np.where(timestamp == day, day + np.timedelta64(DAY_END), timestamp)
    derived: Rows = {"timeopen": day, "timeclose": end}
    if asset.id is not None:
        derived["id"] = np.full(size, asset.id, np.int32)
    names = [rows.pop(name) for name in NAMES if name in rows]
    if asset.name is not None:
        rows["name"] = np.full(size, asset.name.encode())
    elif header.names_assets and names:
        rows["name"] = np.where(names[0] == NULL_TEXT, names[-1], names[0])
    return derived | rows
