"""A week beside the one before: printed, and sent to people. Writes nothing."""

from __future__ import annotations

from refresh.commands.job import Job
from refresh.faces.alerts import Digest
from refresh.faces.weekly import show_week, weekly
from refresh.store.schema import looking
from refresh.store.weeks import last_weeks


def print_week(job: Job) -> Digest:
    """Print the seven days until the time of the job. Returns what to send."""
    with looking(job.engine) as connection:
        this, last = last_weeks(connection, job.now)
    show_week(job.console, this, last)
    return weekly(this, last)
