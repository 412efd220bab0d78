"""Python values become columns, by the types that the database has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from refresh.core.rows import NULL_TEXT, TIME, Array, Rows

_NUMPY = {"int4": "i4", "int8": "i8", "bool": "?", "text": "O", "timestamptz": TIME, "interval": "m8[us]"}


def as_columns(records: Iterable[Sequence[Any]], kinds: Mapping[str, str]) -> Rows:
    """The columns of records. ``kinds``: the type of each column, with ``null`` behind it where it may be NULL."""
    records = list(records)
    columns: Rows = {}
    for position, (name, kind) in enumerate(kinds.items()):
        columns[name] = _column([record[position] for record in records], kind)
    return columns


def _column(values: list[Any], kind: str) -> Array:
    name, _, null = kind.partition(" ")
    dtype = np.dtype(_NUMPY[name])
    if dtype.kind == "i" and null:
        mask = [value is None for value in values]
        return np.ma.MaskedArray([value or 0 for value in values], mask, dtype)
    return np.array([_naive(value) for value in values], dtype)


def _naive(value: Any) -> Any:
    """A time in UTC without a zone, which arrays do not have."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def as_texts(column: Array) -> Array:
    """Bytes of UTF-8 as ``str``; equal ones are the same object, so that a repeated text takes no more room."""
    distinct, positions = np.unique(column, return_inverse=True)
    texts = [None if value == NULL_TEXT else value.decode() for value in distinct.tolist()]
    return np.array(texts, object)[positions]
