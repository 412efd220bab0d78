"""Price files -> the source table, each file in its own transaction: a bad line costs that line, a bad file that file.

Knows the order of the steps and what is reported about a file; refuses to know the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Engine

from refresh.core.rows import Rows
from refresh.errors import CannotStartError
from refresh.load.cell_times import DateOrder
from refresh.load.files import Notify, PriceFile, open_file
from refresh.load.lines import PriceFileError
from refresh.load.prices import Asset, Prices, provided_columns, read_prices, settle_notation
from refresh.store.assets import name_asset
from refresh.store.prices import Counts, Repeats, upsert_prices
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.wording import escaped

SAMPLE_ID = 900_000_001
SAMPLE = Asset(id=SAMPLE_ID, name="Apple (sample)")
"""Far above the ids that CoinMarketCap assigns, and below the limit of an integer column."""
SAMPLE_SYMBOL = "AAPL"

_SHOWN_LINES = 20


class LoadRefusedError(CannotStartError):
    """The database refused a file; nothing of it was written."""


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
    ids: set[int] = field(default_factory=set)
    bad_lines: int = 0

    def rows(self, blocks: Iterable[Prices]) -> Iterator[Rows]:
        for block in blocks:
            remaining = max(0, _SHOWN_LINES - self.bad_lines)
            for line in block.bad[:remaining]:
                self.notify(f"{self.path}:{line}")
            self.bad_lines += len(block.bad)
            self.ids.update(block.rows["id"].tolist())
            yield block.rows
        if self.bad_lines > _SHOWN_LINES:
            self.notify(f"{self.path}: {self.bad_lines - _SHOWN_LINES:,} more bad lines")

    def report(self, repeats: Repeats) -> None:
        for line, later in repeats.lines:
            same = f"line {later} has the same asset and timestamp"
            self.notify(f"{self.path}:{line}: notice: {same} and is loaded instead")
        more = repeats.total - len(repeats.lines)
        if more:
            self.notify(f"{self.path}: notice: {more:,} more lines repeated later")

    def result(self, counts: Counts, problem: str | None = None) -> FileResult:
        ids = frozenset(self.ids)
        return FileResult(path=self.path, counts=counts, ids=ids, bad_lines=self.bad_lines, problem=problem)


def load(file: PriceFile, engine: Engine, *, now: datetime, order: DateOrder | None, notify: Notify) -> FileResult:
    """Load a file in its own transaction; ``notify`` receives its bad and repeated lines.

    Raises ``SchemaError`` or ``LoadRefusedError`` if the database refuses the file.
    """
    observer = _Observer(path=file.path, notify=notify)
    try:
        with open_file(file.path) as text:
            notation = settle_notation(text, order)
            rows = observer.rows(read_prices(text, file.asset, notation=notation))
            columns = provided_columns(text.header, file.asset)
            with engine.begin() as connection:
                counts, repeats = upsert_prices(
                    connection, rows, provided=columns, source_file=escaped(file.path.name), now=now
                )
                if file.asset == SAMPLE:
                    name_asset(connection, SAMPLE_ID, SAMPLE_SYMBOL, SAMPLE.name or "")
    except PriceFileError as error:
        return observer.result(Counts(), str(error))
    except ASSET_ERRORS as error:
        raise LoadRefusedError(f"{file.path}: not loaded: {first_line(error)}") from error
    observer.report(repeats)
    return observer.result(counts)


def load_sample(engine: Engine, now: datetime) -> Counts:
    """Load the daily prices of Apple from 2019 to 2024 as asset ``SAMPLE``. Raises ``PriceFileError``."""
    result = load(sample_file(), engine, now=now, order=None, notify=warn)
    if result.problem:
        raise PriceFileError(f"{result.path}: {result.problem}")
    return result.counts


def sample_file() -> PriceFile:
    """The sample in hvsampledata, located without importing that package, which would import much more."""
    package = find_spec("hvsampledata")
    if not package or not package.submodule_search_locations:
        raise PriceFileError("the sample is not installed: pip install hvsampledata")
    folder = package.submodule_search_locations[0]
    return PriceFile(path=Path(folder, "_data", "apple_stocks.csv"), asset=SAMPLE)


def warn(line: str) -> None:
    """Print a line to standard error."""
    print(escaped(line), file=sys.stderr, flush=True)  # noqa: T201 - whoever loads sees it at once
