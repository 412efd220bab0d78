"""Whether the last good run is recent enough, for a monitor. Writes nothing."""

from __future__ import annotations

from refresh.commands.job import Job
from refresh.errors import ExitCode
from refresh.faces import words
from refresh.store import history
from refresh.store.schema import looking


def check(job: Job) -> int:
    """Print one line. Returns the exit code: ``FAILED`` if there is no good run, or the last one is too old."""
    with looking(job.engine) as connection:
        last_good = history.last_good(connection)
    if last_good is None:
        job.console.print("this database has no successful run yet")
        return ExitCode.FAILED
    ended_at, run_id = last_good
    age = job.now - ended_at
    limit = job.request.max_age
    line = (
        f"the last good run ({run_id}) ended {words.spoken(age.total_seconds())} ago, "
        f"{ended_at:%Y-%m-%d %H:%M} UTC; the limit is {words.spoken(limit.total_seconds())}"
    )
    if age > limit:
        job.console.print(f"too old: {line}")
        return ExitCode.FAILED
    job.console.print(line)
    return ExitCode.DONE
