"""What the tables, states and the ledger of a database say, so that two databases can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from faults.ground import ALL, Ground, become_morning, copy_source, of_role
from layouts import contents
from refreshing import digests
from running import Refresh
from sqlalchemy import URL
from statements import as_user, ask

from refresh.catalog import legs
from refresh.store.tables import LEDGER, METADATA, OUTCOMES, RUNS, SETTINGS, STEPS, VALIDATIONS

LINES = f"SELECT id, first_day, last_day, rows_changed, old_close, new_close FROM {LEDGER} ORDER BY 1, 2, 3, 4, 5, 6"
SECONDS = f"SELECT extract(epoch FROM max(ended_at - started_at)) FROM {RUNS}"
OF_RUNS = {LEDGER, RUNS, STEPS, OUTCOMES, VALIDATIONS}
SHELVES = {name for _, leg in legs() if leg.averages for name in (leg.table, leg.places)}
"""What views show: where a series lies on them depends on which one came first."""
BESIDE = [name for name in METADATA.tables if name not in OF_RUNS | SHELVES]
"""States, digests of months, rejects, dimensions and settings: each row depends on the prices alone."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Digests of all tables that readers see, the rows of those beside them, and the lines of the ledger.

    ``has_other_lines``: more was revised than an undisturbed refresh would have found.
    """

    tables: dict[str, tuple[int, str]]
    beside: dict[str, list[tuple[object, ...]]]
    ledger: list[tuple[object, ...]]
    has_other_lines: bool = False

    def wrong(self, found: Truth) -> list[str]:
        """The tables and states in which a database differs from this."""
        names = [name for name, digest in self.tables.items() if found.tables[name] != digest]
        return [*names, *(name for name, rows in self.beside.items() if found.beside[name] != rows)]

    def is_told(self, found: Truth) -> bool:
        """Whether the ledger of a database has these lines, or at least those of these assets."""
        if self.has_other_lines:
            return {line[0] for line in self.ledger} <= {line[0] for line in found.ledger}
        return self.ledger == found.ledger


def truth_of(url: URL) -> Truth:
    """What a database says now."""
    engine = as_user(url)
    beside = contents(engine, dict.fromkeys(BESIDE))
    beside[SETTINGS] = [row for row in beside[SETTINGS] if "views seen" not in row[0]]  # which depends on owners
    return Truth(
        tables=digests(engine),
        beside=beside,
        ledger=ask(engine, LINES),
    )


@dataclass(frozen=True, kw_only=True)
class Morning:
    """A source that a refresh finds, and what it has to leave. ``name``: the database to clone."""

    ground: Ground
    seed: int
    folder: Path

    @cached_property
    def name(self) -> str:
        """Create the database: yesterday's tables, this morning's source."""
        name = f"morning_{self.seed}"
        self.ground.create(name, "yesterday")
        become_morning(as_user(self.ground.url.set(database=name)), self.seed)
        return name

    @cached_property
    def _refreshed(self) -> tuple[Truth, float]:
        """What a refresh leaves that nothing disturbs, and its seconds."""
        with self.ground.database(self.name) as url:
            undisturbed(url, self.folder)
            ((seconds,),) = ask(as_user(url), SECONDS)
            return truth_of(url), float(seconds)

    @property
    def seconds(self) -> float:
        """How long a refresh takes that nothing disturbs."""
        return self._refreshed[1]

    @cached_property
    def truth(self) -> Truth:
        """What a clean rebuild of that source leaves; the ledger is that of a refresh that nothing disturbs."""
        with rebuilt(self.ground, self.ground.url.set(database=self.name), self.folder) as url:
            built = truth_of(url)
        refreshed, _ = self._refreshed
        assert built.wrong(refreshed) == []
        assert refreshed.ledger, "no revision is in the ledger"
        return replace(built, ledger=refreshed.ledger)


@contextmanager
def rebuilt(ground: Ground, source: URL, folder: Path) -> Iterator[URL]:
    """A new database, built from the source of another one alone."""
    with ground.database("bare") as url:
        copy_source(source, url)
        undisturbed(url, folder)
        yield url


def undisturbed(url: URL, folder: Path) -> None:
    """An ordinary refresh that nothing disturbs succeeds."""
    program = Refresh(folder, of_role(url), *ALL)
    code = program.wait()
    assert (code, program.err) == (0, ""), program.out + program.err
