"""Bars and EMAs as arrays, judged by what psycopg2 reads row by row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, assert_type

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool
from statements import ask

import refresh
from refresh.catalog import legs
from refresh.errors import UsageError
from refresh.reading.frame import Frame

AAPL = 900000001
BARS = [
    ("cmc_price_bars_1d", "1D", None),
    ("cmc_price_bars_multi_tf", "7D", None),
    ("cmc_price_bars_multi_tf_cal_us", "1M_CAL", None),
    ("cmc_price_bars_multi_tf_cal_iso", "1M_CAL", "cal_iso"),
    ("cmc_price_bars_multi_tf_cal_anchor_us", "1W_CAL_ANCHOR_US", None),
    ("cmc_price_bars_multi_tf_cal_anchor_iso", "1W_CAL_ANCHOR_ISO", None),
]
EMAS = [
    ("cmc_ema_multi_tf", "7D", None),
    ("cmc_ema_multi_tf_cal_us", "1W_CAL_US", None),
    ("cmc_ema_multi_tf_cal_iso", "1M_CAL", "cal_iso"),
    ("cmc_ema_multi_tf_cal_anchor_us", "1M_CAL_ANCHOR", None),
    ("cmc_ema_multi_tf_cal_anchor_iso", "1W_CAL_ANCHOR_ISO", None),
    ("cmc_ema_multi_tf_v2", "7D", "v2"),
]
TEXTS = {"tf", "src_name", "src_file"}


@pytest.fixture(scope="module")
def engine(sample_url: str) -> Engine:
    """Sessions of a user of the database."""
    return create_engine(sample_url, poolclass=NullPool)


def columns(table: str) -> list[str]:
    """The columns that are read unless others are named."""
    (names,) = [[column.name for column in leg.shape.columns] for _, leg in legs() if leg.target == table]
    return [name for name in names if name not in TEXTS]


def expected(engine: Engine, table: str, where: str, order: str, names: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query, with NULL as ``None``."""
    listed = ", ".join(f'"{name}"' for name in names or columns(table))
    return ask(engine, f"SELECT {listed} FROM {table} WHERE {where} ORDER BY {order}")


def as_rows(frame: Frame) -> list[tuple[Any, ...]]:
    """The rows of a frame as psycopg2 has them."""
    lists = [[_value(value) for value in frame[name].tolist()] for name in frame]
    return list(zip(*lists, strict=True))


def _value(value: Any) -> Any:
    if isinstance(value, float) and np.isnan(value):
        return None
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


@pytest.mark.parametrize(("table", "tf", "family"), BARS)
def test_bars_of_every_table(db: refresh.Database, engine: Engine, table: str, tf: str, family: str | None) -> None:
    """Every column of every row has the value that is stored, open bars included."""
    frame = db.bars([AAPL], tf.lower(), family=family)
    assert_type(frame, refresh.Frame)
    assert (frame.table, frame.tf, frame.keys()) == (table, tf, columns(table))
    rows = as_rows(frame)
    assert rows == expected(engine, table, f"tf = '{tf}'", '"timestamp"')
    assert len(rows) == len(frame) > 1000


@pytest.mark.parametrize(("table", "tf", "family"), EMAS)
def test_emas_of_every_table(db: refresh.Database, engine: Engine, table: str, tf: str, family: str | None) -> None:
    """The same of EMAs, of all periods that are enabled."""
    frame = db.emas(None, tf, family=family)
    assert (frame.table, frame.tf, frame.keys()) == (table, tf, columns(table))
    rows = as_rows(frame)
    assert rows == expected(engine, table, f"tf = '{tf}'", "ts, period")
    assert len(rows) > 1000


def test_closed_bars(db: refresh.Database, engine: Engine) -> None:
    """Only canonical rows, of bars by one column and of EMAs by another."""
    weeks = db.bars("aapl", "1W_CAL_US", closed=True)
    closed = "tf = '1W_CAL_US' AND NOT is_partial_end"
    assert as_rows(weeks) == expected(engine, "cmc_price_bars_multi_tf_cal_us", closed, '"timestamp"')
    averages = db.emas("aapl", "1W_CAL_US", closed=True, periods=[10])
    closed = "tf = '1W_CAL_US' AND NOT roll AND period = 10"
    assert as_rows(averages) == expected(engine, "cmc_ema_multi_tf_cal_us", closed, "ts")
    assert 0 < len(averages) < len(weeks)


@pytest.mark.parametrize(
    ("since", "until", "where"),
    [
        ("2024-12-02", "2024-12-20", "\"timestamp\" >= '2024-12-02Z' AND \"timestamp\" < '2024-12-21Z'"),
        (date(2024, 12, 2), None, "\"timestamp\" >= '2024-12-02Z'"),
        (np.datetime64("2019-01"), np.datetime64("2019-01-03T23:59:59.999"), "\"timestamp\" < '2019-01-04Z'"),
        (None, datetime.fromisoformat("2019-01-03T23:59:59.998"), "\"timestamp\" < '2019-01-03Z'"),
        (None, datetime(2019, 1, 3, 23, 59, 59, 999000, UTC), "\"timestamp\" < '2019-01-04Z'"),
        ("2024-12-30T23:59:59.999+00:00", "2024-12-31", "\"timestamp\" >= '2024-12-30Z'"),
        ("2025-01-01", None, "false"),
    ],
)
def test_times(db: refresh.Database, engine: Engine, since: Any, until: Any, where: str) -> None:
    """A day counts as a whole and a moment as itself; both ends are included."""
    frame = db.bars("AAPL", "1D", since=since, until=until)
    assert as_rows(frame) == expected(engine, "cmc_price_bars_1d", where, '"timestamp"')


def test_columns(db: refresh.Database, engine: Engine) -> None:
    """The key and what is named, in the order of the table; texts are ``str``, and ``None`` for NULL."""
    frame = db.bars("AAPL", "1D", columns=["src_name", "close", "src_file", "id"])
    assert frame.keys() == ["id", "timestamp", "close", "src_name", "src_file"]
    assert as_rows(frame) == expected(engine, "cmc_price_bars_1d", "true", '"timestamp"', frame.keys())
    assert db.bars("AAPL", "1D", columns="close").keys() == ["id", "timestamp", "close"]
    assert db.emas("AAPL", "7D", columns=[]).keys() == ["id", "ts", "period"]


def test_null(db: refresh.Database) -> None:
    """NULL is NaN in numbers and NaT in days."""
    emas = db.emas("AAPL", "7D", periods=10)
    np.testing.assert_array_equal(np.isnan(emas["d1"][:5]), [True] * 5)
    days = db.bars("AAPL", "1W_CAL_ISO", since="2019-01-14", until="2019-01-22")["first_missing_day"]
    assert days.dtype == "M8[D]"
    assert days.astype(str).tolist() == ["NaT"] * 5 + ["2019-01-21"]


def test_types(db: refresh.Database) -> None:
    """The types that the class documents."""
    frame = db.bars("AAPL", "7D", until="2019-01-02")
    kinds = {name: frame[name].dtype.str.lstrip("<|") for name in frame}
    assert (kinds["id"], kinds["bar_seq"], kinds["close"], kinds["is_partial_end"]) == ("i4", "i8", "f8", "b1")
    assert (kinds["timestamp"], kinds["first_missing_day"]) == ("M8[us]", "M8[D]")
    assert {frame[name].shape for name in frame} == {(1,)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("APPL", "1D"), "assets 'APPL': no such symbol in dim_asset; nearest: AAPL"),
        (([AAPL, 7], "1D"), "assets 7: without daily bars; nearest: 900000001"),
        (("AAPL,7,8", "1D"), "assets 7, 8: without daily bars; nearest: 900000001"),
        (([1.5], "1D"), "assets 1.5: not a whole number"),
        (["", "1D"], "assets '': neither an id nor a symbol; say None for all assets"),
        (("AAPL", 7), "timeframe '7': no such timeframe in bars; nearest: 7D"),
        (("AAPL", "8D"), "timeframe '8D': no such timeframe in bars; nearest: 1D, 2D, 7D"),
        (
            ("AAPL", "1W"),
            (
                "timeframe '1W': several are of this length, 1W_CAL_US, 1W_CAL_ISO, 1W_CAL_ANCHOR_US, "
                "1W_CAL_ANCHOR_ISO; name one of them, or family='cal_us', family='cal_iso', family='cal_anchor_us', "
                "family='cal_anchor_iso'"
            ),
        ),
    ],
)
def test_what_does_not_exist(db: refresh.Database, arguments: tuple[Any, str], message: str) -> None:
    """One line names the parameter, the value, and what may be meant."""
    with pytest.raises(UsageError) as caught:
        db.bars(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "cal"}, "family 'cal': no such family of emas; nearest: cal_us, cal_iso, cal_anchor_us"),
        ({"periods": [10, 21]}, "periods 21: no such period in dim_period; nearest: 10, 20"),
        ({"periods": "10"}, "periods '10': not a whole number"),
        ({"columns": ["emma"]}, "columns 'emma': no such column; nearest: ema"),
        (
            {"since": "2024-02-30"},
            ("since: '2024-02-30' is neither a day such as 2024-01-31 nor a time such as 2024-01-31T16:00"),
        ),
        ({"until": 2024}, "until 2024: neither a day nor a time; write it as '2024-01-31' or as a datetime"),
        ({"until": date.max}, "until 9999-12-31: outside of the years 1 to 9999; leave it out"),
    ],
)
def test_options_that_do_not_exist(db: refresh.Database, options: dict[str, Any], message: str) -> None:
    """The same for what is given by name."""
    with pytest.raises(UsageError) as caught:
        db.emas("AAPL", "7D", **options)
    assert str(caught.value) == message
