"""The memory of the largest process of any refresh: of a very long history, of very many series, and of all before."""

from __future__ import annotations

from sqlalchemy import text

from bench.figures import Figure, Goal, Unit
from bench.server import Bench, Database, Size
from refresh.store.schema import prepare

LONGEST = Size(1, 24_500)
MOST_SERIES = Size(3, 400)
CROWD = Size(2000, 60)
_TIMEFRAMES = """
    INSERT INTO dim_timeframe (tf, base_unit, tf_qty, tf_days_nominal, alignment, sort_order)
    SELECT n || 'D', base_unit, n, n, alignment, sort_order
    FROM generate_series(2, 121) n, (SELECT * FROM dim_timeframe WHERE tf = '7D') t
    ON CONFLICT DO NOTHING
"""
_PERIODS = """
    INSERT INTO dim_period (period, sort_order) SELECT n, n FROM unnest(ARRAY[5, 40, 70]) n ON CONFLICT DO NOTHING
"""


def measure(bench: Bench) -> list[Figure]:
    """The peak over every refresh of this bench."""
    for size in (LONGEST, CROWD):
        with bench.database(bench.size(size.assets, size.days)) as database:
            bench.say(f"the memory of {database.size}")
            bench.refresh(database)
    with bench.database(MOST_SERIES) as database:
        bench.say(f"the memory of {database.size} with many series")
        _add_series(database)
        bench.refresh(database)
    largest = max(bench.peaks, key=bench.peaks.__getitem__)
    least = min(bench.peaks.values()) / 1e6
    return [
        Figure(
            name="peak memory of any process",
            samples=[bench.peaks[largest] / 1e6],
            unit=Unit.MEGABYTES,
            goal=Goal(200.0),
            note=f"{largest}, the most of {len(bench.peaks)} sizes; the least is {least:.0f} MB",
        )
    ]


def _add_series(database: Database) -> None:
    """Enable at least 120 rolling timeframes and ten periods."""
    with database.engine.begin() as connection:
        prepare(connection)
        connection.execute(text(_TIMEFRAMES))
        connection.execute(text(_PERIODS))
