"""Pieces of SQL that many statements share: lists of values as rows, lists of columns, and some assets or all.

Every statement binds its values by ``:name``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from refresh.core.series import Series

SCHEMA = "public"
"""Where our tables are. ``names`` puts it before their names."""

ALL_OR_SOME = "(:everything OR id = ANY(CAST(:ids AS int[])))"
"""The assets of ``some_assets``, as a condition on ``id``."""


def some_assets(ids: Sequence[int] | None) -> dict[str, Any]:
    """The values that ``ALL_OR_SOME`` binds; ``None``: all assets."""
    return {"everything": ids is None, "ids": array_of(ids or ())}


def array_of(values: Iterable[Any]) -> str:
    """Values as PostgreSQL writes an array, for a parameter that the statement casts.

    The driver would write a list as an expression of as many constants, which the server parses one by one.
    """
    values = list(values)
    kinds = set(map(type, values))
    if kinds == {str} and not _SPECIAL.search("".join(values)):
        return '{"' + '","'.join(values) + '"}'
    elements = map(str if kinds <= _PLAIN else _element, values)
    return f"{{{','.join(elements)}}}"


_PLAIN = {int, float, bool, date, datetime}
"""Types of values that an array has as Python writes them."""
_SPECIAL = re.compile(r'["\\]')


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if not isinstance(value, str):
        return str(value)
    escaped = _SPECIAL.sub(r"\\\g<0>", value)
    return f'"{escaped}"'


def rows_of(alias: str, *, ordinal: str = "", **types: str) -> str:
    """Lists of values as the rows of a table: ``rows_of("u", id="int")`` binds the list ``:u_id``.

    ``ordinal`` names one more column that counts the rows from 1.
    """
    lists = ", ".join(f"CAST(:{alias}_{name} AS {kind}[])" for name, kind in types.items())
    columns = ", ".join(types)
    if not ordinal:
        return f"unnest({lists}) AS {alias}({columns})"
    return f"unnest({lists}) WITH ORDINALITY AS {alias}({columns}, {ordinal})"


def columns_of(alias: str, **lists: Iterable[Any]) -> dict[str, str]:
    """The lists that ``rows_of`` binds, column by column."""
    return {f"{alias}_{name}": array_of(values) for name, values in lists.items()}


def lists_of(alias: str, records: Iterable[Any], *names: str) -> dict[str, str]:
    """The lists that ``rows_of`` binds, from attributes of records."""
    records = list(records)
    lists: dict[str, str] = {}
    for name in names:
        lists[f"{alias}_{name}"] = array_of(getattr(record, name) for record in records)
    return lists


def series_of(alias: str, series: Iterable[Series]) -> dict[str, str]:
    """The lists that ``rows_of`` binds for the ``tf`` and ``period`` of series."""
    series = list(series)
    tfs = [member.timeframe.tf for member in series]
    return columns_of(alias, tf=tfs, period=(member.period for member in series))


def quoted(names: Iterable[str], alias: str = "") -> str:
    """Columns as a list in a statement, of the table that ``alias`` names."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(f'{prefix}"{name}"' for name in names)


def relation(name: str) -> str:
    """SQL for the table or view of ours that has a name, given as SQL; NULL if there is none."""
    return f"to_regclass(format('{SCHEMA}.%I', CAST({name} AS text)))"


def bytes_of(name: str) -> str:
    """SQL for the bytes of a table with its indexes and partitions, and what lies outside of rows; NULL without one."""
    parts = f"SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree({relation(name)})"
    return f"coalesce(({parts}), pg_total_relation_size({relation(name)}))"


def day_of(time: str) -> str:
    """SQL for the day of a time in the time zone ``:tz``."""
    return f"({time} AT TIME ZONE :tz)::date"
