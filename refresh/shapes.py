"""What the rows of a table look like: the columns and keys of bars, of their snapshots and of averages.

Knows nothing of which builder writes a table; ``catalog`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its name, its PostgreSQL type, and whether it may be NULL."""

    name: str
    type: str
    nullable: bool = False


def columns(text: str) -> tuple[Column, ...]:
    """The columns that a text declares, a line per type: ``open close: float8`` or ``volume: float8 null``."""
    declared = []
    for line in text.splitlines():
        names, _, kind = line.strip().partition(": ")
        type_name = kind.removesuffix(" null")
        declared += [Column(name, type_name, nullable=kind != type_name) for name in names.split()]
    return tuple(declared)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The columns of a table, its primary key, and the column with the daily timestamp.

    ``unique``: another key. ``closed``: the columns of an index of the canonical rows alone.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str
    unique: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    @property
    def has_timeframes(self) -> bool:
        """Whether a row is of one timeframe among several."""
        return "tf" in self.key

    @property
    def has_periods(self) -> bool:
        """Whether a row is of one period among several."""
        return "period" in self.key

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns that say something about prices: all except the time of writing."""
        return tuple(column.name for column in self.columns if column.name != "ingested_at")


CLOSED = "closed"
"""The column of packed averages with a bit for each series: whether the day is canonical."""
_ROW_BYTES, _AVERAGE_BYTES, _SERIES_BYTES = 1930, 120, 28
"""The bytes of a packed row, four of which fill a page; those of an average's five arrays, and per series in them."""


@dataclass(frozen=True, slots=True)
class Average:
    """One average of a table: the column of its value, and the suffix of the columns that belong to it."""

    name: str
    suffix: str = ""

    @property
    def roll(self) -> str:
        """The column that is false on canonical days."""
        return f"roll{self.suffix}"

    @property
    def differences(self) -> tuple[str, str, str, str]:
        """First and second differences to the last canonical row, then to the previous row."""
        return f"d1{self.suffix}", f"d2{self.suffix}", f"d1_roll{self.suffix}", f"d2_roll{self.suffix}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The value and its differences."""
        return self.name, *self.differences


EMA = Average("ema")
EMA_BAR = Average("ema_bar", "_bar")

_BAR = """
    time_open time_close time_high time_low: timestamptz
    open high low close: float8
    volume market_cap: float8 null
    is_partial_start is_partial_end is_missing_days: bool
    count_missing_days: int4
"""

DAY = Shape(
    columns=columns(f"""
        id: int4
        timestamp: timestamptz
        tf: text
        bar_seq: int8
        {_BAR}
        repaired_high repaired_low repaired_timehigh repaired_timelow: bool
        src_name: text null
        src_load_ts: timestamptz null
        src_file: text null
        ingested_at: written
    """),
    key=("id", "timestamp"),
    time="timestamp",
    unique=("id", "tf", "bar_seq"),
)
"""One bar per asset and day."""

SNAPSHOT = Shape(
    columns=columns(f"""
        id: int4
        timestamp: timestamptz
        tf: text
        tf_days: int4
        bar_seq: int8
        pos_in_bar count_days count_days_remaining: int4
        {_BAR}
        count_missing_days_start count_missing_days_interior: int4
        first_missing_day last_missing_day: date null
        ingested_at: written
    """),
    key=("id", "timestamp", "tf"),
    time="timestamp",
    closed=("id", "tf", "timestamp"),
)
"""The state of a bar at one daily close. This key keeps a night's rows of an asset side by side."""


def series_shape(averages: tuple[Average, ...]) -> Shape:
    """One row per day, timeframe and period, with some averages."""
    rolls = " ".join(average.roll for average in averages)
    values = " ".join(" ".join(average.columns) for average in averages)
    return Shape(
        columns=columns(f"""
            id: int4
            tf: text
            ts: timestamptz
            period tf_days: int4
            {rolls}: bool
            {values}: float8 null
            ingested_at: written
        """),
        key=("id", "ts", "tf", "period"),
        time="ts",
    )


def shelf_width(averages: Sequence[Average]) -> int:
    """The number of series that a row of packed averages has room for."""
    return (_ROW_BYTES // len(averages) - _AVERAGE_BYTES) // _SERIES_BYTES


def packed_shape(averages: Sequence[Average]) -> Shape:
    """One row per day and shelf: an array per column of the averages, with a place for each series of the shelf.

    ``closed`` has a bit for each place, the lowest first: whether the day is canonical. What the arrays lack is NULL.
    """
    values = " ".join(" ".join(average.columns) for average in averages)
    return Shape(
        columns=columns(f"""
            id: int4
            ts: timestamptz
            shelf: int4
            {CLOSED}: bytea
            {values}: float8[] null
            ingested_at: written
        """),
        key=("id", "ts", "shelf"),
        time="ts",
    )


SERIES_PLACES = Shape(
    columns=columns("""
        tf: text
        period tf_days shelf place: int4
    """),
    key=("tf", "period"),
    time="",
    unique=("shelf", "place"),
)
"""Where the series of packed averages are: the shelf, and the place in its arrays, counted from 1."""
