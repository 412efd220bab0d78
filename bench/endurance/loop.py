"""Very many refreshes one after the other, whether something leaks: files, processes, sessions, memory.

Of four, two have new days and corrections, one has nothing to do and writes a page, a document and metrics, and one
starts an embedded server of its own and stops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import programs
from bench.endurance.few import built, prepared
from bench.endurance.nights import grown, slower
from bench.endurance.terms import Terms
from bench.endurance.traces import Traces, Tracker
from bench.endurance.vendor import Vendor
from bench.endurance.watching import Watch
from bench.figures import Figure, Goal, Unit
from bench.server import Bench, Database, Size

SIZE = Size(4, 365)
REFRESHES = 200
LARGER = 0.1
EMBEDDED = ""
"""Instead of a URL."""
BESIDE = ("--json", "run.json", "--metrics", "metrics.prom", "--html", "report.html")


@dataclass(kw_only=True, slots=True)
class _Course:
    """What was seen after each refresh, and in those that had something to do."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    traces: list[Traces] = field(default_factory=list)
    memory: list[dict[str, int]] = field(default_factory=list)
    servers: int = 0


def measure(bench: Bench, terms: Terms) -> list[Figure]:
    """Let the refreshes pass, and compare the last with the first."""
    embedded = _folder(bench)
    with prepared(bench) as template, built(bench, SIZE, template) as database:
        bench.say("an embedded server")
        programs.load(EMBEDDED, embedded, "--sample")
        programs.refresh(EMBEDDED, embedded)
        course = _pass(bench, database, embedded, terms)
    note = (
        f"{len(course.traces)} refreshes, of which {course.servers} start and stop a server; {SIZE}, seed {terms.seed}"
    )
    return [
        Figure(name="a refresh of the loop", samples=course.seconds, unit=Unit.SECONDS, goal=Goal(60.0), note=note),
        slower("loop: CPU time, the last fifth / the first", course.cpu, 0.25, Unit.SECONDS),
        *(_memory(course.memory, kind) for kind in course.memory[0]),
        *grown(course.traces, "loop"),
    ]


def _folder(bench: Bench) -> Path:
    """A folder for the embedded server, which the user that runs it can enter."""
    folder = bench.directory / "embedded"
    folder.mkdir()
    folder.chmod(0o711)
    (folder / "tmp").mkdir()
    return folder


def _pass(bench: Bench, database: Database, embedded: Path, terms: Terms) -> _Course:
    vendor, course = Vendor(database.size, terms.seed), _Course()
    tracker = Tracker(bench, database, embedded)
    for number in terms.runs(REFRESHES, least=4):
        match number % 4:
            case 0:
                programs.refresh(EMBEDDED, embedded)
                course.servers += 1
            case 2:
                bench.refresh(database, *BESIDE)
            case _:
                vendor.night(number).apply(database.engine)
                with Watch(database) as watch:
                    usage = bench.refresh(database)
                course.seconds.append(usage.seconds)
                course.cpu.append(usage.cpu)
                course.memory.append(watch.memory)
        course.traces.append(tracker.look())
        if number % 25 == 0:
            bench.say(f"refresh {number}: {course.seconds[-1]:.1f} s")
    return course


def _memory(memory: Sequence[dict[str, int]], kind: str) -> Figure:
    sizes = [each[kind] / 1e6 for each in memory if each[kind]]
    return slower(f"loop: memory of the {kind}, the same", sizes, LARGER, Unit.MEGABYTES)
