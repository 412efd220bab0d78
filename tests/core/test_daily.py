"""Raw rows -> daily bars and rejects: answers by hand, a row-by-row oracle in pandas, and laws."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.core.daily import NUMBERS, TIMES, DailyBars, Reason, build_daily_bars
from refresh.core.rows import NULL_TEXT, Array, Rows, take
from refresh.errors import ViolationError

Record = dict[str, Any]
"""One row; NULL is None, a NaN is a NaN."""

NOW = datetime(2024, 3, 8)  # noqa: DTZ001 - UTC throughout, as datetime64 is
FLAGS = ("repaired_high", "repaired_low", "repaired_timehigh", "repaired_timelow")
BAR_NAMES = {"timeopen": "time_open", "timeclose": "time_close", "timehigh": "time_high", "timelow": "time_low"}
BAR_NAMES |= {"marketcap": "market_cap", "name": "src_name", "load_ts": "src_load_ts", "source_file": "src_file"}


def times(records: list[Record], name: str, unit: str = "us") -> Array:
    """One time column; None becomes NaT."""
    return np.array([record[name] for record in records], f"M8[{unit}]")


def as_raw(records: list[Record]) -> Rows:
    """The records in the shape in which the store reads them."""
    null_bits = [sum((record[name] is None) << bit for bit, name in enumerate(NUMBERS)) for record in records]
    texts = {
        name: [NULL_TEXT if record[name] is None else record[name].encode() for record in records]
        for name in ("name", "source_file")
    }
    return {
        "id": np.array([record["id"] for record in records], np.int32),
        "day": times(records, "day", "D"),
        **{name: times(records, name) for name in ("timestamp", "load_ts", *TIMES)},
        **{name: np.array([record[name] for record in records], np.float64) for name in NUMBERS},
        "nulls": np.array(null_bits, np.int32),
        **{name: np.array(text or [b""])[: len(text)] for name, text in texts.items()},
    }


def as_before(last: dict[int, tuple[date, int]]) -> Rows:
    """The last bar of each asset in the shape in which the store reads it."""
    return {
        "id": np.array(list(last), np.int32),
        "day": np.array([day for day, _ in last.values()], "M8[D]"),
        "bar_seq": np.array([seq for _, seq in last.values()], np.int64),
    }


def plain(value: Any) -> Any:
    """A value such that equal means equal bit for bit, NaN included; None for NULL."""
    if value is None or value is np.ma.masked or value is pd.NaT or value == NULL_TEXT:
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(value).hex()
    return value.item() if isinstance(value, np.generic) else value


def as_records(rows: Rows) -> list[Record]:
    """Computed rows, one plain record each."""
    columns = {name: list(column) for name, column in rows.items()}
    return [
        {name: plain(value) for name, value in zip(columns, values, strict=True)}
        for values in zip(*columns.values(), strict=True)
    ]


def expected(records: list[Record]) -> list[Record]:
    """Records made here, as plain as computed ones."""
    return [{name: plain(value) for name, value in record.items()} for record in records]


def build(records: list[Record], last: dict[int, tuple[date, int]], now: datetime = NOW) -> DailyBars:
    """The bars and rejects of these records."""
    return build_daily_bars(as_raw(records), as_before(last), now=np.datetime64(now, "us"))


def is_nan(value: float | None) -> bool:
    """Whether this is a NaN, which NULL is not."""
    return value is not None and np.isnan(value)


def as_bar(raw: Record) -> Record:
    """The bar of a raw row that needs no repair and is the first of its asset."""
    bar = {BAR_NAMES.get(name, name): np.nan if value is None and name in NUMBERS else value
           for name, value in raw.items()}  # fmt: skip
    bar |= {"tf": "1D", "bar_seq": 1, "count_missing_days": 0} | dict.fromkeys(FLAGS, False)
    return bar | dict.fromkeys(("is_partial_start", "is_partial_end", "is_missing_days"), False)


def as_reject(raw: Record, reason: str, copy: int) -> Record:
    """The reject of a raw row."""
    return {name: raw[name] for name in ("id", "timestamp", *TIMES, *NUMBERS)} | {"reason": reason, "copy": copy}


def by_time(record: Record) -> tuple[Any, ...]:
    """The order of the result: NULL timestamps first, rejects by reason and copy."""
    return record["id"], record["timestamp"] or datetime.min, record.get("reason"), record.get("copy")  # noqa: DTZ901


# Answers by hand


def read_value(name: str, text: str, day: str) -> Any:
    """One value of the answers: a number, a flag, or a time that is complete or on the row's day."""
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
    """The ``name=value`` pairs that stand in one column of the answers."""
    pairs = (pair.split("=") for pair in line[column].split())
    return {name: read_value(name, text, line["day"]) for name, text in pairs}


def read_raw(line: Record) -> Record:
    """The raw row of one line: the plain one but for what the line says."""
    given = read_values(line, "raw")
    text = "timestamp=23:59:59.999 timeopen=00:00 timeclose=23:59:59.999 timehigh=15:00 timelow=09:00"
    usual = read_values({"day": line["day"] if line["day"] != "NULL" else "2024-03-05", "raw": text}, "raw")
    usual |= dict(zip(NUMBERS, (10.0, 12.0, 9.0, 11.0, 1000.0, 5000.0), strict=True))
    day = None if line["day"] == "NULL" else date.fromisoformat(line["day"])
    return {"id": 1, "day": day, "load_ts": None, "name": "Coin", "source_file": None} | usual | given


def read_answers() -> list[Record]:
    """The lines of tests/answers/daily.csv."""
    path = Path(__file__).parents[1] / "answers" / "daily.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    names, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines))
    return [dict(zip(names, row, strict=True)) for row in rows]


ANSWERS = read_answers()
CASES = {case: list(lines) for case, lines in groupby(ANSWERS, key=lambda line: str(line["case"]))}


@pytest.mark.parametrize("case", CASES)
def test_answer_by_hand(case: str) -> None:
    """Each case of the answers becomes the bars and rejects that stand there."""
    bars, rejects, last, raw = [], [], {}, []
    for line in CASES[case]:
        row, want = read_raw(line), read_values(line, "expected")
        if line["outcome"] == "before":
            last[row["id"]] = (row["day"], want["bar_seq"])
            continue
        raw.append(row)
        row = row | {name: abs(row[name]) for name in NUMBERS if row[name] == 0}
        if line["outcome"] == "bar":
            want = {name: np.nan if name == "market_cap" and value is None else value for name, value in want.items()}
            bars.append(as_bar(row) | want)
        else:
            rejects.append(as_reject(row, line["outcome"], want.get("copy", 1)))
    result = build(raw, last)
    assert as_records(result.bars) == expected(sorted(bars, key=by_time))
    assert as_records(result.rejects) == expected(sorted(rejects, key=by_time))


def test_answers_hold_each_reason() -> None:
    """No reason of a reject is without an answer by hand."""
    assert {line["outcome"] for line in ANSWERS} == {*Reason, "bar", "before"}


def test_answers_hold_each_bad_price() -> None:
    """Each of the four prices is tried with each value that no price may have."""
    tried = {line["raw"] for line in ANSWERS}
    assert tried >= {f"{name}={bad}" for name in NUMBERS[:4] for bad in ("NULL", "NaN", "inf", "-inf", "0", "-0.5")}


def test_answers_hold_each_case_in_one_piece() -> None:
    """No line of a case stands apart, where it would replace the others."""
    assert sum(len(lines) for lines in CASES.values()) == len(ANSWERS)


# The oracle


def refuse_prices(prices: list[float | None]) -> str | None:
    """Why a row with this open, high, low and close is no bar."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return "null_ohlc"
    if not all(abs(price) < float("inf") for price in known):
        return "nonfinite_ohlc"
    return "nonpositive_ohlc" if min(known) <= 0 else None


def refuse(raw: Record, now: datetime) -> str | None:
    """Why this row alone is no bar."""
    volume = raw["volume"]
    if reason := refuse_prices([raw[name] for name in ("open", "high", "low", "close")]):
        return reason
    if raw["timestamp"] is None or raw["timeopen"] is None or raw["timeclose"] is None:
        return "null_time"
    if raw["timeopen"] > raw["timeclose"]:
        return "time_order"
    if volume is not None and not 0 <= volume < float("inf"):
        return "bad_volume"
    ahead = pd.Timestamp(raw["timestamp"]) - pd.Timestamp(now)
    return "future_timestamp" if ahead > pd.Timedelta(days=2) else None


def repair(raw: Record) -> Record:
    """The bar of an accepted row, as if it were the first of its asset."""
    bar = as_bar(raw)
    rises = raw["close"] >= raw["open"]
    for name, at_close in (("high", rises), ("low", not rises)):
        column, flag = f"time_{name}", f"repaired_time{name}"
        if bar[column] is None:
            bar |= {column: raw["timeclose"] if at_close else raw["timeopen"], flag: True}
        elif bar[column] < raw["timeopen"]:
            bar |= {column: raw["timeopen"], flag: True}
        elif bar[column] > raw["timeclose"]:
            bar |= {column: raw["timeclose"], flag: True}
    for bound in (raw["open"], raw["close"]):
        if bar["high"] < bound:
            bar |= {"high": bound, "repaired_high": True}
        if bar["low"] > bound:
            bar |= {"low": bound, "repaired_low": True}
    return bar


def latest(rows: list[Record]) -> list[Record]:
    """The rows by timestamp, then load_ts, NULL first."""
    early = pd.Timestamp.min
    order = [(pd.Timestamp(row["timestamp"] or early), pd.Timestamp(row["load_ts"] or early)) for row in rows]
    return [rows[at] for at in pd.Series(order, dtype=object).sort_values(kind="stable").index]


def oracle(
    records: list[Record], last: dict[int, tuple[date, int]], now: datetime
) -> tuple[list[Record], list[Record]]:
    """The bars and rejects of these records, one row after another."""
    rows = [raw | {name: 0.0 for name in NUMBERS if raw[name] == 0} for raw in latest(records)]
    refused = [(raw, refuse(raw, now)) for raw in rows]
    days: dict[tuple[int, date], Record] = {}
    for at, (raw, reason) in enumerate(refused):
        if reason is None:
            days[raw["id"], raw["day"]] = raw | {"at": at}
    kept = {raw["at"] for raw in days.values()}
    copies: Counter[tuple[Any, ...]] = Counter()
    rejects = []
    for at, (raw, reason) in enumerate(refused):
        if at not in kept:
            why = reason or "duplicate_day"
            copies[raw["id"], raw["timestamp"], why] += 1
            rejects.append(as_reject(raw, why, copies[raw["id"], raw["timestamp"], why]))
    bars, seen = [], dict(last)
    for (asset, day), raw in sorted(days.items(), key=lambda item: item[0]):
        bar = repair({name: value for name, value in raw.items() if name != "at"})
        if asset in seen:
            gap = pd.date_range(seen[asset][0], day, inclusive="neither")
            bar |= {"is_missing_days": len(gap) > 0, "count_missing_days": len(gap), "bar_seq": seen[asset][1] + 1}
        seen[asset] = (day, bar["bar_seq"])
        bars.append(bar)
    return bars, sorted(rejects, key=by_time)


# Random raw rows

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


def at(day: datetime, hours: int | None) -> datetime | None:
    """This hour of the day; a day's hour 24 is its last millisecond."""
    if hours is None:
        return None
    return day + timedelta(hours=hours) - timedelta(milliseconds=1 if hours == 24 else 0)


@st.composite
def raw_record(draw: st.DrawFn, zone: timedelta) -> Record:
    """One raw row, mostly good."""
    midnight = FIRST + timedelta(days=draw(DAYS))
    opens, closes = draw(SPANS)
    null = draw(st.integers(0, 30)) == 30
    timestamp = None if null else midnight + draw(CLOCK)
    loads = draw(st.sampled_from([None, 1, 2, 3]))
    prices = {name: draw(PRICES) for name in NUMBERS[:4]}
    return {
        "id": draw(st.sampled_from([3, 3, 3, 1, 2])), "timestamp": timestamp,
        "day": timestamp and (timestamp + zone).date(),
        "timeopen": at(midnight, opens), "timeclose": at(midnight, closes),
        "timehigh": at(midnight, draw(EXTREMES)), "timelow": at(midnight, draw(EXTREMES)),
        "load_ts": loads and FIRST + timedelta(hours=loads),
        **prices, "volume": draw(VOLUMES), "marketcap": draw(CAPS),
        "name": draw(TEXTS), "source_file": draw(TEXTS),
    }  # fmt: skip


@st.composite
def stretches(draw: st.DrawFn, *, keyed: bool = False) -> tuple[list[Record], dict[int, tuple[date, int]], datetime]:
    """Raw rows, the bars before them, and a clock that makes the latest of them lie in the future."""
    zone = timedelta(hours=draw(st.sampled_from([0, -5, 9])))
    key = (lambda raw: (raw["id"], raw["timestamp"], raw["load_ts"])) if keyed else None
    records = draw(st.lists(raw_record(zone), max_size=40, unique_by=key))
    assets = draw(st.dictionaries(st.sampled_from([1, 2, 4]), st.integers(1, 9)))
    last = {asset: (FIRST.date() - timedelta(days=seq + 1), seq) for asset, seq in assets.items()}
    return records, last, FIRST + timedelta(days=11, hours=draw(st.sampled_from([12, 0, 23])))


@given(stretches(keyed=True))
def test_equals_the_oracle(stretch: tuple[list[Record], dict[int, tuple[date, int]], datetime]) -> None:
    """The bars and rejects of all rows at once are those of one row after another."""
    records, last, now = stretch
    result = build(records, last, now)
    bars, rejects = oracle(records, last, now)
    assert as_records(result.bars) == expected(bars)
    assert as_records(result.rejects) == expected(rejects)


@given(stretches(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing(
    stretch: tuple[list[Record], dict[int, tuple[date, int]], datetime], random: Any
) -> None:
    """Bars and rejects are the same for every order of the raw rows, even where the source has no key."""
    records, last, now = stretch
    records = records + records[:3]
    one, other = build(records, last, now), build(random.sample(records, len(records)), last, now)
    assert as_records(one.bars) == as_records(other.bars)
    assert as_records(one.rejects) == as_records(other.rejects)


@given(stretches(), st.integers(0, 15))
def test_a_stretch_in_two_parts(stretch: tuple[list[Record], dict[int, tuple[date, int]], datetime], days: int) -> None:
    """Reading up to a day and going on from the bars before it gives what reading everything at once gives."""
    records, last, now = stretch
    border = (FIRST + timedelta(days=days)).date()
    early = [raw for raw in records if raw["day"] is None or raw["day"] < border]
    late = [raw for raw in records if raw["day"] is not None and raw["day"] >= border]
    one = build(early, last, now)
    after = last | {bar["id"]: (bar["day"], bar["bar_seq"]) for bar in as_records(one.bars)}
    two, whole = build(late, after, now), build(records, last, now)
    parts = as_records(one.bars) + as_records(two.bars)
    assert sorted(parts, key=by_time) == as_records(whole.bars)
    refused = as_records(one.rejects) + as_records(two.rejects)
    assert sorted(refused, key=by_time) == as_records(whole.rejects)


@given(stretches())
def test_rejects_have_a_key(stretch: tuple[list[Record], dict[int, tuple[date, int]], datetime]) -> None:
    """Each raw row is one bar or one reject, and no two rejects share id, timestamp, reason and copy."""
    records, last, now = stretch
    records = records + records
    result = build(records, last, now)
    rejects = as_records(result.rejects)
    assert len(rejects) + len(result.bars["id"]) == len(records)
    assert len({by_time(reject) for reject in rejects}) == len(rejects)


# What neither answers nor oracle show


def test_columns_and_types() -> None:
    """The columns are those of the two tables, and their widths those that PostgreSQL expects."""
    result = build([read_raw({"day": "2024-03-05", "raw": raw}) for raw in ("", "id=2 open=NULL")], {})
    kinds = {name: column.dtype.str[1:] for name, column in result.bars.items()}
    assert {name for name, kind in kinds.items() if kind == "M8[us]"} == {
        "timestamp", "time_open", "time_close", "time_high", "time_low", "src_load_ts",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind == "f8"} == {
        "open", "high", "low", "close", "volume", "market_cap",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind == "b1"} == {
        "is_partial_start", "is_partial_end", "is_missing_days", *FLAGS,
    }  # fmt: skip
    assert {name: kinds[name] for name in ("id", "bar_seq", "count_missing_days", "day", "tf")} == {
        "id": "i4", "bar_seq": "i8", "count_missing_days": "i4", "day": "M8[D]", "tf": "S2",
    }  # fmt: skip
    assert set(kinds) >= {"src_name", "src_file"}
    assert len(kinds) == 26
    assert list(result.rejects) == ["id", "timestamp", "reason", "copy", *TIMES, *NUMBERS]
    assert result.rejects["copy"].dtype == np.int32


def test_nothing_in() -> None:
    """No raw rows give no bars and no rejects, in the same columns and types as ever."""
    none, some = build([], {1: (date(2024, 3, 4), 5)}), build([read_raw({"day": "2024-03-05", "raw": ""})], {})
    for empty, usual in ((none.bars, some.bars), (none.rejects, some.rejects)):
        assert {name: (column.shape, column.dtype.kind) for name, column in empty.items()} == {
            name: ((0,), column.dtype.kind) for name, column in usual.items()
        }


def test_null_is_masked_in_rejects_and_nan_is_not() -> None:
    """A reject keeps apart what was NULL and what was NaN."""
    raw = read_raw({"day": "2024-03-05", "raw": "open=NULL high=NaN volume=NaN marketcap=NULL"})
    rejects = build([raw], {}).rejects
    columns = {name: rejects[name] for name in NUMBERS}
    assert all(isinstance(column, np.ma.MaskedArray) for column in columns.values())
    assert [name for name, column in columns.items() if column[0] is np.ma.masked] == ["open", "marketcap"]
    assert [name for name, column in columns.items() if is_nan(column[0])] == ["high", "volume"]


def test_arguments_stay_as_they_are() -> None:
    """Neither the raw rows nor the bars before them are changed."""
    lines = CASES["assets interleaved"] + CASES["marketcap minus zero"] + CASES["all repairs at once"]
    raw, before = as_raw([read_raw(line) for line in lines]), as_before({2: (date(2024, 3, 3), 1)})
    copies = [take(rows, slice(None)) for rows in (raw, before)]
    copies = [{name: column.copy() for name, column in rows.items()} for rows in copies]
    build_daily_bars(raw, before, now=np.datetime64(NOW, "us"))
    for rows, copy in zip((raw, before), copies, strict=True):
        assert {name: column.tobytes() for name, column in rows.items()} == {
            name: column.tobytes() for name, column in copy.items()
        }


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        *((name, datetime(2024, 3, 5, 3), None) for name in TIMES[2:]),  # noqa: DTZ001
        *((name, datetime(2024, 3, 5, 3), datetime(2024, 3, 5, 4)) for name in TIMES),  # noqa: DTZ001
        *((name, 12.0, 13.0) for name in NUMBERS),
        ("volume", 12.0, None),
        ("marketcap", None, np.nan),
        ("marketcap", np.nan, 7.0),
        ("name", "Coin", None),
        ("source_file", "a.csv", "b.csv"),
    ],
)
def test_ties_are_broken_by_every_column(column: str, one: Any, other: Any) -> None:
    """Two rows that differ in one column only give the same bar and reject, whichever comes first."""
    raw = read_raw({"day": "2024-03-05", "raw": ""})
    pair = [raw | {column: one}, raw | {column: other}]
    ahead, back = build(pair, {}), build(pair[::-1], {})
    assert as_records(ahead.bars) == as_records(back.bars)
    assert as_records(ahead.rejects) == as_records(back.rejects)


def test_clock_set_back_over_midnight() -> None:
    """Where a time zone returns to the day before, its last row stays and the days keep their order."""
    hours = (("2024-03-05", "02:00"), ("2024-03-06", "03:00"), ("2024-03-05", "03:30"))
    raw = [read_raw({"day": day, "raw": f"timestamp=2024-03-06T{hour}"}) for day, hour in hours]
    result = build(raw, {})
    assert [str(time)[11:16] for time in result.bars["timestamp"]] == ["03:30", "03:00"]
    assert list(result.bars["bar_seq"]) == [1, 2]
    assert list(result.rejects["reason"]) == [b"duplicate_day"]


@pytest.mark.parametrize("unit", ["D", "us", "ns"])
def test_clock_of_any_unit(unit: Any) -> None:
    """A clock in days or nanoseconds means the same moment, even beside a year that nanoseconds cannot hold."""
    lines = CASES["two days ahead of the clock"] + CASES["everything wrong"]
    raw = as_raw([read_raw(line) for line in lines] + [read_raw({"day": "9999-12-31", "raw": ""})])
    result = build_daily_bars(raw, as_before({}), now=np.datetime64(NOW, unit))
    assert [len(result.bars["id"]), len(result.rejects["id"])] == [1, 2]


@pytest.mark.parametrize("day", ["2024-03-05", "2024-03-06"])
def test_bar_that_does_not_follow(day: str) -> None:
    """A last bar on or after the first new day is an error that names the asset and both days."""
    raw = [read_raw({"day": "2024-03-05", "raw": f"id={asset}"}) for asset in (8, 9)]
    last = {8: (date(2024, 3, 4), 3), 9: (date.fromisoformat(day), 3)}
    with pytest.raises(ViolationError, match=f"asset 9 has a bar of 2024-03-05 .* its bar of {day}"):
        build(raw, last)
