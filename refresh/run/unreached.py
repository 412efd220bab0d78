"""The assets that a builder did not reach, and why: how its process ended, in words."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator

from refresh.records import Outcome, Status
from refresh.run.plan import Step, Task


def unreached(step: Step, tasks: Iterable[Task], error: str) -> Iterator[Outcome]:
    """The outcomes of tasks that the builder of a step did not reach."""
    for task in tasks:
        yield Outcome(builder=step.builder.key, id=task.id, status=Status.NOT_REACHED, reason=task.reason, error=error)


def silent_end(code: int | None, last_line: str) -> str:
    """Why an asset has no outcome: the exit code of the builder, ``None`` if nobody knows it, and its last line."""
    how = f"exited with {code}"
    if code is None:
        how = "ended"
    elif code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    message = f"the builder {how} without reporting this asset"
    error = last_line.removeprefix("error: ")
    return f"{message}: {error}" if error else message
