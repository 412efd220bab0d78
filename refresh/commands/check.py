"""Whether the last good run is recent enough, for a monitor. Writes nothing."""

from __future__ import annotations

from refresh.commands.job import Job
from refresh.errors import ExitCode
from refresh.faces import words
from refresh.store import history
from refresh.store.schema import looking


def check(job: Job) -> int:
    """Print a line and return the exit code: failed where the last good run is too old."""
    with looking(job.opened.engine) as connection:
        last_good = history.last_good(connection)
    if last_good is None:
        job.console.print("no run of this database has ended well yet")
        return ExitCode.FAILED
    ended_at, run_id = last_good
    age, limit = job.now - ended_at, job.request.max_age
    is_late = age > limit
    problem = "too old: " if is_late else ""
    job.console.print(
        f"{problem}the last good run ({run_id}) ended {words.spoken(age.total_seconds())} ago, "
        f"{ended_at:%Y-%m-%d %H:%M} UTC; the limit is {words.spoken(limit.total_seconds())}"
    )
    return ExitCode.FAILED if is_late else ExitCode.DONE
