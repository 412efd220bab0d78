"""How a file as a whole writes numbers and dates, settled from all of its columns together, or by its user.

Lines are read until nothing is open, which nearly always is one block. What stays open is refused with both readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from refresh.load.cell_numbers import Decimal, DecimalEvidence, both_readings
from refresh.load.cell_times import DateOrder, orders_of, read_stamps
from refresh.load.cells import Texts
from refresh.load.header import PriceFileError, shown
from refresh.load.lines import BLOCK_LINES, Cells, PriceText
from refresh.load.titles import NUMBERS, TIMES

_FEW_TIMES = 3
"""From so many on, times that cannot be read are more than bad lines, if they are most of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notation:
    """The decimal sign of a file's numbers, and the order of its dates if they have one.

    As a user's choice, ``None`` is what the file has to show.
    """

    decimal: Decimal | None = None
    order: DateOrder | None = None


class _Orders:
    """The orders that every date such as 04/29/2013 fits, and the first such date."""

    def __init__(self) -> None:
        self.fitting = frozenset(DateOrder)
        self.example = ""

    @property
    def is_open(self) -> bool:
        return bool(self.example) and len(self.fitting) > 1

    def add(self, column: Texts) -> None:
        for text in column:
            orders = orders_of(text)
            if orders:
                self.fitting &= orders
                self.example = self.example or text.strip()

    def settled(self, decimal: Decimal) -> DateOrder | None:
        """The only order left, ``None`` without such dates. Raises ``PriceFileError`` if not exactly one is left.

        Who writes decimal commas does not write the month first.
        """
        if not self.example:
            return None
        if decimal is Decimal.COMMA and DateOrder.DMY in self.fitting:
            return DateOrder.DMY
        if len(self.fitting) == 1:
            return next(iter(self.fitting))
        if self.fitting:
            ways = sorted(self.fitting & orders_of(self.example), key=lambda order: order.value)
            readings = " or ".join(_day_in_words(self.example, order) for order in ways)
            raise PriceFileError(
                f"no date shows the order of day and month: {self.example} is {readings}; use {_ways(ways)}"
            )
        raise PriceFileError(
            f"its dates contradict each other about the order of day and month, as in {self.example}; "
            f"use {_ways([DateOrder.DMY, DateOrder.MDY])}"
        )


def _ways(orders: Iterable[DateOrder]) -> str:
    return " or ".join(f"--dates {order.value}" for order in orders)


def _day_in_words(text: str, order: DateOrder) -> str:
    stamps, _ = read_stamps([text], order)
    return str(stamps.local[0].astype("M8[D]"))


def settle(text: PriceText, chosen: Notation) -> Notation:
    """The notation of a file: what is ``chosen``, and for the rest what its cells show.

    Raises ``PriceFileError`` for what they leave open, and if most of the times are not times.
    """
    orders, numbers = _Orders(), DecimalEvidence()
    decimal = chosen.decimal or _implied_decimal(text)
    for cells in text.blocks():
        _add(cells, orders, numbers)
        is_open = numbers.open and not numbers.is_settled and decimal is None
        if not is_open and (chosen.order or not orders.is_open):
            break
    decimal = chosen.decimal or _settled(numbers, decimal)
    notation = Notation(decimal=decimal, order=chosen.order or orders.settled(decimal))
    _check_times(next(text.blocks(), None), notation.order)
    return notation


def _add(cells: Cells, orders: _Orders, numbers: DecimalEvidence) -> None:
    for name, column in cells.columns.items():
        if name in NUMBERS:
            numbers.add_numbers(column)
        elif name in TIMES:
            orders.add(column)


def _implied_decimal(text: PriceText) -> Decimal | None:
    """The point, where commas separate columns and nothing is in quotes: then no number has a comma."""
    if text.header.separator != ",":
        return None
    is_quoted = any('"' in line for line in islice(text.lines(), BLOCK_LINES))
    return None if is_quoted else Decimal.POINT


def _settled(numbers: DecimalEvidence, implied: Decimal | None) -> Decimal:
    """The decimal sign. Raises ``PriceFileError`` if the numbers show both, or leave it open."""
    option = "say which sign begins decimals: --decimal . or --decimal ,"
    if len(numbers.proofs) > 1:
        both = " and ".join(map(shown, numbers.proofs.values()))
        raise PriceFileError(f"its numbers contradict each other: {both}; {option}")
    if numbers.proofs:
        return next(iter(numbers.proofs))
    if numbers.open and implied is None:
        readings = " or ".join(both_readings(numbers.open).values())
        raise PriceFileError(f"no number shows whether {shown(numbers.open)} is {readings}; {option}")
    return implied or Decimal.POINT


def _check_times(cells: Cells | None, order: DateOrder | None) -> None:
    """Refuse a file whose dates are something else, instead of losing most of its lines."""
    if cells is None:
        return
    column = cells.columns["timestamp"]
    _, wrong = read_stamps(column, order)
    if len(wrong) >= _FEW_TIMES and len(wrong) > len(column) / 2:
        index, reason = next(iter(wrong.items()))
        raise PriceFileError(
            f"most of its times cannot be read: line {cells.lines[index]}: {shown(column[index])}: {reason}"
        )
