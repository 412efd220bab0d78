"""Rows of our tables as arrays, filled by the types of their columns except where a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Integer, Text

from refresh.catalog import DAILY
from refresh.core.rows import TIME, Array, Rows
from refresh.store.tables import METADATA, REJECTS

_VALUES: dict[type[Any], Any] = {
    Integer: np.int32(1),
    BigInteger: np.int64(1),
    Double: np.float64(10.0),
    Boolean: np.False_,
    DateTime: np.datetime64("2024-01-01", "us"),
    Date: np.datetime64("2024-01-01", "D"),
    Text: np.bytes_(b"text"),
}


def blank(table: str, size: int) -> Rows:
    """Rows without a NULL in every column that has no default."""
    columns = [column for column in METADATA.tables[table].columns if column.server_default is None]
    return {column.name: np.full(size, _VALUES[type(column.type)]) for column in columns}


def day(number: int) -> datetime:
    """A day of January 2024."""
    return datetime(2024, 1, number, tzinfo=UTC)


def times(days: Iterable[int | None]) -> Array:
    """Days of January 2024 as arrays hold them; NaT for ``None``."""
    return np.array([number and day(number).replace(tzinfo=None) for number in days], TIME)


def floats(values: Iterable[float | None]) -> Array:
    """Numbers with NaN for ``None``."""
    return np.array(list(values), float)


@dataclass(frozen=True)
class Bar:
    """A daily bar, as far as it matters here."""

    number: int
    close: float = 10.0
    volume: float | None = 1.0
    name: bytes = b"Bitcoin"
    asset: int = 1


def bars(*bars: Bar) -> Rows:
    """Rows of the daily table, one per day."""
    return blank(DAILY, len(bars)) | {
        "id": np.array([bar.asset for bar in bars], np.int32),
        "timestamp": times(bar.number for bar in bars),
        "tf": np.full(len(bars), b"1D"),
        "bar_seq": np.array([bar.number for bar in bars], np.int64),
        "close": floats(bar.close for bar in bars),
        "volume": floats(bar.volume for bar in bars),
        "src_name": np.array([bar.name for bar in bars], "S"),
    }


def rejects(*rows: tuple[int | None, str, int], close: float = 10.0, run: str = "first") -> Rows:
    """Rows of the rejects of asset 1: day or NULL, reason, copy."""
    size = len(rows)
    numbers = np.ma.MaskedArray(np.full(size, close), mask=np.zeros(size, bool))
    return blank(REJECTS, size) | {
        "timestamp": times(number for number, _, _ in rows),
        "reason": np.array([reason for _, reason, _ in rows], "S20"),
        "copy": np.array([copy for _, _, copy in rows], np.int32),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "marketcap"), numbers),
        "run_id": np.full(size, run.encode()),
    }
