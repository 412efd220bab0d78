"""First builds and nights of tables with 1, 4 and 16 partitions, in turn."""

from __future__ import annotations

from bench.figures import Figure, Unit, ratios
from bench.measures.night import night
from bench.server import Bench, checkpoint, settle

NUMBERS = (1, 4, 16)
"""The numbers of partitions; the first one is a table without any."""


def measure(bench: Bench) -> list[Figure]:
    """The seconds of each, and how they compare with a table without partitions."""
    builds: dict[int, list[float]] = {number: [] for number in NUMBERS}
    nights: dict[int, list[float]] = {number: [] for number in NUMBERS}
    for _ in range(bench.pairs):
        for number in NUMBERS:
            build, after = _one(bench, number)
            builds[number].append(build)
            nights[number].append(after)
    return [*_figures("first build", builds), *_figures("a night", nights)]


def _one(bench: Bench, number: int) -> tuple[float, float]:
    """The seconds of a first build, and of the night after it."""
    with bench.database(bench.size(300, 300)) as database:
        bench.say(f"{database.size}, partitions: {number}")
        checkpoint(database)
        build = bench.refresh(database, "--partitions", str(number)).seconds
        settle(database)
        return build, night(bench, database).seconds


def _figures(name: str, seconds: dict[int, list[float]]) -> list[Figure]:
    figures = []
    for number, samples in seconds.items():
        without = ratios(samples, seconds[NUMBERS[0]])
        note = f"{sorted(without)[len(without) // 2]:.2f} of that without partitions"
        figures.append(Figure(name=f"{name}, partitions: {number}", samples=samples, unit=Unit.SECONDS, note=note))
    return figures
