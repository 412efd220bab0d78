"""Raw rows for the tests of daily bars: records of Python, as arrays and back, from the answers and at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from core.answers import read_answers
from hypothesis import strategies as st

from refresh.core.daily import NUMBERS, TIMES, DailyBars, build_daily_bars
from refresh.core.rows import NULL_TEXT, Array, Rows

Record = dict[str, Any]
"""A row; NULL is None, a NaN is a NaN."""
Last = dict[int, tuple[date, int]]
"""The day and number of the last bar of each asset before the stretch."""

NOW = datetime(2024, 3, 8)  # noqa: DTZ001 - UTC throughout, as datetime64 is
FLAGS = ("repaired_high", "repaired_low", "repaired_timehigh", "repaired_timelow")
BAR_NAMES = {
    "timeopen": "time_open",
    "timeclose": "time_close",
    "timehigh": "time_high",
    "timelow": "time_low",
    "marketcap": "market_cap",
    "name": "src_name",
    "load_ts": "src_load_ts",
    "source_file": "src_file",
}

# As arrays


def times(records: Sequence[Record], name: str, unit: str = "us") -> Array:
    """A time column; None becomes NaT."""
    return np.array([record[name] for record in records], f"M8[{unit}]")


def texts(records: Sequence[Record], name: str) -> Array:
    """A text column, as wide as its longest text."""
    encoded = [NULL_TEXT if record[name] is None else record[name].encode() for record in records]
    return np.array(encoded or [b""])[: len(encoded)]


def null_bits(record: Record) -> int:
    """Which number columns are NULL."""
    return sum((record[name] is None) << bit for bit, name in enumerate(NUMBERS))


def as_raw(records: Sequence[Record]) -> Rows:
    """The records in the shape in which the store reads them."""
    rows: Rows = {
        "id": np.array([record["id"] for record in records], np.int32),
        "day": times(records, "day", "D"),
        "nulls": np.array([null_bits(record) for record in records], np.int32),
    }
    for name in ("timestamp", "load_ts", *TIMES):
        rows[name] = times(records, name)
    for name in NUMBERS:
        rows[name] = np.array([record[name] for record in records], np.float64)
    for name in ("name", "source_file"):
        rows[name] = texts(records, name)
    return rows


def as_before(last: Last) -> Rows:
    """The last bar of each asset in the shape in which the store reads it."""
    return {
        "id": np.array(list(last), np.int32),
        "day": np.array([day for day, _ in last.values()], "M8[D]"),
        "bar_seq": np.array([number for _, number in last.values()], np.int64),
    }


def build(records: Sequence[Record], last: Last, now: datetime = NOW) -> DailyBars:
    """The bars and rejects of these records."""
    return build_daily_bars(as_raw(records), as_before(last), now=np.datetime64(now, "us"))


# And back


def plain(value: Any) -> Any:
    """A value such that equal means equal bit for bit, NaN included; None for NULL."""
    if value is None or value is np.ma.masked or value is pd.NaT or value == NULL_TEXT:
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(value).hex()
    return value.item() if isinstance(value, np.generic) else value


def plain_record(record: Record) -> Record:
    """A record of plain values."""
    return {name: plain(value) for name, value in record.items()}


def as_records(rows: Rows) -> list[Record]:
    """Computed rows, a plain record each."""
    records = zip(*rows.values(), strict=True)
    return [plain_record(dict(zip(rows, values, strict=True))) for values in records]


def as_bar(raw: Record) -> Record:
    """The bar of a raw row that needs no repair and is the first of its asset."""
    bar: Record = {"tf": "1D", "bar_seq": 1, "count_missing_days": 0}
    bar |= dict.fromkeys((*FLAGS, "is_partial_start", "is_partial_end", "is_missing_days"), False)
    for name, value in raw.items():
        is_absent = value is None and name in NUMBERS
        bar[BAR_NAMES.get(name, name)] = np.nan if is_absent else value
    return bar


def as_reject(raw: Record, reason: str, copy: int) -> Record:
    """The reject of a raw row."""
    return {name: raw[name] for name in ("id", "timestamp", *TIMES, *NUMBERS)} | {"reason": reason, "copy": copy}


def by_time(record: Record) -> tuple[Any, ...]:
    """The order of the result: NULL timestamps first, rejects by reason and copy."""
    return record["id"], record["timestamp"] or datetime.min, record.get("reason"), record.get("copy")  # noqa: DTZ901


# From the answers


def read_value(name: str, text: str, day: str) -> Any:
    """A value of the answers: a number, a flag, or a time that is complete or on the row's day."""
    if text == "NULL":
        return None
    if name in FLAGS or name == "is_missing_days":
        return text == "1"
    if name in {"id", "bar_seq", "count_missing_days", "copy"}:
        return int(text)
    if name.startswith("time") or name == "load_ts":
        return datetime.fromisoformat(text if "T" in text else f"{day}T{text}")
    return float(text)


def read_values(line: Record, column: str) -> Record:
    """The ``name=value`` pairs in a column of the answers."""
    pairs = [pair.split("=") for pair in line[column].split()]
    return {name: read_value(name, text, line["day"]) for name, text in pairs}


PLAIN_TIMES = "timestamp=23:59:59.999 timeopen=00:00 timeclose=23:59:59.999 timehigh=15:00 timelow=09:00"
PLAIN_NUMBERS = dict(zip(NUMBERS, (10.0, 12.0, 9.0, 11.0, 1000.0, 5000.0), strict=True))


def read_raw(line: Record) -> Record:
    """The raw row of a line: the plain one except for what the line says."""
    has_day = line["day"] != "NULL"
    record: Record = {"id": 1, "day": date.fromisoformat(line["day"]) if has_day else None, "load_ts": None}
    record |= {"name": "Coin", "source_file": None} | PLAIN_NUMBERS
    record |= read_values({"day": line["day"] if has_day else "2024-03-05", "raw": PLAIN_TIMES}, "raw")
    return record | read_values(line, "raw")


ANSWERS: list[Record] = [dict(line) for line in read_answers("daily.csv")]


def read_cases() -> dict[str, list[Record]]:
    """The lines of each case of the answers."""
    cases: dict[str, list[Record]] = {}
    for line in ANSWERS:
        cases.setdefault(line["case"], []).append(line)
    return cases


CASES = read_cases()

# At random

FIRST = datetime(2024, 2, 26)  # noqa: DTZ001
NEXT_ULP = 11.000000000000002
BAD = [None, float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0]
PRICES = st.sampled_from([10.0, 11.0, 12.0, 9.0, NEXT_ULP] * 16 + BAD)
VOLUMES = st.sampled_from([1000.0, 2.5, 0.0, -0.0, None] * 8 + [-1.0, float("nan"), float("inf"), -float("inf")])
CAPS = st.sampled_from([5000.0, 0.0, -0.0, None, float("nan"), -2.0])
DAYS = st.sampled_from([0, 1, 4, 7, 13, 14])
CLOCK = st.sampled_from([timedelta(hours=hours) for hours in (12, 12, 12, 23, 3)])
SPANS = st.sampled_from([(0, 24)] * 12 + [(12, 12), (17, 16), (None, 24), (0, None)])
EXTREMES = st.sampled_from([15, 9, 12, 0, 24, 25, -1, None])
TEXTS = st.sampled_from(["Coin", None, "Bitcoin Cash", "Ünï"])


def clock_time(day: datetime, hours: int | None) -> datetime | None:
    """This hour of the day; hour 24 of a day is its last millisecond."""
    if hours is None:
        return None
    return day + timedelta(hours=hours) - timedelta(milliseconds=1 if hours == 24 else 0)


@st.composite
def raw_records(draw: st.DrawFn, zone: timedelta) -> Record:
    """A raw row, mostly good."""
    midnight = FIRST + timedelta(days=draw(DAYS))
    opens, closes = draw(SPANS)
    is_null = draw(st.integers(0, 30)) == 30
    timestamp = None if is_null else midnight + draw(CLOCK)
    loads = draw(st.sampled_from([None, 1, 2, 3]))
    record = {
        "id": draw(st.sampled_from([3, 3, 3, 1, 2])),
        "timestamp": timestamp,
        "day": timestamp and (timestamp + zone).date(),
        "timeopen": clock_time(midnight, opens),
        "timeclose": clock_time(midnight, closes),
        "timehigh": clock_time(midnight, draw(EXTREMES)),
        "timelow": clock_time(midnight, draw(EXTREMES)),
        "load_ts": loads and FIRST + timedelta(hours=loads),
        "volume": draw(VOLUMES),
        "marketcap": draw(CAPS),
        "name": draw(TEXTS),
        "source_file": draw(TEXTS),
    }
    return record | {name: draw(PRICES) for name in NUMBERS[:4]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Raw rows, the bars before them, and a clock that makes the latest of them lie in the future."""

    records: list[Record]
    last: Last
    now: datetime

    def build(self, records: Sequence[Record]) -> DailyBars:
        """The bars and rejects of other records, from the same bars and at the same time."""
        return build(records, self.last, self.now)


@st.composite
def stretches(draw: st.DrawFn, *, keyed: bool = False) -> Stretch:
    """Raw rows in one of three time zones; ``keyed``: no two with the same key."""
    zone = timedelta(hours=draw(st.sampled_from([0, -5, 9])))
    key = itemgetter("id", "timestamp", "load_ts") if keyed else None
    records = draw(st.lists(raw_records(zone), max_size=40, unique_by=key))
    numbers = draw(st.dictionaries(st.sampled_from([1, 2, 4]), st.integers(1, 9)))
    last = {asset: (FIRST.date() - timedelta(days=number + 1), number) for asset, number in numbers.items()}
    now = FIRST + timedelta(days=11, hours=draw(st.sampled_from([12, 0, 23])))
    return Stretch(records=records, last=last, now=now)
