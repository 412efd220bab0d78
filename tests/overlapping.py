"""A refresh in a thread of its own, on real connections, that is held at a statement while others go on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from refreshing import refresh
from sqlalchemy import Engine, event

from refresh.builder.work import VALUES_AT_ONCE
from refresh.catalog import BuilderConfig
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store.database import connect
from refresh.store.statements import SCHEMA

PATIENCE = 60.0
A_MOMENT, A_LOOK = 0.3, 0.01
"""Long enough for the others to come to where they have to wait."""


@dataclass(frozen=True)
class Held:
    """A refresh that is held: ``go_on`` lets it, ``outcomes`` are those of all its builders once it has ended."""

    engine: Engine
    go_on: Callable[[], None]
    work: Future[list[Outcome]]

    @property
    def outcomes(self) -> list[Outcome]:
        """Wait for the end of the refresh."""
        self.go_on()
        return self.work.result(PATIENCE)


@contextmanager
def held(
    url: str,
    point: str | int,
    *builders: BuilderConfig,
    request: Request | None = None,
    values_at_once: int = VALUES_AT_ONCE,
) -> Iterator[Held]:
    """Refresh some builders up to before the first statement that contains ``point``, or before that number of it.

    A refresh that never comes there, because it has fewer statements, is held nowhere.
    """
    reached, going = threading.Event(), threading.Event()
    numbers = itertools.count()

    def hold(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        as_written = statement.replace(f"{SCHEMA}.", "")
        is_there = point in as_written if isinstance(point, str) else next(numbers) == point
        if is_there and not reached.is_set():
            reached.set()
            assert going.wait(PATIENCE), f"nobody lets the refresh go on: {statement}"

    with connect(url) as engine, ThreadPoolExecutor() as pool:
        event.listen(engine, "before_cursor_execute", hold)
        work = pool.submit(refresh, engine, request, builders, values_at_once=values_at_once)
        try:
            while not (reached.wait(A_LOOK) or work.done()):
                pass
            assert reached.is_set() or isinstance(point, int), f"the refresh never came to {point}"
            yield Held(engine, going.set, work)
        finally:
            going.set()
            work.exception(PATIENCE)
