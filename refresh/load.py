"""``python -m refresh.load FILE...``: price files into the source table.

Each file is one transaction: a bad line costs that line, a bad file that file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Engine

from refresh.core.cell_times import DateOrder
from refresh.core.price_lines import PriceFileError
from refresh.core.prices import Asset, Prices, read_prices, said, survey
from refresh.core.rows import Rows
from refresh.errors import CannotStartError, RefreshError, UsageError
from refresh.price_files import (
    Notify,
    PriceFile,
    asset_id,
    by_manifest,
    by_manifests_beside,
    of_asset,
    open_file,
    require_ids,
)
from refresh.settings import settings
from refresh.store import database
from refresh.store.prices import Counts, Repeats, upsert_prices

SAMPLE = Asset(900_000_001, "Apple (sample)")
"""Far above the ids that CoinMarketCap gives out, and below what an integer column holds."""

_SHOWN_LINES = 20
_STOPPED = 130


class LoadRefusedError(CannotStartError):
    """The database refused a file; nothing of it was written."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one file. ``problem`` tells why nothing of it was loaded."""

    path: Path
    counts: Counts
    ids: frozenset[int]
    bad: int
    problem: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether every line was loaded."""
        return self.problem is None and not self.bad


@dataclass(slots=True)
class _Tally:
    """What is noticed about a file while its rows pass by on their way to the database."""

    path: Path
    notify: Notify
    ids: set[int] = field(default_factory=set)
    bad: int = 0

    def rows(self, blocks: Iterable[Prices]) -> Iterator[Rows]:
        for block in blocks:
            for line in block.bad[: max(0, _SHOWN_LINES - self.bad)]:
                self.notify(f"{self.path}:{line}")
            self.bad += len(block.bad)
            self.ids.update(block.rows["id"].tolist())
            yield block.rows
        if self.bad > _SHOWN_LINES:
            self.notify(f"{self.path}: {self.bad - _SHOWN_LINES:,} more bad lines")

    def told(self, counts: Counts, problem: str | None = None) -> Loaded:
        return Loaded(self.path, counts, frozenset(self.ids), self.bad, problem)


def load(
    files: Iterable[PriceFile], engine: Engine, *, now: datetime, order: DateOrder | None, notify: Notify
) -> Iterator[Loaded]:
    """Load the files one after another, each in its transaction; ``notify`` is told bad and repeated lines.

    Raises ``SchemaError`` or ``LoadRefusedError`` where the database does not take them: the files before stay loaded.
    """
    for file in files:
        yield _load_file(file, engine, now=now, order=order, notify=notify)


def load_sample(engine: Engine, now: datetime) -> Counts:
    """Load the daily prices of Apple from 2019 to 2024 as asset ``SAMPLE``. Raises ``PriceFileError``."""
    loaded = _load_file(sample(), engine, now=now, order=None, notify=_warn)
    if loaded.problem:
        raise PriceFileError(f"{loaded.path}: {loaded.problem}")
    return loaded.counts


def sample() -> PriceFile:
    """The sample that hvsampledata carries; found without importing that package, which would import much more."""
    found = find_spec("hvsampledata")
    if not found or not found.submodule_search_locations:
        raise PriceFileError("the sample is not installed: pip install hvsampledata")
    return PriceFile(Path(found.submodule_search_locations[0], "_data", "apple_stocks.csv"), SAMPLE)


def _load_file(file: PriceFile, engine: Engine, *, now: datetime, order: DateOrder | None, notify: Notify) -> Loaded:
    tally = _Tally(file.path, notify)
    try:
        with open_file(file.path) as opened:
            notation = survey(opened.header, opened.lines, order)
            blocks = read_prices(opened.header, opened.lines, notation, file.asset)
            columns = said(opened.header, file.asset)
            with engine.begin() as connection:
                counts, repeats = upsert_prices(
                    connection, tally.rows(blocks), columns, source_file=file.path.name, now=now
                )
    except PriceFileError as error:
        return tally.told(Counts(), str(error))
    except database.ASSET_ERRORS as error:
        raise LoadRefusedError(f"{file.path}: not loaded: {database.first_line(error)}") from error
    _tell_repeats(file.path, repeats, notify)
    return tally.told(counts)


def _tell_repeats(path: Path, repeats: Repeats, notify: Notify) -> None:
    for line, later in repeats.lines:
        notify(f"{path}:{line}: notice: line {later} has the same asset and timestamp and is loaded instead")
    if repeats.total > len(repeats.lines):
        notify(f"{path}: notice: {repeats.total - len(repeats.lines):,} more lines repeated later")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Load what the command line names. Returns the exit code: 0 where every line of every file is in."""
    try:
        options = _parser().parse_args(arguments)
        files = _files(options)
        with database.opened(options.db_url, environ) as opened:
            return _report(load(files, opened.engine, now=datetime.now(UTC), order=options.dates, notify=_warn))
    except RefreshError as error:
        _warn(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _warn("stopped: of the file at hand nothing was loaded")
        return _STOPPED
    except BrokenPipeError:  # whoever read our lines has left, and Python would complain once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RefreshError.exit_code


def _report(results: Iterator[Loaded]) -> int:
    done: list[Loaded] = []
    for loaded in results:
        done.append(loaded)
        if loaded.problem:
            _warn(f"error: {loaded.path}: {loaded.problem}")
        else:
            _say(f"{loaded.path}: {_summary([loaded])}")
    _say(f"total: {len(done):,} {_plural(len(done), 'file')}: {_summary(done)}")
    return 0 if all(loaded.is_good for loaded in done) else 1


def _summary(results: Sequence[Loaded]) -> str:
    counts = sum((loaded.counts for loaded in results), Counts())
    ids = sorted(frozenset[int]().union(*(loaded.ids for loaded in results)))
    assets = f"asset {ids[0]}" if len(ids) == 1 else f"{len(ids):,} assets"
    bad = sum(loaded.bad for loaded in results)
    failed = sum(loaded.problem is not None for loaded in results)
    parts = [
        f"{counts.rows:,} {_plural(counts.rows, 'row')} of {assets}: {counts.inserted:,} inserted",
        f"{counts.changed:,} changed",
        f"{counts.unchanged:,} unchanged",
        *([f"{bad:,} bad {_plural(bad, 'line')}"] if bad else []),
        *([f"{failed:,} {_plural(failed, 'file')} not loaded"] if failed else []),
    ]
    return ", ".join(parts)


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def _files(options: argparse.Namespace) -> list[PriceFile]:
    """The files of the command line with their assets. Raises ``UsageError`` where one's asset is not known."""
    if options.name and options.id is None:
        raise UsageError("--name names the asset of --id; say --id as well")
    if not options.files and not options.sample:
        raise UsageError("name one or more price files, or say --sample")
    if options.id is not None:
        files = of_asset(options.files, Asset(asset_id(options.id, "--id"), options.name))
    elif options.manifest:
        files = by_manifest(options.files, options.manifest)
    else:
        files = by_manifests_beside(options.files, _warn)
    require_ids(files)
    return [sample(), *files] if options.sample else files


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m refresh.load",
        description="Load price files into the source table; a file that was loaded before changes nothing.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "files", metavar="FILE", nargs="*", type=Path, help="CSV of CoinMarketCap's, Kaggle's or a plain form; also .gz"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--manifest", metavar="M", type=Path, help="CSV of file,id,name,symbol (default: manifest.csv beside a file)"
    )
    which.add_argument("--id", metavar="N", help="the asset that all files hold")
    add("--name", metavar="S", help="the name of the asset of --id")
    add("--dates", metavar="ORDER", type=_order, help="mdy or dmy: what 04/05/2013 means where the file leaves it open")
    add("--sample", action="store_true", help=f"load Apple, daily, 2019 to 2024, as asset {SAMPLE.id}")
    add("--db-url", metavar="URL", help="the database (default: TARGET_DB_URL, else the embedded PostgreSQL)")
    return parser


def _order(text: str) -> DateOrder:
    try:
        return DateOrder(text.lower())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither mdy nor dmy") from None


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the process border


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the process border


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], settings(os.environ)))
