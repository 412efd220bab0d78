"""Raw rows -> daily bars and rejects: answers by hand, columns, ties, clocks and errors."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
from core.raw_rows import (
    ANSWERS,
    CASES,
    FLAGS,
    NOW,
    Last,
    Record,
    as_bar,
    as_before,
    as_raw,
    as_records,
    as_reject,
    build,
    by_time,
    plain_record,
    read_raw,
    read_values,
)

from refresh.core.daily import NUMBERS, TIMES, Reason, build_daily_bars
from refresh.core.rows import Rows
from refresh.errors import SequenceError

# Answers by hand


def expected_of(line: Record, raw: Record) -> Record:
    """The bar or the reject that a line of the answers expects of its raw row."""
    values = read_values(line, "expected")
    raw = raw | {name: abs(raw[name]) for name in NUMBERS if raw[name] == 0}
    if line["outcome"] != "bar":
        return as_reject(raw, line["outcome"], values.get("copy", 1))
    if "market_cap" in values and values["market_cap"] is None:
        values["market_cap"] = np.nan
    return as_bar(raw) | values


@pytest.mark.parametrize("case", CASES)
def test_answer_by_hand(case: str) -> None:
    """Each case of the answers becomes the bars and rejects that it expects."""
    records: list[Record] = []
    last: Last = {}
    expected: dict[bool, list[Record]] = {True: [], False: []}
    for line in CASES[case]:
        raw = read_raw(line)
        if line["outcome"] == "before":
            last[raw["id"]] = (raw["day"], read_values(line, "expected")["bar_seq"])
        else:
            records.append(raw)
            expected[line["outcome"] == "bar"].append(expected_of(line, raw))
    result = build(records, last)
    assert as_records(result.bars) == [plain_record(bar) for bar in sorted(expected[True], key=by_time)]
    assert as_records(result.rejects) == [plain_record(reject) for reject in sorted(expected[False], key=by_time)]


def test_answers_cover_each_reason() -> None:
    """No reason of a reject is without an answer by hand."""
    assert {line["outcome"] for line in ANSWERS} == {*Reason, "bar", "before"}


def test_answers_cover_each_bad_price() -> None:
    """Each of the four prices is tried with each value that no price may have."""
    tried = {line["raw"] for line in ANSWERS}
    assert tried >= {f"{name}={bad}" for name in NUMBERS[:4] for bad in ("NULL", "NaN", "inf", "-inf", "0", "-0.5")}


def test_lines_of_a_case_are_consecutive() -> None:
    """The lines of a case are next to each other, as a reader expects."""
    cases = [line["case"] for line in ANSWERS]
    assert cases == sorted(cases, key=list(CASES).index)


# Columns


def names_by_type(rows: Rows, *types: str) -> set[str]:
    """The columns of these types."""
    return {name for name, column in rows.items() if column.dtype.str[1:] in types}


def test_columns_and_types() -> None:
    """The columns are those of the two tables, and their widths those that PostgreSQL expects."""
    result = build([read_raw({"day": "2024-03-05", "raw": raw}) for raw in ("", "id=2 open=NULL")], {})
    bars = result.bars
    flags = {"is_partial_start", "is_partial_end", "is_missing_days", *FLAGS}
    times = {"timestamp", "time_open", "time_close", "time_high", "time_low", "src_load_ts"}
    assert names_by_type(bars, "M8[us]") == times
    assert names_by_type(bars, "f8") == {"open", "high", "low", "close", "volume", "market_cap"}
    assert names_by_type(bars, "b1") == flags
    assert names_by_type(bars, "i4") == {"id", "count_missing_days"}
    assert names_by_type(bars, "i8") == {"bar_seq"}
    assert names_by_type(bars, "M8[D]") == {"day"}
    assert {name for name, column in bars.items() if column.dtype.kind == "S"} == {"tf", "src_name", "src_file"}
    assert len(bars) == 26
    assert list(result.rejects) == ["id", "timestamp", "reason", "copy", *TIMES, *NUMBERS]
    assert result.rejects["copy"].dtype == np.int32


def test_nothing_in() -> None:
    """No raw rows give no bars and no rejects, in the usual columns and types."""
    none = build([], {1: (date(2024, 3, 4), 5)})
    some = build([read_raw({"day": "2024-03-05", "raw": ""})], {})
    for empty, usual in ((none.bars, some.bars), (none.rejects, some.rejects)):
        kinds = {name: ((0,), column.dtype.kind) for name, column in usual.items()}
        assert {name: (column.shape, column.dtype.kind) for name, column in empty.items()} == kinds


def is_nan(value: float | None) -> bool:
    """Whether this is a NaN, which NULL is not."""
    return value is not None and np.isnan(value)


def test_null_is_masked_in_rejects_and_nan_is_not() -> None:
    """A reject distinguishes what was NULL from what was NaN."""
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
    bytes_before = [column.tobytes() for column in (*raw.values(), *before.values())]
    names_before = [*raw, *before]
    build_daily_bars(raw, before, now=np.datetime64(NOW, "us"))
    assert [*raw, *before] == names_before
    assert [column.tobytes() for column in (*raw.values(), *before.values())] == bytes_before


# Ties and clocks

THREE, FOUR = datetime(2024, 3, 5, 3), datetime(2024, 3, 5, 4)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        *((name, THREE, None) for name in TIMES[2:]),
        *((name, THREE, FOUR) for name in TIMES),
        *((name, 12.0, 13.0) for name in NUMBERS),
        ("volume", 12.0, None),
        ("marketcap", None, np.nan),
        ("marketcap", np.nan, 7.0),
        ("name", "Coin", None),
        ("source_file", "a.csv", "b.csv"),
    ],
)
def test_ties_are_broken_by_every_column(column: str, first: Any, second: Any) -> None:
    """Two rows that differ in one column only give the same bar and reject, whichever comes first."""
    raw = read_raw({"day": "2024-03-05", "raw": ""})
    pair = [raw | {column: first}, raw | {column: second}]
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
    records = [read_raw(line) for line in lines]
    records.append(read_raw({"day": "9999-12-31", "raw": ""}))
    result = build_daily_bars(as_raw(records), as_before({}), now=np.datetime64(NOW, unit))
    assert [len(result.bars["id"]), len(result.rejects["id"])] == [1, 2]


@pytest.mark.parametrize("day", ["2024-03-05", "2024-03-06"])
def test_bar_that_does_not_follow(day: str) -> None:
    """A last bar on or after the first new day is an error that names the asset and both days."""
    raw = [read_raw({"day": "2024-03-05", "raw": f"id={asset}"}) for asset in (8, 9)]
    last = {8: (date(2024, 3, 4), 3), 9: (date.fromisoformat(day), 3)}
    with pytest.raises(SequenceError, match=f"asset 9 has a bar of 2024-03-05 .* its bar of {day}"):
        build(raw, last)
