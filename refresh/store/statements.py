"""Pieces of SQL that many statements share: lists of values as rows, and the choice of some assets or all.

Every statement binds its values by ``:name``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

ALL_OR_SOME = "(:everything OR id = ANY(:ids))"
"""The assets of ``some_assets``, as a condition on ``id``."""


def some_assets(ids: Sequence[int] | None) -> dict[str, Any]:
    """The values that ``ALL_OR_SOME`` binds; ``None``: all assets."""
    return {"everything": ids is None, "ids": list(ids or ())}


def rows_of(alias: str, *, ordinal: str = "", **types: str) -> str:
    """Lists of values as the rows of a table: ``rows_of("u", id="int")`` binds the list ``:u_id``.

    ``ordinal`` names one more column that counts the rows from 1.
    """
    lists = ", ".join(f"CAST(:{alias}_{name} AS {kind}[])" for name, kind in types.items())
    columns = [*types, *filter(None, [ordinal])]
    counted = " WITH ORDINALITY" if ordinal else ""
    return f"unnest({lists}){counted} AS {alias}({', '.join(columns)})"


def lists_of(alias: str, records: Iterable[Any], *names: str) -> dict[str, list[Any]]:
    """The lists that ``rows_of`` binds, from attributes of records."""
    records = list(records)
    return {f"{alias}_{name}": [getattr(record, name) for record in records] for name in names}


def columns_of(alias: str, **lists: Iterable[Any]) -> dict[str, list[Any]]:
    """The lists that ``rows_of`` binds, column by column."""
    return {f"{alias}_{name}": list(values) for name, values in lists.items()}
