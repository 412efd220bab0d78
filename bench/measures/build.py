"""The speed of a first build, compared with what PostgreSQL can take: psql's binary COPY of the same logical rows."""

from __future__ import annotations

import statistics
import time

from bench import former
from bench.figures import Figure, Goal, ratios
from bench.server import Bench, Size, checkpoint


def measure(bench: Bench) -> list[Figure]:
    """The ratio of a build and of the copy into plain tables with their keys, in turn."""
    size = bench.size(60, 1000)
    builds, copies = [], []
    for number in range(bench.pairs):
        seconds, rows = _build(bench, size, is_first=number == 0)
        builds.append(seconds)
        copies.append(_copy(bench, size))
    ours, plain = statistics.median(builds), statistics.median(copies)
    note = f"{size}: {ours:.1f} s, {rows / ours:,.0f} rows/s; COPY {plain:.1f} s"
    return [Figure(name="first build / binary COPY", samples=ratios(builds, copies), goal=Goal(0.7), note=note)]


def _build(bench: Bench, size: Size, *, is_first: bool) -> tuple[float, int]:
    """The seconds of a build, and the number of its logical rows. The first one's rows are kept for the copies."""
    with bench.database(size) as database:
        bench.say(f"building {size}")
        checkpoint(database)
        seconds = bench.refresh(database).seconds
        if is_first:
            bench.say("encoding the same rows")
            former.dump(database, bench.directory)
        return seconds, former.count(database, asset=1) * size.assets


def _copy(bench: Bench, size: Size) -> float:
    """The seconds in which psql fills the plain tables."""
    with bench.database(size) as database:
        bench.say("copying the same rows")
        former.create(database)
        checkpoint(database)
        began = time.monotonic()
        former.load(database, bench.directory)
        return time.monotonic() - began
