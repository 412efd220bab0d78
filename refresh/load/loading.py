"""Price files -> the source table, each file in its own transaction: a bad line costs that line, a bad file that file.

Knows the order of the steps; refuses to know the command line and how a result is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, Engine

from refresh.core.rows import Rows
from refresh.errors import CannotStartError
from refresh.load.assets import Asset, Assignment, several_assets, told_apart
from refresh.load.days import Zone
from refresh.load.files import Notify, OpenFile, PriceFile, open_file
from refresh.load.header import PriceFileError
from refresh.load.notation import Notation, settle
from refresh.load.portion import Portion, Whole
from refresh.load.prices import Prices, Reading, provided_columns, read_prices
from refresh.load.progress import Progress
from refresh.load.telling import SHOWN_LINES, tell_lines, tell_merged, tell_others, tell_staged
from refresh.options.load_request import SAMPLE_ID
from refresh.store.assets import name_asset
from refresh.store.price_stage import Staged, stage
from refresh.store.prices import Counts, Origin, merge_prices, open_prices
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.store.settings import settled_zone
from refresh.wording import escaped

SAMPLE = Asset(id=SAMPLE_ID, name="Apple (sample)", symbol="AAPL")


class LoadRefusedError(CannotStartError):
    """The database refused a file; nothing of it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How files are loaded: notation, zone, ``may_empty``: whether empty prices replace stored ones, and which part."""

    notation: Notation = field(default_factory=Notation)
    tz: str | None = None
    may_empty: bool = False
    portion: Portion = field(default_factory=Whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """The result of one file. ``problem`` is the reason if nothing of it was loaded."""

    path: Path
    counts: Counts
    ids: frozenset[int]
    bad_lines: int
    problem: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every line was loaded."""
        return self.problem is None and not self.bad_lines


@dataclass(slots=True, kw_only=True)
class _Observer:
    """Reports the lines of a file that are not loaded, and collects its ids while rows pass on to the database."""

    path: Path
    notify: Notify
    portion: Portion
    progress: Callable[[int], None]
    ids: set[int] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    bad_lines: int = 0

    def rows(self, blocks: Iterable[Prices]) -> Iterator[Rows]:
        for block in blocks:
            self.progress(len(block.rows["line"]))
            if self.portion.is_first:
                tell_lines(self.path, block.bad[: max(0, SHOWN_LINES - self.bad_lines)], self.notify)
                self.bad_lines += len(block.bad)
                self.others.update(block.others)
            rows = self.portion.of(block.rows)
            self.ids.update(rows["id"].tolist())
            yield rows
        if self.bad_lines > SHOWN_LINES:
            self.notify(f"{self.path}: {self.bad_lines - SHOWN_LINES:,} more bad lines")

    def result(self, counts: Counts, problem: str | None = None) -> FileResult:
        ids = frozenset(self.ids)
        return FileResult(path=self.path, counts=counts, ids=ids, bad_lines=self.bad_lines, problem=problem)


def load(file: PriceFile, engine: Engine, *, now: datetime, choices: Choices, notify: Notify) -> FileResult:
    """Load a file in its own transaction; ``notify`` receives what is not loaded as it is written, and why.

    Raises ``SchemaError``, ``SettingsError`` or ``LoadRefusedError`` if the database refuses the file.
    """
    progress = Progress(name=str(file.path))
    observer = _Observer(path=file.path, notify=notify, portion=choices.portion, progress=progress.add)
    try:
        with open_file(file.path) as opened:
            progress.watch(opened)
            with engine.begin() as connection:
                counts = _load(connection, file, opened, observer, now=now, choices=choices)
    except PriceFileError as error:
        return observer.result(Counts(), str(error))
    except ASSET_ERRORS as error:
        raise LoadRefusedError(f"{file.path}: not loaded: {first_line(error)}") from error
    return observer.result(counts)


def _load(
    connection: Connection, file: PriceFile, opened: OpenFile, observer: _Observer, *, now: datetime, choices: Choices
) -> Counts:
    """Load an opened file. Nothing is reported of a file that is refused, except lines that cannot be read."""
    text = opened.text
    notation = settle(text, choices.notation)
    open_prices(connection)
    tz = settled_zone(connection, choices.tz)
    how = Reading(assignment=file.assignment, notation=notation, zone=Zone(tz))
    staged = stage(connection, observer.rows(read_prices(text, how)), tz)
    _refuse_several_assets(opened, file.assignment, staged)
    origin = Origin(
        provides=provided_columns(text.header, file.assignment),
        source_file=escaped(file.path.name),
        now=now,
        tz=tz,
        may_empty=choices.may_empty,
    )
    merged = merge_prices(connection, staged, origin)
    choices.portion.confirm()
    if choices.portion.is_first:
        tell_others(file.path, text.header.unused, sorted(observer.others), observer.notify)
    observer.bad_lines += tell_staged(file.path, staged, text.header.title("timestamp"), observer.notify)
    tell_merged(file.path, merged, observer.notify)
    for asset in file.assignment.assets:
        if asset.id is not None and asset.symbol and choices.portion.has(asset.id):
            name_asset(connection, asset.id, asset.symbol, asset.name)
    return merged.counts


def _refuse_several_assets(opened: OpenFile, assignment: Assignment, staged: Staged) -> None:
    """Raise ``PriceFileError`` where days have several lines because they are of several assets."""
    if not staged.mostly_differ and not staged.fine:
        return
    column = None if "id" in opened.text.header.places.indexes else told_apart(opened.text)
    if column and not assignment.by_symbol:
        raise several_assets(*column)
    if staged.mostly_differ:
        raise PriceFileError(
            f"{staged.differing_days:,} of its {staged.days:,} days have several lines with different prices; "
            "a file holds one line per asset and day, or times of day that tell lines apart"
        )


def load_sample(engine: Engine, now: datetime, tz: str | None = None) -> Counts:
    """Load the daily prices of Apple from 2019 to 2024 as asset ``SAMPLE``. Raises ``PriceFileError``."""
    result = load(sample_file(), engine, now=now, choices=Choices(tz=tz), notify=lambda _: None)
    if result.problem:
        raise PriceFileError(f"{result.path}: {result.problem}")
    return result.counts


def sample_file() -> PriceFile:
    """The sample in hvsampledata, located without importing that package, which would import much more."""
    package = find_spec("hvsampledata")
    if not package or not package.submodule_search_locations:
        raise PriceFileError("the sample is not installed: pip install hvsampledata")
    folder = package.submodule_search_locations[0]
    return PriceFile(path=Path(folder, "_data", "apple_stocks.csv"), assignment=Assignment(asset=SAMPLE))
