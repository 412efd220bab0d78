"""The same EMAs by the means of most people: pandas with ``to_sql``, and polars with a COPY of CSV. One asset.

Both compute what ``cmc_ema_multi_tf`` holds, a preview while a bar forms, and write it into the plain table of that
shape. They are compared per value, an EMA with its differences; pandas, which is slow, is measured on fewer series.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product

from bench import former
from bench.figures import Figure, Goal, Unit, ratios
from bench.server import Bench, Database, Size, checkpoint
from refresh.core.timeframe import DEFAULT_PERIODS, ROLLING_DAYS

SIZE = Size(1, 5000)
SERIES = list(product(ROLLING_DAYS, DEFAULT_PERIODS))
FEW_SERIES = [(days, period) for days, period in SERIES if days in {7, 30} and period in {10, 20}]
TABLE = "cmc_ema_multi_tf"
GOALS = {"pandas": Goal(100.0, is_least=True), "polars": Goal(1.0, is_least=True)}
Write = Callable[[Database], int]
"""Computes and writes values. Returns how many."""


def measure(bench: Bench) -> list[Figure]:
    """How many times as fast a refresh is, per value; of those libraries that are installed."""
    writers = {name: _writer(name) for name in GOALS if find_spec(name)}
    for name in GOALS.keys() - writers.keys():
        bench.say(f"{name} is not installed, so it is not measured; make check installs requirements-dev.txt")
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(bench.pairs if writers else 0):
        with bench.database(SIZE) as database:
            bench.say(f"a refresh, {' and '.join(writers)} of {SIZE}")
            checkpoint(database)
            seconds = bench.refresh(database).seconds
            ours.append(seconds / former.count(database, asset=1))
            for name, write in writers.items():
                theirs[name].append(_per_value(database, write))
    return [_figure(name, ours, theirs[name]) for name in writers]


def _writer(name: str) -> Write:
    """Loaded only if the library is there."""
    write: Write = importlib.import_module(f"bench.measures.frames_in_{name}").write
    return write


def _per_value(database: Database, write: Write) -> float:
    former.create(database)
    checkpoint(database)
    began = time.monotonic()
    values = write(database)
    return (time.monotonic() - began) / values


def _figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    speeds = " values/s, ".join(f"{1 / statistics.median(side):,.0f}" for side in (ours, theirs))
    return Figure(
        name=f"{name} / a refresh, time per value",
        samples=ratios(theirs, ours),
        unit=Unit.TIMES,
        goal=GOALS[name],
        note=f"{SIZE}: {speeds} by {name}",
    )
