"""EMAs of an asset with pandas: ``resample``, ``ewm``, ``to_sql(method="multi")``."""

from __future__ import annotations

import pandas as pd

from bench.former import SCHEMA
from bench.measures.frames import FEW_SERIES, TABLE
from bench.server import Database
from refresh.catalog import SOURCE

ROWS_AT_ONCE = 1000


def write(database: Database) -> int:
    """Write the EMAs of a few series."""
    query = f'SELECT "timestamp" AS ts, close FROM {SOURCE} WHERE id = 1 ORDER BY "timestamp"'
    closes = pd.read_sql(query, database.engine, index_col="ts")["close"]
    closes = closes.tz_localize(
        None
    )  # without a time zone days can be counted from the first one; the session's is UTC
    written = 0
    for days, period in FEW_SERIES:
        emas = _emas(closes, days, period)
        emas.to_sql(
            TABLE,
            database.engine,
            schema=SCHEMA,
            if_exists="append",
            index=False,
            method="multi",
            chunksize=ROWS_AT_ONCE,
        )
        written += len(emas)
    return written


def _emas(closes: pd.Series, days: int, period: int) -> pd.DataFrame:
    alpha = 2 / (period + 1)
    bars = closes.resample(f"{days}D", origin="start", closed="left").last()
    of_bars = bars.ewm(span=period, adjust=False).mean()
    bar_before = of_bars.shift().reindex(closes.index, method="ffill").bfill()
    ema = alpha * closes + (1 - alpha) * bar_before
    position = pd.RangeIndex(1, len(closes) + 1)
    is_canonical = position % days == 0
    rows = pd.DataFrame({"id": 1, "tf": f"{days}D", "ts": closes.index, "period": period, "tf_days": days})
    rows["roll"] = ~is_canonical
    rows["ema"] = ema.to_numpy()
    rows["d1_roll"] = rows["ema"].diff()
    rows["d2_roll"] = rows["d1_roll"].diff()
    rows["d1"] = rows["ema"].where(is_canonical).dropna().diff()
    rows["d2"] = rows["d1"].dropna().diff()
    return rows
