"""Very many assets, once through everything that a user can ask for: rows, time, memory, disk, sessions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from bench import former, programs
from bench.endurance.terms import Terms
from bench.endurance.watching import Watch
from bench.figures import Figure, Goal, Unit
from bench.measures.night import append
from bench.programs import Usage
from bench.server import Bench, Database, checkpoint, written_log

ASSETS, DAYS = 5000, 400
MEMORY = 500.0
"""The most megabytes of a process: what the assets themselves need comes beside what a batch needs."""
CONNECTIONS = 8
MINUTE = 60.0
ASKED: dict[str, tuple[tuple[str, ...], float]] = {
    "nothing to do": (("--all", "--quiet"), 15.0),
    "dry run": (("--all", "--dry-run", "--quiet"), 15.0),
    "check": (("--check", "--max-age", "20000d"), 15.0),
    "explain an asset": (("--explain", "1"), 5.0),
    "metrics": (("--metrics", "metrics.prom"), 15.0),
    "digest": (("--digest",), 15.0),
    "page": (("--html", "report.html"), 2 * MINUTE),
    "validate": (("--validate",), 25 * MINUTE),
}
"""What is asked for after a night, with the seconds that it may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What a command used, and the most sessions that it had at once."""

    usage: Usage
    sessions: int
    log: int


def measure(bench: Bench, terms: Terms) -> list[Figure]:  # noqa: ARG001 - the prices are those of every bench
    """Build, let a night pass, and ask for everything else."""
    with bench.database(bench.size(ASSETS, DAYS)) as database:
        checkpoint(database)
        bench.say(f"building {database.size}")
        seen = {"first build": _watched(bench, database, "--all", "--quiet")}
        figures = _build(database, seen["first build"])
        append(database, range(1, database.size.assets + 1))
        checkpoint(database)
        bench.say("a night")
        seen["a night"] = night = _watched(bench, database, "--all", "--quiet")
        figures.append(_time("a night", night, 2 * MINUTE, f"WAL {night.log / 1e6:,.0f} MB"))
        for name, (arguments, limit) in ASKED.items():
            bench.say(name)
            seen[name] = _watched(bench, database, *arguments)
            figures.append(_time(name, seen[name], limit))
        return [*figures, *_most(seen)]


def _watched(bench: Bench, database: Database, *arguments: str) -> _Seen:
    before = written_log(database)
    with Watch(database) as watch:
        usage = programs.daily(database.url, bench.directory, *arguments)
    return _Seen(usage=usage, sessions=watch.sessions, log=written_log(database) - before)


def _build(database: Database, build: _Seen) -> list[Figure]:
    rows = former.count(database, asset=1) * database.size.assets
    with database.engine.connect() as connection:
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    speed = f"{database.size}: {rows:,} rows, {rows / build.usage.seconds:,.0f} rows/s"
    disk = {"the database on disk": (size, 60_000), "WAL of the first build": (build.log, 80_000)}
    return [
        _time("first build", build, 25 * MINUTE, speed),
        *(_megabytes(name, size / 1e6, limit) for name, (size, limit) in disk.items()),
    ]


def _time(name: str, seen: _Seen, limit: float, note: str = "") -> Figure:
    memory = f"{seen.usage.peak / 1e6:,.0f} MB at most, {seen.usage.cpu:,.1f} s of CPU"
    words = "; ".join(filter(None, [note, memory]))
    return Figure(name=f"once: {name}", samples=[seen.usage.seconds], unit=Unit.SECONDS, goal=Goal(limit), note=words)


def _megabytes(name: str, size: float, limit: float, note: str = "") -> Figure:
    return Figure(name=f"once: {name}", samples=[size], unit=Unit.MEGABYTES, goal=Goal(limit), note=note)


def _most(seen: dict[str, _Seen]) -> list[Figure]:
    largest = max(seen, key=lambda name: seen[name].usage.peak)
    busiest = max(seen, key=lambda name: seen[name].sessions)
    return [
        _megabytes("largest process", seen[largest].usage.peak / 1e6, MEMORY, f"of: {largest}"),
        Figure(
            name="once: sessions at once",
            samples=[seen[busiest].sessions],
            unit=Unit.COUNT,
            goal=Goal(CONNECTIONS),
            note=f"of: {busiest}",
        ),
    ]
