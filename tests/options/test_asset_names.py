"""Symbols of assets on the command line."""

from __future__ import annotations

import re

import pytest

from refresh.errors import UsageError
from refresh.options.asset_names import with_ids
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import Request

SYMBOLS = {"BTC": [1], "ETH": [1027], "eth": [2], "BRK.B": [7]}


def looked_up(ids: str) -> Request:
    """The request of a command line that names assets."""
    return with_ids(parse(Program.DAILY, ["--all", "--ids", ids]), lambda: SYMBOLS)


@pytest.mark.parametrize(
    ("ids", "expected"), [("btc", (1,)), ("52,BTC", (52, 1)), ("brk.b, 1,Btc", (7, 1)), ("-3", (-3,)), ("all", None)]
)
def test_symbols_become_ids(ids: str, expected: tuple[int, ...] | None) -> None:
    """Symbols are read in any case, numbers stay ids, and an asset that is named twice counts once."""
    request = looked_up(ids)
    assert request.ids == request.asset_ids == request.selection.ids == expected


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("BTX", "--ids 'BTX': no such symbol in dim_asset; nearest: BTC"),
        ("1,Eth", "--ids 'Eth': the symbol of ids 2, 1027 in dim_asset; say the id"),
    ],
)
def test_unknown_and_ambiguous_symbols(ids: str, message: str) -> None:
    """A symbol that names no asset or several is refused, with what may be meant."""
    with pytest.raises(UsageError, match=re.escape(message)):
        looked_up(ids)


def test_without_symbols() -> None:
    """Where no asset has a symbol, the message says what to do; numbers need no look at the database."""
    with pytest.raises(UsageError, match="dim_asset has no symbols; say the id, or add a row with the symbol"):
        with_ids(Request(ids=("BTC",)), dict)
    request = Request(ids=(1, 52))
    assert with_ids(request, lambda: pytest.fail("read")) is request
    with pytest.raises(UsageError):
        assert Request(ids=("BTC",)).selection
