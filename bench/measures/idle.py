"""What it costs to learn that nothing is due: a run that starts no builder, and a dry run."""

from __future__ import annotations

from bench.figures import Figure, Goal, Unit
from bench.server import Bench


def measure(bench: Bench) -> list[Figure]:
    """The seconds of both, in turn."""
    database = bench.shared(bench.size(1000, 300))
    bench.refresh(database)
    bench.say("runs with nothing to do")
    runs, dry_runs = [], []
    for _ in range(bench.pairs):
        runs.append(bench.refresh(database).seconds)
        dry_runs.append(bench.refresh(database, "--dry-run").seconds)
    note = str(database.size)
    return [
        Figure(name="nothing to do", samples=runs, unit=Unit.SECONDS, goal=Goal(0.9), note=note),
        Figure(name="dry run", samples=dry_runs, unit=Unit.SECONDS, goal=Goal(0.8), note=note),
    ]
