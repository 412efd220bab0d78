"""A night of very many assets with short histories."""

from __future__ import annotations

from bench.figures import Figure, Goal, Unit
from bench.measures.night import night
from bench.server import Bench


def measure(bench: Bench) -> list[Figure]:
    """The seconds of nights."""
    size = bench.size(10_000, 60)
    with bench.built(size) as database:
        bench.say("nights of many assets")
        seconds = [night(bench, database).seconds for _ in range(bench.pairs)]
    return [Figure(name="a night of many assets", samples=seconds, unit=Unit.SECONDS, goal=Goal(25.0), note=str(size))]
