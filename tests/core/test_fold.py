"""Rows finer than a day -> daily bars, against the resampling of pandas and DuckDB; and laws."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from core.raw_rows import NOW, Record, as_before, as_raw, as_records, build

from refresh.core.daily import DailyBars
from refresh.core.fold import build_folded_bars, fold, joined

FIRST = datetime(2024, 1, 1)  # noqa: DTZ001 - UTC throughout, as datetime64 is
CLOCK = np.datetime64(NOW, "us")
PRICES = ("open", "high", "low", "close")


def row(at: datetime, **values: Any) -> Record:
    """A row of half an hour that ends at a time."""
    return {
        "id": 1, "day": at.date(), "timestamp": at, "timeopen": at - timedelta(minutes=30), "timeclose": at,
        "timehigh": at - timedelta(minutes=10), "timelow": at - timedelta(minutes=20), "open": 10.0, "high": 12.0,
        "low": 9.0, "close": 11.0, "volume": 5.0, "marketcap": 100.0, "name": "A", "source_file": None,
        "load_ts": None, **values,
    }  # fmt: skip


def random_rows(seed: int, days: int = 12, per_day: int = 8) -> list[Record]:
    """Rows of some days, a few of them bad."""
    random = Random(seed)  # noqa: S311 - made-up prices
    records = []
    for position in range(days * per_day):
        at = FIRST + timedelta(days=position // per_day, hours=1 + position % per_day * 2)
        low, high = sorted(random.choices(range(1, 40), k=2))
        values: Record = {
            "open": float(random.randint(low, high)),
            "close": float(random.randint(low, high)),
            "high": float(high),
            "low": float(low),
            "volume": random.choice([None, 0.1, 0.2, 0.7, 3.0]),
            "marketcap": random.choice([None, 5.0, 6.0]),
        }
        if random.random() < 0.1:
            values |= random.choice([{"close": None}, {"open": 0.0}, {"volume": -1.0}])
        records.append(row(at, **values))
    return records


def folded(records: list[Record]) -> DailyBars:
    """The bars and rejects of these records, folded."""
    return build_folded_bars(fold(as_raw(records), now=CLOCK), as_before({}))


def good(records: list[Record]) -> pd.DataFrame:
    """The rows that are not bad, as pandas has them."""
    kept = [
        record for record in records
        if all((record[name] or 0) > 0 for name in PRICES) and (record["volume"] or 0) >= 0
    ]  # fmt: skip
    return pd.DataFrame(kept).astype({"volume": float, "marketcap": float})


@pytest.mark.parametrize("seed", range(8))
def test_pandas_resamples_the_same(seed: int) -> None:
    """Opens, extremes, closes, volumes, times and market caps are those of pandas' days."""
    records = random_rows(seed)
    bars = folded(records).bars
    frame = good(records).set_index("timestamp", drop=False)
    days = frame.resample("D").agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", lambda values: sum(values.dropna(), 0.0) if values.notna().any() else np.nan),
        market_cap=("marketcap", lambda values: values.iloc[-1]), timestamp=("timestamp", "last"),
        time_open=("timeopen", "first"), time_close=("timeclose", "last"),
        time_high=("high", lambda values: frame.loc[values.idxmax(), "timehigh"]),
        time_low=("low", lambda values: frame.loc[values.idxmin(), "timelow"]),
    )  # fmt: skip
    assert bars["day"].tolist() == [day.date() for day in days.index]
    for name in days.columns:
        expected = days[name].to_numpy(bars[name].dtype)
        np.testing.assert_array_equal(bars[name], expected, name)


@pytest.mark.parametrize("seed", range(8, 12))
def test_duckdb_groups_the_same(seed: int) -> None:
    """So are they those of DuckDB's aggregates; its sums may differ in the last bit."""
    records = random_rows(seed, days=30, per_day=5)
    bars = folded(records).bars
    database = duckdb.connect()
    database.register("frame", good(records))
    days = database.execute("""
        SELECT day, arg_min(open, timestamp), max(high), min(low), arg_max(close, timestamp), round(sum(volume), 9)
        FROM frame GROUP BY day ORDER BY day
    """).fetchall()
    volumes = [None if np.isnan(volume) else round(volume, 9) for volume in bars["volume"].tolist()]
    columns = [bars["day"].tolist(), *(bars[name].tolist() for name in PRICES), volumes]
    expected = [(day.date() if isinstance(day, datetime) else day, *values) for day, *values in days]
    assert list(zip(*columns, strict=True)) == expected


@pytest.mark.parametrize("seed", range(12, 18))
def test_order_and_parts_do_not_matter(seed: int) -> None:
    """Rows in any order, and days folded in parts, give the same bars and rejects."""
    records = random_rows(seed)
    whole = folded(records)
    shuffled = records.copy()
    Random(seed).shuffle(shuffled)  # noqa: S311 - any order
    assert as_records(folded(shuffled).bars) == as_records(whole.bars)
    parts = [fold(as_raw(records[begin : begin + 32]), now=CLOCK) for begin in range(0, len(records), 32)]
    in_parts = build_folded_bars(joined(parts), as_before({}))
    assert as_records(in_parts.bars) == as_records(whole.bars)
    assert as_records(in_parts.rejects) == as_records(whole.rejects)


@pytest.mark.parametrize("seed", range(18, 24))
def test_a_row_a_day_is_the_same_bar(seed: int) -> None:
    """Of one row a day, bars and rejects are those without folding, whatever has to be repaired."""
    random = Random(seed)  # noqa: S311 - made-up prices
    records = random_rows(seed, days=40, per_day=1)
    for record in records:
        record["timehigh"] = random.choice([None, record["timehigh"], record["timeopen"] - timedelta(days=1)])
        record["timelow"] = random.choice([None, record["timelow"], record["timeclose"] + timedelta(days=1)])
        record["high"] = random.choice([record["high"], 0.5])
    plain, as_days = build(records, {}), folded(records)
    assert as_records(as_days.bars) == as_records(plain.bars)
    assert as_records(as_days.rejects) == as_records(plain.rejects)


def only(bars: DailyBars) -> dict[str, Any]:
    """The only bar."""
    (bar,) = as_records(bars.bars)
    return bar


def test_times_of_extremes() -> None:
    """The row's own time if it is within the row, else its timestamp with a flag; of equal extremes the earliest."""
    one, two = FIRST + timedelta(hours=3), FIRST + timedelta(hours=4)
    bar = only(folded([row(one, high=20.0, timehigh=None), row(two, high=20.0, low=8.0)]))
    assert (bar["time_high"], bar["repaired_timehigh"]) == (one, True)
    assert (bar["time_low"], bar["repaired_timelow"]) == (two - timedelta(minutes=20), False)
    outside = only(folded([row(one, high=20.0, timehigh=two), row(two)]))
    assert (outside["time_high"], outside["repaired_timehigh"]) == (one, True)


def test_prices_are_repaired_row_by_row() -> None:
    """A close above its row's high is a price of the day, and the day's high is flagged."""
    one, two = FIRST + timedelta(hours=3), FIRST + timedelta(hours=4)
    bar = only(folded([row(one, close=50.0), row(two)]))
    assert (float.fromhex(bar["high"]), bar["repaired_high"], bar["repaired_low"]) == (50.0, True, False)


def test_rows_of_one_time() -> None:
    """Of rows at the same time the last loaded one counts, once; the others are rejected."""
    at = FIRST + timedelta(hours=3)
    early, late = datetime(2024, 2, 1), datetime(2024, 2, 2)  # noqa: DTZ001
    result = folded([row(at, volume=7.0, load_ts=late), row(at, load_ts=early), row(at + timedelta(hours=1))])
    assert float.fromhex(only(result)["volume"]) == 12.0
    assert [reject["reason"] for reject in as_records(result.rejects)] == ["duplicate_day"]


def test_times_that_contradict() -> None:
    """A first row that opens after the last one closes is no reason to lose the day."""
    one, two = FIRST + timedelta(hours=3), FIRST + timedelta(hours=4)
    late = FIRST + timedelta(hours=9)
    bar = only(folded([row(one, timeopen=late, timeclose=late), row(two)]))
    assert (bar["time_open"], bar["time_close"]) == (two - timedelta(minutes=30), late)


def test_nothing_to_fold() -> None:
    """Without a good row there is no bar."""
    result = folded([row(FIRST, open=None)])
    assert (as_records(result.bars), len(as_records(result.rejects))) == ([], 1)
