"""A builder that nobody launched is a run of its own in the history."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from refresh.due.scope import Scope
from refresh.options.arguments import builder_arguments, remembered
from refresh.options.declaration import Program
from refresh.options.request import Request
from refresh.store import history, locks
from refresh.store.database import transaction


@contextmanager
def recorded(
    engine: Engine, scope: Scope, request: Request, assets: int, result: Callable[[], tuple[int, int]]
) -> Iterator[None]:
    """Record the block as a run, unless the builder works for a run. ``result``: rows written and exit code."""
    if request.run_id is not None:
        yield
        return
    with transaction(engine) as connection:
        history.begin_run(connection, _run(scope, request, assets))
    yield
    rows, exit_code = result()
    with transaction(engine) as connection:
        history.end_run(connection, scope.run_id, exit_code, rows)


def _run(scope: Scope, request: Request, assets: int) -> history.Started:
    program = Program.BUILDER.value.split()
    arguments = builder_arguments(scope.builder, request, request.asset_ids)
    return history.Started(
        run_id=scope.run_id,
        command=shlex.join([*program, *arguments]),
        arguments=tuple(remembered(request)),
        host=locks.host(),
        pid=os.getpid(),
        started_at=scope.now,
        assets=assets,
        program=Program.BUILDER.key,
        builders=(scope.builder.key,),
        asset_ids=request.asset_ids,
    )
