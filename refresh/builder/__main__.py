"""One builder process: arguments -> work -> outcomes -> exit code.

Outcomes go to a pipe of their own, a JSON line per asset when it is done or has failed; stdout and stderr stay free for
words.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from sqlalchemy import Engine

from refresh import printing
from refresh.builder import work
from refresh.builder.channel import open_channel
from refresh.builder.progress import Progress
from refresh.builder.run_alone import recorded
from refresh.core import ema
from refresh.core.series import Series
from refresh.due import survey
from refresh.due.scope import Scope
from refresh.errors import SHORTAGES, ExitCode, RefreshError, SettingsError, shortage
from refresh.options.asset_names import with_ids
from refresh.options.builders import named_builder
from refresh.options.declaration import Program
from refresh.options.environment import settings
from refresh.options.parsing import completed, parse
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.stop import Stop
from refresh.store import database, dimensions, locks, retry, runs, schema
from refresh.store import settings as settings_of_tables
from refresh.store.assets import read_symbols
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.wording import escaped

Result = TypeVar("Result")


def main(arguments: Sequence[str], environ: Mapping[str, str], stop: Stop) -> int:
    """Run one builder. Returns its exit code: 0 if every asset is done."""
    try:
        typed = parse(Program.BUILDER, arguments)
        merged = settings(environ, typed.config)
        return _build(completed(Program.BUILDER, typed, merged), merged, stop)
    except RefreshError as error:
        _complain(error, str(error), arguments)
        return error.exit_code
    except ASSET_ERRORS as error:
        _complain(error, first_line(error), arguments)
        return ExitCode.FAILED
    except SHORTAGES as error:
        _complain(error, shortage(error), arguments)
        return ExitCode.FAILED


def _complain(error: Exception, line: str, arguments: Sequence[str]) -> None:
    if "--verbose" in arguments:
        traceback.print_exception(error)
    _say(f"error: {line}")


def _say(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)  # noqa: T201 - the process border


def _build(request: Request, environ: Mapping[str, str], stop: Stop) -> int:
    now = request.now or datetime.now(UTC)
    with ExitStack() as stack:
        engine = _opened(stack, request, environ, now).engine
        request, scope, ids = _patiently(lambda: _prepared(engine, request, environ, now), request.retries)
        reports = _Reports(stack, request)
        stack.enter_context(recorded(engine, scope, request, len(ids), lambda: reports.rows_and_code(stop)))
        _run(engine, scope, ids, reports, stop, again=request.worker is not None)
        return reports.rows_and_code(stop)[1]


def _opened(stack: ExitStack, request: Request, environ: Mapping[str, str], now: datetime) -> database.Opened:
    """The database. The builder of a run knows that it answered a moment ago, and waits until it does so again."""
    retries = 0 if request.run_id is None else request.retries
    name = locks.session_name(now)
    return _patiently(lambda: stack.enter_context(database.opened(request.db_url, environ, name)), retries)


def _patiently(work: Callable[[], Result], retries: int) -> Result:
    return retry.retried(lambda _: work(), retries, lambda error: _say(f"trying again: {first_line(error)}"))


def _refuse_other_database(engine: Engine, request: Request, environ: Mapping[str, str]) -> None:
    """A worker has the address from its own environment. Raises ``SettingsError`` if the run is in another database."""
    if request.worker is None or request.run_id is None:
        return
    with database.read_committed(engine) as connection:
        is_known = runs.knows_run(connection, request.run_id)
    if not is_known:
        variable = environ.get("REFRESH_DB_VARIABLE", "TARGET_DB_URL")
        raise SettingsError(
            f"{variable} of worker {request.worker} names another database than that of the run, which is not "
            f"recorded there; set it to the address of the run's database, and start the worker again"
        )


def _prepared(
    engine: Engine, request: Request, environ: Mapping[str, str], now: datetime
) -> tuple[Request, Scope, Sequence[int]]:
    """The request with ids, the builder's part of the run and its assets, in a database that has all tables.

    Where it breaks off, it can begin again.
    """
    builder = named_builder(request.builder or "")
    _refuse_other_database(engine, request, environ)
    request = with_ids(request, lambda: read_symbols(engine))
    with database.read_committed(engine) as connection:
        if request.no_migrate:
            schema.refuse_outdated(connection)
        migrated = schema.migrate(connection)
        zone = schema.prepare(connection, request.tz, request.partitions)
        selection = request.zoned(zone).selection
        (scope,) = survey.open_scopes(connection, [builder], selection, now, request.run_id)
        if request.fold:
            settings_of_tables.remember_folds(connection, request.asset_ids)
        averages = [series for series in scope.series if series.period]
        dimensions.save_alphas(connection, averages, _alphas(averages))
        ids = survey.asset_ids(connection, scope)
    if migrated:
        _say(migrated)
    return request, scope, ids


def _alphas(averages: Sequence[Series]) -> list[tuple[float, float, float]]:
    periods = np.array([series.period for series in averages])
    nominal = np.array([series.timeframe.days_nominal for series in averages])
    return ema.alphas(periods, nominal)


class _Reports:
    """The outcomes that were reported."""

    def __init__(self, stack: ExitStack, request: Request) -> None:
        self._channel = stack.enter_context(open_channel(request.outcomes_fd))
        self._outcomes: dict[int, Outcome] = {}

    def report(self, outcome: Outcome) -> None:
        """Write an outcome to the channel."""
        self._outcomes[outcome.id] = outcome
        self._channel.write(outcome.line() + "\n")

    def unreported(self, ids: Sequence[int]) -> list[int]:
        """The assets without an outcome."""
        return [id for id in ids if id not in self._outcomes]

    def rows_and_code(self, stop: Stop) -> tuple[int, int]:
        """The rows written, and the exit code."""
        rows = sum(outcome.rows for outcome in self._outcomes.values())
        if stop.requested:
            return rows, stop.exit_code
        has_failed = any(outcome.status is Status.FAILED for outcome in self._outcomes.values())
        return rows, ExitCode.FAILED if has_failed else ExitCode.DONE


def _run(engine: Engine, scope: Scope, ids: Sequence[int], reports: _Reports, stop: Stop, *, again: bool) -> None:
    """Do the work, then report the assets for which there was none."""
    listeners = work.Listeners(report=reports.report, note=_say, is_stopping=lambda: stop.requested)
    work.refresh(engine, scope, listeners, ids=ids, again=again)
    if stop.requested:
        return
    for id in reports.unreported(ids):
        reports.report(Progress(open=0).outcome(scope.builder.key, id))


def run(arguments: Sequence[str]) -> int:
    """Run one builder as a process of its own, which a signal stops. Returns its exit code."""
    stop = Stop()
    with stop.listening():
        return printing.run(lambda: main(arguments, os.environ, stop))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
