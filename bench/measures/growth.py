"""Whether the time per row stays the same when assets and histories grow."""

from __future__ import annotations

import statistics

from bench import former
from bench.figures import Figure, Goal, Unit, spread
from bench.server import Bench, Size, checkpoint

SIZES = ((10, 500), (10, 2000), (20, 1000), (40, 500), (40, 2000))
"""Assets and days: the middle, and the corners around it."""
SMALLEST = Size(1, 30)
"""A build of so little that its time is the fixed cost of a run that starts every builder."""


def measure(bench: Bench) -> list[Figure]:
    """How far the times per row are apart, without the fixed cost."""
    sizes = list(dict.fromkeys(bench.size(assets, days) for assets, days in SIZES))
    samples: dict[Size, list[float]] = {size: [] for size in (SMALLEST, *sizes)}
    rows: dict[Size, int] = {}
    for _ in range(bench.pairs):
        for size, seconds in samples.items():
            measured, rows[size] = _build(bench, size)
            seconds.append(measured)
    fixed = statistics.median(samples[SMALLEST])
    per_row = {size: (statistics.median(samples[size]) - fixed) / rows[size] for size in sizes}
    return [_figure(per_row, fixed)]


def _build(bench: Bench, size: Size) -> tuple[float, int]:
    """The seconds of a build, and the number of its rows."""
    with bench.database(size) as database:
        bench.say(f"building {size}")
        checkpoint(database)
        return bench.refresh(database).seconds, former.count(database, asset=1) * size.assets


def _figure(per_row: dict[Size, float], fixed: float) -> Figure:
    fastest, slowest = min(per_row, key=per_row.__getitem__), max(per_row, key=per_row.__getitem__)
    extremes = " to ".join(f"{per_row[size] * 1e6:.2f} us a row ({size})" for size in (fastest, slowest))
    return Figure(
        name="growth: spread of the time per row",
        samples=[spread(list(per_row.values()))],
        unit=Unit.PERCENT,
        goal=Goal(0.1),
        note=f"{extremes}, beside {fixed:.2f} s a run",
    )
