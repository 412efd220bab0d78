"""One builder process: arguments -> work -> outcomes -> exit code.

Outcomes go to a pipe of their own, a JSON line per asset as it ends; stdout and stderr stay free for words.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
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
from refresh.options import Command, Request, parse
from refresh.outcome import Outcome, Status
from refresh.store import database, dimensions, source, survey


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one builder. Returns its exit code: 0 where every asset is done."""
    request = None
    try:
        request = parse(Command.BUILDER, arguments)
        builder = _builder(request.builder or "")
        with database.opened(request.db_url, environ) as opened, _outcomes(request) as stream:
            return _run(opened.engine, builder, request, stream)
    except RefreshError as error:
        if request and request.verbose:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the process border
        return error.exit_code
    except database.ASSET_ERRORS as error:
        if request and request.verbose:
            traceback.print_exc()
        print(f"error: {database.first_line(error)}", file=sys.stderr)  # noqa: T201
        return RefreshError.exit_code


def _builder(name: str) -> BuilderConfig:
    found = [builder for builder in BUILDERS if name in {builder.name, builder.key}]
    if len(found) != 1:
        keys = [builder.key for builder in BUILDERS]
        way_out = f"say {' or '.join(builder.key for builder in found)}" if found else nearest(name, keys)
        raise UsageError(f"builder {name}: {'two have this name' if found else 'no such builder'}; {way_out}")
    return found[0]


def _outcomes(request: Request) -> TextIO:
    descriptor = os.dup(sys.stdout.fileno()) if request.outcomes_fd is None else request.outcomes_fd
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")


def _run(engine: Engine, builder: BuilderConfig, request: Request, stream: TextIO) -> int:
    with database.read_committed(engine) as connection:
        (scope,) = survey.open_scopes(connection, [builder], request, request.now or datetime.now(UTC))
        if builder.group is Group.EMAS:
            dimensions.save_alphas(connection, scope.series, _alphas(scope.series))
        ids = scope.ids if scope.ids is not None else source.known_ids(connection)
    reported: dict[int, Status] = {}

    def report(outcome: Outcome) -> None:
        reported[outcome.id] = outcome.status
        stream.write(outcome.line() + "\n")

    work.refresh(engine, scope, report)
    for id in ids:
        if id not in reported:
            report(Outcome(builder.key, id, Status.DONE, reason="up to date"))
    return 1 if Status.FAILED in reported.values() else 0


def _alphas(series: Sequence[Series]) -> list[tuple[float, float, float]]:
    periods = np.array([one.period for one in series])
    nominal = np.array([one.timeframe.days_nominal for one in series])
    return ema.alphas(ema.Series(periods, nominal))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
