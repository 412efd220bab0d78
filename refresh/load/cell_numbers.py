"""One column of text -> numbers: decimal points and commas, grouped thousands, signs of currencies, K, M and B.

Knows notations of numbers; refuses to know files, lines and prices. An unclear cell is never guessed: its index is
returned with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

import numpy as np

from refresh.load.cells import NULLS, CellError, Column, Texts, read_cells


class Decimal(Enum):
    """The sign before the decimals of every number of a file; the values are those of the command line."""

    POINT = "."
    COMMA = ","

    @property
    def grouping(self) -> str:
        """The sign that may group its thousands."""
        return {Decimal.POINT: ",", Decimal.COMMA: "."}[self]


_SIGNS_OF_CURRENCIES = "$\u20ac\u00a3\u00a5\u20b9\u20bf"
_GROUPING_SPACES = " \u00a0\u2007\u2009\u202f'\u2019"
_DRESS = re.compile(rf"[{_SIGNS_OF_CURRENCIES}]\s*")
_SPACED = re.compile(rf"([+-]?\d{{1,3}})((?:[{_GROUPING_SPACES}]\d{{3}})+)(?![\d{_GROUPING_SPACES}])(.*)", re.ASCII)
_SCALED = re.compile(r"(.*\d[.,]?)\s?([kmbt]|bn|mn)", re.ASCII | re.IGNORECASE)
_EXPONENTS = {"k": 3, "m": 6, "mn": 6, "b": 9, "bn": 9, "t": 12}

_TAIL = r"(?:e[+-]?\d+)?"
_PLAIN = re.compile(rf"[+-]?(?:\d+(?:\.\d*)?|\.\d+){_TAIL}|[+-]?inf(?:inity)?", re.IGNORECASE | re.ASCII)
_NUMBER = {
    Decimal.POINT: re.compile(
        rf"[+-]?(?:(?:[1-9]\d{{0,2}}(?:,\d{{2,3}})*,\d{{3}}|\d+)(?:\.\d*)?|\.\d+){_TAIL}", re.IGNORECASE | re.ASCII
    ),
    Decimal.COMMA: re.compile(
        rf"[+-]?(?:(?:[1-9]\d{{0,2}}(?:\.\d{{3}})+|\d+)(?:,\d*)?|,\d+){_TAIL}", re.IGNORECASE | re.ASCII
    ),
}
"""With a comma, thousands may also be grouped as in India, where 1,70,46,200 are 17,046,200."""
_TO_PLAIN = {Decimal.POINT: str.maketrans("", "", ","), Decimal.COMMA: str.maketrans(",", ".", ".")}
_NUMBER_BYTES = b"0123456789+-.eE "
_PLAIN_BYTES = b"0123456789+-eE "


@dataclass(slots=True)
class DecimalEvidence:
    """What the numbers of a file show about their decimal sign: an example of each sign that only it explains.

    ``open``: a number that both signs explain, differently.
    """

    proofs: dict[Decimal, str] = field(default_factory=dict)
    open: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether any number leaves a single sign."""
        return bool(self.proofs)

    def add_numbers(self, column: Texts) -> None:
        """Take in more cells."""
        if not "".join(column).encode().translate(None, _PLAIN_BYTES):
            return
        for text in column:
            if "." in text or "," in text:
                self._add(text.strip())

    def _add(self, text: str) -> None:
        number, is_spaced = _undressed(text)
        fitting = [sign for sign in Decimal if _NUMBER[sign].fullmatch(number)]
        if is_spaced:  # thousands are grouped already
            fitting = [sign for sign in fitting if sign.grouping not in number]
        if len(fitting) == 1:
            self.proofs.setdefault(fitting[0], text)
        elif fitting:
            self.open = self.open or text


def both_readings(text: str) -> dict[Decimal, str]:
    """What an open number is with each decimal sign."""
    number, _ = _undressed(text)
    return {sign: f"{float(number.translate(_TO_PLAIN[sign])):.15g}" for sign in Decimal}


def read_numbers(column: Texts, decimal: Decimal) -> Column:
    """The column as float64, NaN for NULL; infinite, negative and zero numbers are numbers."""
    if decimal is Decimal.POINT and _has_only_number_bytes(column):
        with suppress(ValueError):  # an empty or wrong cell: read cell by cell below
            return _floats(column, len(column)), {}
    values, wrong = read_cells(column, partial(_number, decimal=decimal), null=math.nan)
    return np.array(values, np.float64), wrong


def _floats(texts: Iterable[str], number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.fromiter(map(float, texts), np.float64, number)


def _has_only_number_bytes(column: Texts) -> bool:
    return not "".join(column).encode().translate(None, _NUMBER_BYTES)


def _number(text: str, decimal: Decimal) -> float:
    if text.lower() in NULLS:
        return math.nan
    number, exponent = _scaled(text)
    number, is_spaced = _undressed(number)
    if _NUMBER[decimal].fullmatch(number) and not (is_spaced and decimal.grouping in number):
        number = number.translate(_TO_PLAIN[decimal])
    elif _other(decimal).fullmatch(number):
        raise CellError(f"not a number with decimal {decimal.value}")
    if not _PLAIN.fullmatch(number) or (exponent and "e" in number.lower()):
        raise CellError("not a number")
    return float(f"{number}e{exponent}") if exponent else float(number)


def _other(decimal: Decimal) -> re.Pattern[str]:
    return next(pattern for sign, pattern in _NUMBER.items() if sign is not decimal)


def _scaled(text: str) -> tuple[str, int]:
    """A number without its K, M, B or T, and the power of ten that is meant."""
    match = _SCALED.fullmatch(text)
    return (match[1], _EXPONENTS[match[2].lower()]) if match else (text, 0)


def _undressed(text: str) -> tuple[str, bool]:
    """A number without the sign of a currency and spaces between its thousands, and whether there were such spaces."""
    number, _ = _scaled(text)
    number = _DRESS.sub("", number, count=1).strip()
    if match := _SPACED.fullmatch(number):
        digits = re.sub(rf"[{_GROUPING_SPACES}]", "", match[2])
        return f"{match[1]}{digits}{match[3]}", True
    return number, False
