"""Two refreshes at once, on prices that have just changed, very many times; then an ordinary one.

Three databases get the same prices. One has the races; another one has a single refresh for each, whose ledger is what
a revision should leave; the third is built from nothing each time, which is what tables and states should be. What is
compared with works in this process, builder after builder: only what races has to be real programs.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from bench import programs
from bench.endurance import tables
from bench.endurance.few import built, prepared, refresh_here
from bench.endurance.tables import copy_prices
from bench.endurance.terms import Terms
from bench.endurance.vendor import Vendor
from bench.figures import Figure, Goal, Unit
from bench.server import Bench, Database, Size
from refresh.errors import ExitCode

SIZE = Size(6, 90)
RACES = 100
PATIENCE = 300
"""Seconds in which two refreshes have long ended."""
OPTIONS: tuple[tuple[str, ...], ...] = ((), (), ("--wait-lock", "2m"), ("--jobs", "1"))
ALLOWED = {int(ExitCode.DONE), int(ExitCode.ALREADY_RUNNING)}


@dataclass(kw_only=True, slots=True)
class _Course:
    """What became of the races: exit codes, how many met, and what was not as it should be, by race."""

    codes: Counter[tuple[int, int]] = field(default_factory=Counter)
    met: int = 0
    unequal: dict[int, list[str]] = field(default_factory=dict)
    unlike_one: dict[int, list[str]] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)


def measure(bench: Bench, terms: Terms) -> list[Figure]:
    """Run the races, and count what is not as it should be."""
    course = _Course()
    with prepared(bench) as template, built(bench, SIZE, template) as raced, built(bench, SIZE, template) as single:
        vendor, chance = Vendor(SIZE, terms.seed), random.Random(terms.seed)  # noqa: S311 - it decides nothing secret
        for number in terms.runs(RACES):
            changes = vendor.race()
            for database in (raced, single):
                changes.apply(database.engine)
            _race(bench, raced, chance, course, number)
            refresh_here(single)
            _compare(bench, raced, single, template, course, number)
    return _figures(course, terms.seed)


def _race(bench: Bench, database: Database, chance: random.Random, course: _Course, number: int) -> None:
    """Start two refreshes within a second, then an ordinary one."""
    first = programs.started(database.url, bench.directory, *chance.choice(OPTIONS))
    time.sleep(chance.uniform(0, 1))
    course.met += first.poll() is None
    second = programs.started(database.url, bench.directory, *chance.choice(OPTIONS))
    codes = first.wait(PATIENCE), second.wait(PATIENCE)
    course.codes[codes] += 1
    if not ALLOWED.issuperset(codes):
        course.failed.append(number)
        bench.say(f"race {number}: exit codes {codes}")
    try:
        bench.refresh(database)
    except subprocess.CalledProcessError as error:
        course.failed.append(number)
        bench.say(f"race {number}: the ordinary refresh has ended with {error.returncode}")


def _compare(bench: Bench, raced: Database, single: Database, template: str, course: _Course, number: int) -> None:
    """Note the tables and states that are not those of a rebuild, and those that a single refresh leaves otherwise."""
    with bench.cloned(SIZE, template) as fresh:
        copy_prices(bench, raced, fresh)
        refresh_here(fresh)
        unequal = tables.unlike_build(raced, fresh)
    unlike_one = tables.differing(raced, single)
    if unequal:
        course.unequal[number] = unequal
    if unlike_one:
        course.unlike_one[number] = unlike_one
    if unequal or unlike_one or number % 10 == 0:
        bench.say(f"race {number}: unlike a rebuild {unequal}, unlike a single refresh {unlike_one}")


def _figures(course: _Course, seed: int) -> list[Figure]:
    codes = ", ".join(f"{one} and {other}: {number}" for (one, other), number in sorted(course.codes.items()))
    ends = Figure(
        name="races: ends with other codes than 0 and 75",
        samples=[len(course.failed)],
        unit=Unit.COUNT,
        goal=Goal(0),
        note=f"{course.codes.total()} races of {SIZE}, seed {seed}; {course.met} met; codes {codes}",
    )
    return [
        ends,
        _wrong("races: tables or states unlike a rebuild", course.unequal),
        _wrong("races: tables, states or ledger unlike one refresh", course.unlike_one),
    ]


def _wrong(name: str, found: dict[int, list[str]]) -> Figure:
    note = "; ".join(f"race {number}: {', '.join(names)}" for number, names in found.items())
    return Figure(name=name, samples=[len(found)], unit=Unit.COUNT, goal=Goal(0), note=note)
