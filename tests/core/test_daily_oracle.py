"""Raw rows -> daily bars and rejects, all at once, against one row after another; and laws."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd
from core.raw_rows import (
    FIRST,
    Last,
    Record,
    Stretch,
    as_bar,
    as_records,
    as_reject,
    build,
    by_time,
    plain_record,
    stretches,
)
from hypothesis import given
from hypothesis import strategies as st

from refresh.core.daily import NUMBERS, DailyBars

# The oracle


def refuse_prices(prices: list[float | None]) -> str | None:
    """Why a row with this open, high, low and close is no bar."""
    given_prices = [price for price in prices if price is not None]
    if len(given_prices) < len(prices):
        return "null_ohlc"
    if not all(abs(price) < float("inf") for price in given_prices):
        return "nonfinite_ohlc"
    return "nonpositive_ohlc" if min(given_prices) <= 0 else None


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
    is_rising = raw["close"] >= raw["open"]
    for name, is_at_close in (("high", is_rising), ("low", not is_rising)):
        column, flag = f"time_{name}", f"repaired_time{name}"
        if bar[column] is None:
            bar |= {column: raw["timeclose"] if is_at_close else raw["timeopen"], flag: True}
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


def by_arrival(records: list[Record]) -> list[Record]:
    """The rows by timestamp, then load_ts, NULL first."""
    early = pd.Timestamp.min
    order = [(pd.Timestamp(row["timestamp"] or early), pd.Timestamp(row["load_ts"] or early)) for row in records]
    return [records[position] for position in pd.Series(order, dtype=object).sort_values(kind="stable").index]


def without_minus_zero(raw: Record) -> Record:
    """The row with 0.0 for -0.0."""
    return raw | {name: 0.0 for name in NUMBERS if raw[name] == 0}


def oracle(stretch: Stretch) -> tuple[list[Record], list[Record]]:
    """The bars and rejects of a stretch, one row after another."""
    zeros = [without_minus_zero(raw) for raw in by_arrival(stretch.records)]
    reasons = [refuse(raw, stretch.now) for raw in zeros]
    kept: dict[tuple[int, date], int] = {}
    for position, raw in enumerate(zeros):
        if reasons[position] is None:
            kept[raw["id"], raw["day"]] = position
    copies: Counter[tuple[Any, ...]] = Counter()
    rejects = []
    for position, raw in enumerate(zeros):
        if position not in kept.values():
            key = raw["id"], raw["timestamp"], reasons[position] or "duplicate_day"
            copies[key] += 1
            rejects.append(as_reject(raw, key[2], copies[key]))
    accepted = {key: zeros[position] for key, position in kept.items()}
    return number(accepted, stretch.last), sorted(rejects, key=by_time)


def number(accepted: dict[tuple[int, date], Record], last: Last) -> list[Record]:
    """The bars of the accepted rows of each asset and day, numbered from the last ones on."""
    bars, previous = [], dict(last)
    for asset, day in sorted(accepted):
        bar = repair(accepted[asset, day])
        if asset in previous:
            missing = len(pd.date_range(previous[asset][0], day, inclusive="neither"))
            bar["bar_seq"] = previous[asset][1] + 1
            bar |= {"is_missing_days": missing > 0, "count_missing_days": missing}
        previous[asset] = (day, bar["bar_seq"])
        bars.append(bar)
    return bars


@given(stretches(keyed=True))
def test_equals_the_oracle(stretch: Stretch) -> None:
    """The bars and rejects of all rows at once are those of one row after another."""
    result = stretch.build(stretch.records)
    bars, rejects = oracle(stretch)
    assert as_records(result.bars) == [plain_record(bar) for bar in bars]
    assert as_records(result.rejects) == [plain_record(reject) for reject in rejects]


# Laws


def assert_same(result: DailyBars, expected: DailyBars) -> None:
    """Fail where bars or rejects differ in a bit."""
    assert as_records(result.bars) == as_records(expected.bars)
    assert as_records(result.rejects) == as_records(expected.rejects)


@given(stretches(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing(stretch: Stretch, random: Random) -> None:
    """Bars and rejects are the same for every order of the raw rows, even where the source has no key."""
    records = stretch.records + stretch.records[:3]
    shuffled = random.sample(records, len(records))
    assert_same(stretch.build(records), stretch.build(shuffled))


@given(stretches(), st.integers(0, 15))
def test_a_stretch_in_two_parts(stretch: Stretch, days: int) -> None:
    """Reading up to a day and continuing from the bars before it gives what reading everything at once gives."""
    border = (FIRST + timedelta(days=days)).date()
    early = [raw for raw in stretch.records if raw["day"] is None or raw["day"] < border]
    late = [raw for raw in stretch.records if raw["day"] is not None and raw["day"] >= border]
    first = stretch.build(early)
    after = stretch.last | {bar["id"]: (bar["day"], bar["bar_seq"]) for bar in as_records(first.bars)}
    second = build(late, after, stretch.now)
    whole = stretch.build(stretch.records)
    bars = as_records(first.bars) + as_records(second.bars)
    assert sorted(bars, key=by_time) == as_records(whole.bars)
    rejects = as_records(first.rejects) + as_records(second.rejects)
    assert sorted(rejects, key=by_time) == as_records(whole.rejects)


@given(stretches())
def test_rejects_have_a_key(stretch: Stretch) -> None:
    """Each raw row is one bar or one reject, and no two rejects share id, timestamp, reason and copy."""
    records = stretch.records * 2
    result = stretch.build(records)
    rejects = as_records(result.rejects)
    assert len(rejects) + len(result.bars["id"]) == len(records)
    assert len({by_time(reject) for reject in rejects}) == len(rejects)
