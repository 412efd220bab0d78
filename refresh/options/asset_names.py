"""Assets as a user names them, by id or by symbol, become ids. Where symbols are from is not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from refresh.errors import UsageError
from refresh.wording import listed, nearest, quoted

if TYPE_CHECKING:
    from refresh.options.request import Request

Symbols = Mapping[str, Sequence[int]]
"""The assets that each symbol names, as ``dim_asset`` spells it."""


def only_ids(names: Sequence[int | str] | None) -> tuple[int, ...] | None:
    """The assets once symbols are looked up; ``None``: all. Raises ``UsageError`` if some are not."""
    if names is None:
        return None
    return tuple(name if isinstance(name, int) else asset_id(name, {}) for name in names)


def with_ids(request: Request, read_symbols: Callable[[], Symbols]) -> Request:
    """The request with an id for each symbol. Raises ``UsageError`` for one that is unknown or ambiguous.

    Symbols are read only if the request names one; their case does not matter.
    """
    if request.ids is None or all(isinstance(name, int) for name in request.ids):
        return request
    symbols = read_symbols()
    ids = [name if isinstance(name, int) else asset_id(name, symbols) for name in request.ids]
    return replace(request, ids=tuple(dict.fromkeys(ids)))


def asset_id(name: str, symbols: Symbols, *, option: str = "--ids") -> int:
    """The asset that a symbol names, in any case. Raises ``UsageError`` for one that is unknown or ambiguous."""
    found: list[int] = []
    for symbol, ids in symbols.items():
        if symbol.lower() == name.lower():
            found += ids
    typed = f"{option} {quoted(name)}"
    if not found and not symbols:
        raise UsageError(f"{typed}: dim_asset has no symbols; say the id, or add a row with the symbol")
    if not found:
        raise UsageError(f"{typed}: no such symbol in dim_asset; {nearest(name, symbols)}")
    if len(found) > 1:
        raise UsageError(f"{typed}: the symbol of ids {listed(sorted(found))} in dim_asset; say the id")
    return found[0]
