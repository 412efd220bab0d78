"""One builder process: arguments -> work -> outcomes -> exit code.

Outcomes go to a pipe of their own, a JSON line per asset as it ends; stdout and stderr stay free for words.
"""

from __future__ import annotations

import os
import shlex
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TextIO

import numpy as np
from sqlalchemy import Engine

from refresh.builder import work
from refresh.catalog import BUILDERS, BuilderConfig, Group
from refresh.core import ema
from refresh.core.series import Series
from refresh.core.timeframe import nearest
from refresh.errors import RefreshError, UsageError
from refresh.options import Command, Request, builder_arguments, parse, remembered
from refresh.outcome import Outcome, Status
from refresh.settings import settings
from refresh.stop import Stop
from refresh.store import database, dimensions, history, locks, retry, source, survey


def main(arguments: Sequence[str], environ: Mapping[str, str], stop: Stop) -> int:
    """Run one builder. Returns its exit code: 0 where every asset is done."""
    request = None
    try:
        request = parse(Command.BUILDER, arguments)
        builder = _builder(request.builder or "")
        with ExitStack() as stack:
            now = request.now or datetime.now(UTC)
            opened = _opened(stack, request, environ, now)
            stream = stack.enter_context(_outcomes(request))
            return _run(opened.engine, builder, request, now, stream, stop)
    except RefreshError as error:
        if request and request.verbose:
            traceback.print_exc()
        _say(f"error: {error}")
        return error.exit_code
    except database.ASSET_ERRORS as error:
        if request and request.verbose:
            traceback.print_exc()
        _say(f"error: {database.first_line(error)}")
        return RefreshError.exit_code


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the process border


def _opened(stack: ExitStack, request: Request, environ: Mapping[str, str], now: datetime) -> database.Opened:
    """The database. A builder of a run knows that it was there a moment ago, and waits for it to come back."""
    patience = 0 if request.run_id is None else retry.DEFAULT_RETRIES if request.retries is None else request.retries
    name = locks.session_name(now)
    return retry.retried(
        lambda _: stack.enter_context(database.opened(request.db_url, environ, name)),
        patience,
        lambda error: _say(f"trying again: {database.first_line(error)}"),
    )


def _builder(name: str) -> BuilderConfig:
    found = [builder for builder in BUILDERS if name in {builder.name, builder.key}]
    if len(found) != 1:
        keys = [builder.key for builder in BUILDERS]
        way_out = f"say {' or '.join(builder.key for builder in found)}" if found else nearest(name, keys)
        raise UsageError(f"builder {name}: {'two have this name' if found else 'no such builder'}; {way_out}")
    return found[0]


def _outcomes(request: Request) -> TextIO:
    if request.outcomes_fd is None:
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    if stat.S_ISSOCK(os.fstat(request.outcomes_fd).st_mode):
        threading.Thread(target=_die_with_parent, args=[os.dup(request.outcomes_fd)], daemon=True).start()
    return os.fdopen(request.outcomes_fd, "w", buffering=1, encoding="utf-8")


def _die_with_parent(descriptor: int) -> None:
    """Nothing is ever sent to a builder, so its end of the line falls silent only when its parent is gone."""
    with socket.socket(fileno=descriptor) as line:
        line.recv(1)
    os._exit(RefreshError.exit_code)


def _run(engine: Engine, builder: BuilderConfig, request: Request, now: datetime, stream: TextIO, stop: Stop) -> int:
    with database.read_committed(engine) as connection:
        (scope,) = survey.open_scopes(connection, [builder], request, now)
        if builder.group is Group.EMAS:
            dimensions.save_alphas(connection, scope.series, _alphas(scope.series))
        ids = scope.ids if scope.ids is not None else source.known_ids(connection)
    reported: dict[int, Outcome] = {}

    def report(outcome: Outcome) -> None:
        reported[outcome.id] = outcome
        stream.write(outcome.line() + "\n")

    with _recorded(engine, scope, request, len(ids), reported, stop):
        work.refresh(engine, scope, report, note=_say, stopping=stop)
        if stop():
            return _exit_code(reported, stop)
        idle = [Outcome(builder.key, id, Status.DONE, reason="up to date") for id in ids if id not in reported]
        with database.transaction(engine) as connection:
            history.save_outcomes(connection, scope.run_id, idle)
        for outcome in idle:
            report(outcome)
        return _exit_code(reported, stop)


def _exit_code(reported: Mapping[int, Outcome], stop: Stop) -> int:
    if stop():
        return stop.exit_code
    return RefreshError.exit_code if any(one.status is Status.FAILED for one in reported.values()) else 0


@contextmanager
def _recorded(
    engine: Engine, scope: survey.Scope, request: Request, assets: int, reported: Mapping[int, Outcome], stop: Stop
) -> Iterator[None]:
    """A builder that nobody launched is a run of its own."""
    if request.run_id is not None:
        yield
        return
    command = shlex.join([*Command.BUILDER.value.split(), *builder_arguments(scope.builder, request, request.ids)])
    run = history.Started(
        scope.run_id, command, tuple(remembered(request)), locks.host(), os.getpid(), scope.now, assets
    )
    with database.transaction(engine) as connection:
        history.begin_run(connection, run)
    yield
    with database.transaction(engine) as connection:
        rows = sum(outcome.rows for outcome in reported.values())
        history.end_run(connection, scope.run_id, _exit_code(reported, stop), rows)


def _alphas(series: Sequence[Series]) -> list[tuple[float, float, float]]:
    periods = np.array([one.period for one in series])
    nominal = np.array([one.timeframe.days_nominal for one in series])
    return ema.alphas(ema.Series(periods, nominal))


if __name__ == "__main__":
    stopping = Stop()
    with stopping.listening():
        sys.exit(main(sys.argv[1:], settings(os.environ), stopping))
