"""Very many nights: whether time, tables, files, processes, sessions and shared memory stay as they are.

The server's autovacuum is on as in any embedded server. A night begins when the one before has ended, so that it has
seconds for what otherwise is done in a day. Each tenth night is a real program, and is looked at; in the others the
same builders work in this process, without the time that starting a dozen of them takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from bench.endurance import tables
from bench.endurance.few import refresh_here
from bench.endurance.tables import HISTORY
from bench.endurance.terms import Terms
from bench.endurance.traces import NAMES, Traces, Tracker, growth
from bench.endurance.vendor import Vendor
from bench.endurance.watching import Watch
from bench.figures import Figure, Goal, Unit
from bench.server import Bench, Database, Size
from refresh.store.history import DAYS_KEPT, forget_old
from refresh.store.tables import OUTCOMES

SIZE = Size(50, 365)
NIGHTS = 300
REAL = 10
"""Each night with such a number is a real program."""
BLOAT = 0.15
SLOWER = 0.25
CONNECTIONS = 8
_AGE = f"""
    UPDATE {OUTCOMES} SET noted_at = noted_at - make_interval(days => {DAYS_KEPT}) WHERE run_id = (
        SELECT run_id FROM {OUTCOMES} GROUP BY run_id ORDER BY min(noted_at) DESC OFFSET {DAYS_KEPT} LIMIT 1)
"""
"""A night takes a second or two here: what is a hundred of them old is made as old in days, once it is."""


@dataclass(kw_only=True, slots=True)
class _Course:
    """The number of nights, and what was seen in each tenth."""

    nights: int = 0
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    traces: list[Traces] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def measure(bench: Bench, terms: Terms) -> list[Figure]:
    """Build, let the nights pass, and compare with a build of what the price table then has."""
    size = bench.size(SIZE.assets, SIZE.days)
    with bench.built(size) as database:
        course = _pass(bench, database, terms)
        grown = tables.sizes(database)
        bench.say("building the same prices")
        with tables.rebuilt(bench, database) as fresh:
            note = f"{course.nights} nights of {size} with revisions, seed {terms.seed}"
            return [
                *_times(course, note),
                *_bloat(grown, tables.sizes(fresh)),
                _equal(database, fresh),
                *_traces(course),
            ]


def _pass(bench: Bench, database: Database, terms: Terms) -> _Course:
    vendor, course = Vendor(database.size, terms.seed), _Course()
    tracker = Tracker(bench, database)
    for number in terms.runs(NIGHTS, least=2 if terms.is_sample else REAL):
        course.nights = number
        vendor.night(number).apply(database.engine)
        with database.engine.begin() as connection:
            connection.execute(text(_AGE))
            forget_old(connection)
        if number % REAL == 0 or terms.is_sample:
            _look(bench, database, tracker, course)
        else:
            refresh_here(database)
    return course


def _look(bench: Bench, database: Database, tracker: Tracker, course: _Course) -> None:
    """Refresh with the real program, and note what it takes and leaves."""
    before = tracker.server_seconds()
    with Watch(database) as watch:
        usage = bench.refresh(database)
    course.traces.append(tracker.look())
    course.seconds.append(usage.seconds)
    course.cpu.append(usage.cpu + tracker.server_seconds() - before)
    course.memory.append(usage.peak)
    course.sessions.append(watch.sessions)
    total = sum(tables.sizes(database).values()) / 1e6
    bench.say(f"night {course.nights}: {usage.seconds:.1f} s, CPU {course.cpu[-1]:.1f} s, tables {total:,.0f} MB")


def _times(course: _Course, note: str) -> list[Figure]:
    return [
        Figure(name="a night", samples=course.seconds, unit=Unit.SECONDS, goal=Goal(60.0), note=note),
        slower("nights: CPU time, the last fifth / the first", course.cpu, SLOWER, Unit.SECONDS),
        slower("nights: largest process, the same", [peak / 1e6 for peak in course.memory], 0.1, Unit.MEGABYTES),
    ]


def slower(name: str, values: Sequence[float], most: float, unit: Unit) -> Figure:
    """The median of the last fifth of some values divided by that of the first."""
    part = max(len(values) // 5, 1)
    first, last = statistics.median(values[:part]), statistics.median(values[-part:])
    note = f"{unit.write(first)}, then {unit.write(last)}"
    return Figure(name=name, samples=[last / first], goal=Goal(1 + most), note=note)


def _bloat(grown: Mapping[str, int], fresh: Mapping[str, int]) -> list[Figure]:
    lasting = [name for name in grown if name not in HISTORY]
    worst = max(lasting, key=lambda name: grown[name] - fresh[name])
    history = sum(grown[name] for name in HISTORY) / 1e6
    return [
        _ratio("bytes of all tables / a fresh build", grown, fresh, list(grown), f"history of runs {history:,.1f} MB"),
        _ratio("the same without the history of runs", grown, fresh, lasting, f"most of it in {worst}"),
        _ratio(f"the table that grew most, {worst}", grown, fresh, [worst], ""),
    ]


def _ratio(name: str, grown: Mapping[str, int], fresh: Mapping[str, int], counted: list[str], note: str) -> Figure:
    ours, theirs = (sum(sizes[table] for table in counted) / 1e6 for sizes in (grown, fresh))
    words = "; ".join(filter(None, [f"{ours:,.1f} MB, fresh {theirs:,.1f} MB", note]))
    goal = Goal(1 + BLOAT) if len(counted) > 1 else None
    return Figure(name=name, samples=[ours / theirs], unit=Unit.PERCENT, goal=goal, note=words)


def _equal(database: Database, fresh: Database) -> Figure:
    others = tables.unlike_build(database, fresh)
    note = ", ".join(others) or "bars, averages and states"
    return Figure(name="tables that differ from it", samples=[len(others)], unit=Unit.COUNT, goal=Goal(0), note=note)


def _traces(course: _Course) -> list[Figure]:
    most = max(course.sessions)
    at_most = Figure(
        name="nights: sessions at once", samples=[most], unit=Unit.COUNT, goal=Goal(CONNECTIONS), note="at most"
    )
    return [at_most, *grown(course.traces, "nights")]


def grown(traces: Sequence[Traces], what: str) -> list[Figure]:
    """By how much each number of the traces is larger in the second half than it was in the first."""
    figures = []
    for name, words in NAMES.items():
        values = [getattr(each, name) for each in traces]
        note = f"{values[0]} after the first, {values[-1]} after the last, at most {max(values)}"
        figure = Figure(
            name=f"{what}: more {words}", samples=[growth(traces, name)], unit=Unit.COUNT, goal=Goal(0), note=note
        )
        figures.append(figure)
    return figures
