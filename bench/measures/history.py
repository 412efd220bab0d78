"""Whether a night costs more when histories are long."""

from __future__ import annotations

import statistics

from bench.figures import Figure, Goal, ratios
from bench.measures.night import night
from bench.server import Bench


def measure(bench: Bench) -> list[Figure]:
    """The ratio of nights over long and short histories of the same assets, in turn."""
    short_size, long_size = bench.size(100, 300), bench.size(100, 1500)
    with bench.built(short_size) as short, bench.built(long_size) as long:
        bench.say("nights over short and long histories")
        nights = [(night(bench, long).seconds, night(bench, short).seconds) for _ in range(bench.pairs)]
    of_long, of_short = zip(*nights, strict=True)
    note = f"{long_size} {statistics.median(of_long):.2f} s, {short_size} {statistics.median(of_short):.2f} s"
    return [Figure(name="a night with 1,500 days / 300", samples=ratios(of_long, of_short), goal=Goal(1.15), note=note)]
