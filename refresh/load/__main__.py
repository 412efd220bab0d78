"""``python -m refresh.load FILE...``: the process border of loading - arguments, environment, messages, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from refresh import printing
from refresh.errors import SHORTAGES, ExitCode, RefreshError, shortage
from refresh.load.assets import Asset, Assignment
from refresh.load.cell_numbers import Decimal
from refresh.load.cell_times import DateOrder
from refresh.load.files import PriceFile, assigned, by_manifest, by_manifests_beside, require_ids
from refresh.load.loading import Choices, FileResult, load, sample_file
from refresh.load.manifest import asset_id, asset_name
from refresh.load.notation import Notation
from refresh.load.preview import preview
from refresh.load.spread import load_spread
from refresh.load.telling import warn
from refresh.options.declaration import Program
from refresh.options.environment import settings
from refresh.options.load_request import LoadRequest
from refresh.options.parsing import completed_load, parse_load
from refresh.store import database
from refresh.store.prices import Counts
from refresh.wording import counted, escaped


def main(arguments: Sequence[str], environ: Mapping[str, str], program: Program = Program.LOAD) -> int:
    """Load the files that the command line names. Returns the exit code: 0 if every line of every file is loaded."""
    try:
        typed = parse_load(arguments, program)
        merged = settings(environ, typed.config)
        request = completed_load(typed, merged)
        files = _files(request)
        if request.dry_run:
            return preview(files, _choices(request), _say, warn)
        if request.shards and not typed.db_url:
            return _report(load_spread(files, request.shards, merged, _choices(request), _say))
        with database.opened(request.db_url, merged) as opened:
            now = datetime.now(UTC)
            _say(opened.named_by(merged.source("TARGET_DB_URL", "--db-url" if typed.db_url else "")))
            choices = _choices(request)
            return _report(load(file, opened.engine, now=now, choices=choices, notify=warn) for file in files)
    except RefreshError as error:
        warn(f"error: {error}")
        return error.exit_code
    except SHORTAGES as error:
        warn(f"error: {shortage(error)}")
        return ExitCode.FAILED
    except KeyboardInterrupt:
        warn("stopped; the current file was not loaded")
        return ExitCode.INTERRUPTED


def _files(request: LoadRequest) -> list[PriceFile]:
    """The files of the command line with their assets. Raises ``UsageError`` if the asset of a file is unknown."""
    if request.id is not None:
        files = assigned(request.files, _assignment(request))
    elif request.manifest:
        files = by_manifest(request.files, request.manifest)
    else:
        files = by_manifests_beside(request.files, warn)
    require_ids(files)
    return [sample_file(), *files] if request.sample else files


def _assignment(request: LoadRequest) -> Assignment:
    """The asset of ``--id``: of all lines, or of those of a symbol."""
    id, name = asset_id(request.id or "", "--id"), request.name and asset_name(request.name, "--name")
    if request.symbol is None:
        return Assignment(asset=Asset(id=id, name=name))
    column, symbol = request.symbol
    asset = Asset(id=id, name=name, symbol=asset_name(symbol, "--symbol"))
    return Assignment(by_symbol={symbol: asset}, column=column)


def _choices(request: LoadRequest) -> Choices:
    notation = Notation(
        decimal=Decimal(request.decimal) if request.decimal else None,
        order=DateOrder(request.dates) if request.dates else None,
    )
    return Choices(notation=notation, tz=request.tz, may_empty=request.replace_with_empty)


def _report(results: Iterator[FileResult]) -> int:
    """Print a line per file when it is finished, and the total."""
    done: list[FileResult] = []
    for result in results:
        done.append(result)
        if result.problem:
            warn(f"error: {result.path}: {result.problem}")
        else:
            _say(f"{result.path}: {_summary([result])}")
    _say(f"total: {counted(len(done), 'file')}: {_summary(done)}")
    return ExitCode.DONE if all(result.is_complete for result in done) else ExitCode.FAILED


def _summary(results: Sequence[FileResult]) -> str:
    counts, ids, bad_lines, problems = Counts(), set[int](), 0, 0
    for result in results:
        counts += result.counts
        ids |= result.ids
        bad_lines += result.bad_lines
        problems += result.problem is not None
    assets = f"asset {min(ids)}" if len(ids) == 1 else f"{len(ids):,} assets"
    parts = [
        f"{counted(counts.rows, 'row')} of {assets}: {counts.inserted:,} inserted",
        f"{counts.changed:,} changed",
        f"{counts.unchanged:,} unchanged",
    ]
    if bad_lines:
        parts.append(counted(bad_lines, "bad line"))
    if problems:
        parts.append(f"{counted(problems, 'file')} not loaded")
    return ", ".join(parts)


def _say(line: str) -> None:
    print(escaped(line), flush=True)  # noqa: T201 - the process border


if __name__ == "__main__":
    sys.exit(printing.run(lambda: main(sys.argv[1:], os.environ)))
