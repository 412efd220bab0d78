"""The kinds of values that only the options of loading take."""

from __future__ import annotations

from argparse import ArgumentTypeError

from refresh.options.values import ValueKind
from refresh.wording import listed, quoted

_ORDERS = ("mdy", "dmy", "ymd")
_DECIMALS = {".": ".", ",": ",", "point": ".", "comma": ","}


def _read_order(text: str) -> str:
    if text.lower() not in _ORDERS:
        raise ArgumentTypeError(f"{quoted(text)} is none of {listed(_ORDERS)}")
    return text.lower()


def _read_decimal(text: str) -> str:
    if text.lower() not in _DECIMALS:
        raise ArgumentTypeError(f"{quoted(text)} is neither . nor ,")
    return _DECIMALS[text.lower()]


def _read_symbol(text: str) -> tuple[str, str]:
    column, _, symbol = text.rpartition("=")
    if not symbol.strip():
        raise ArgumentTypeError(f"{quoted(text)} is no symbol such as AAPL, or TITLE=AAPL with the title of its column")
    return column.strip(), symbol.strip()


def _show_symbol(symbol: tuple[str, str]) -> str:
    return "=".join(filter(None, symbol))


DATE_ORDER = ValueKind(metavar="ORDER", read=_read_order)
DECIMAL = ValueKind(metavar="SIGN", read=_read_decimal)
SYMBOL = ValueKind(metavar="SYMBOL", read=_read_symbol, show=_show_symbol)
