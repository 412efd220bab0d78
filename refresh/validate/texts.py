"""Rows as texts for findings: each value as PostgreSQL writes it in JSON, NULL as ``None``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from refresh.core.rows import Rows, count
from refresh.store.stored_rows import NULLS


def texts_of(rows: Rows) -> list[dict[str, str]]:
    """The values of each row by column. Bit i of ``NULLS`` says that the i-th column is NULL."""
    texts: list[dict[str, str]] = [{} for _ in range(count(rows))]
    columns = [name for name in rows if name != NULLS]
    for bit, name in enumerate(columns):
        is_null = (rows[NULLS] >> bit & 1).astype(bool)
        for row, value, null in zip(texts, rows[name], is_null, strict=True):
            row[name] = str(None) if null else _text(value)
    return texts


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.datetime64):
        return _time(value)
    if isinstance(value, float):
        return _number(float(value))
    return str(value)


def _time(time: np.datetime64) -> str:
    if np.isnat(time):
        return "infinite"
    day, has_clock, clock = str(time).partition("T")
    if not has_clock:
        return day
    clock = clock.rstrip("0").rstrip(".")
    return f"{day}T{clock}+00:00"


def _number(number: float) -> str:
    if number.is_integer():
        return str(int(Decimal(repr(number))))
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return special.get(repr(number), repr(number))
