"""Prices of one asset without a gap, the beginning of many tests with a database."""

from __future__ import annotations

from sqlalchemy import Engine
from statements import execute

FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + extract(day FROM at) / 100, 1000
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day') AS day
    CROSS JOIN LATERAL (SELECT day + interval '1 day - 1 ms' AS at) AS d
"""


def fill(engine: Engine, asset: int, first: str, last: str) -> None:
    """A row for each day of an asset, at its last millisecond in UTC."""
    execute(engine, FILL, asset=asset, first=f"{first}Z", last=f"{last}Z")
