"""What one corrected price costs: a day five years back, in one asset of many."""

from __future__ import annotations

import statistics
from datetime import timedelta

from sqlalchemy import text

from bench import former
from bench.figures import Figure, Goal
from bench.measures.night import append
from bench.server import Bench, Database, last_time
from refresh.catalog import SOURCE

DAYS_BACK = 5 * 365 + 1
_REVISE = f'UPDATE {SOURCE} SET close = close + 0.01 WHERE id = :id AND "timestamp" = :time'


def measure(bench: Bench) -> list[Figure]:
    """The time beyond the fixed cost of a run, compared with those rows' share of the time of a rebuild."""
    database = bench.shared(bench.size(20, 3000))
    bench.say("revising a day five years back")
    day = last_time(database) - timedelta(days=DAYS_BACK)
    idle, short, revised = [], [], []
    for number in range(bench.pairs):
        asset = 1 + number % database.size.assets
        idle.append(bench.refresh(database).seconds)
        append(database, [asset])
        short.append(bench.refresh(database).seconds)
        with database.engine.begin() as connection:
            connection.execute(text(_REVISE), {"id": asset, "time": day})
        revised.append(bench.refresh(database, "--accept-restatement").seconds)
    rows = former.count(database, asset=1, since=day)
    return [
        _figure(database, "a run with nothing to do", revised, statistics.median(idle), rows=rows, goal=Goal(1.5)),
        _figure(database, "a night of that asset alone", revised, statistics.median(short), rows=rows),
    ]


def _figure(
    database: Database, what: str, revised: list[float], fixed: float, *, rows: int, goal: Goal | None = None
) -> Figure:
    """``what`` takes ``fixed`` seconds. ``rows``: those of the revised asset from the day on."""
    assert database.build
    share = rows / (former.count(database, asset=1) * database.size.assets)
    rebuild = database.build.seconds
    note = (
        f"1 asset of {database.size}: {statistics.median(revised):.2f} s, {what} {fixed:.2f} s, "
        f"{share:.1%} of a build of {rebuild:.1f} s"
    )
    return Figure(
        name=f"a day five years back, beyond {what} / share of a rebuild",
        samples=[(seconds - fixed) / (share * rebuild) for seconds in revised],
        goal=goal,
        note=note,
    )
