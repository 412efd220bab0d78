"""EMAs of an asset with polars: ``group_by``, ``ewm_mean``, and a COPY of CSV."""

from __future__ import annotations

import io

import polars as pl

from bench.former import SCHEMA
from bench.measures.frames import SERIES, TABLE
from bench.server import Database
from refresh.catalog import SOURCE
from refresh.store.database import raw_cursor


def write(database: Database) -> int:
    """Write the EMAs of every series."""
    with database.engine.begin() as connection:
        query = f'SELECT "timestamp" AS ts, close FROM {SOURCE} WHERE id = 1 ORDER BY "timestamp"'
        closes = pl.read_database(query, connection)
        emas = pl.concat([_emas(closes, days, period) for days, period in SERIES]).sort("id", "ts", "tf", "period")
        csv = io.BytesIO()
        emas.write_csv(csv, include_header=False)
        csv.seek(0)
        with raw_cursor(connection) as cursor:
            columns = ", ".join(emas.columns)
            cursor.copy_expert(f"COPY {SCHEMA}.{TABLE} ({columns}) FROM STDIN (FORMAT csv)", csv)
    return len(emas)


def _emas(closes: pl.DataFrame, days: int, period: int) -> pl.DataFrame:
    alpha = 2 / (period + 1)
    position = pl.int_range(pl.len()) + 1
    numbered = closes.with_columns(bar=(position - 1) // days, roll=position % days != 0)
    bars = numbered.group_by("bar", maintain_order=True).agg(pl.col("close").last())
    before = bars.select("bar", before=pl.col("close").ewm_mean(span=period, adjust=False).shift().backward_fill())
    joined = numbered.join(before, on="bar", how="left", maintain_order="left")
    emas = joined.with_columns(ema=alpha * pl.col("close") + (1 - alpha) * pl.col("before"))
    canonical = emas.filter(~pl.col("roll")).select("ts", d1=pl.col("ema").diff())
    canonical = canonical.with_columns(d2=pl.col("d1").diff())
    emas = emas.join(canonical, on="ts", how="left", maintain_order="left")
    d1_roll = pl.col("ema").diff()
    return emas.select(
        pl.lit(1).alias("id"), pl.lit(f"{days}D").alias("tf"), "ts", pl.lit(period).alias("period"),
        pl.lit(days).alias("tf_days"), "roll", "ema", "d1", "d2",
        d1_roll.alias("d1_roll"), d1_roll.diff().alias("d2_roll"),
    )  # fmt: skip
