"""Where the builders of a refresh start, how many of them at once, and what they see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from refresh.commands.job import Job
from refresh.commands.record import Recorder
from refresh.options.request import Request
from refresh.run.cluster import Cluster
from refresh.run.context import RunContext
from refresh.run.steps import Limits


@contextmanager
def cluster_of(job: Job) -> Iterator[Cluster | None]:
    """The workers that were asked for; ``None`` if builders start on this machine. Raises ``CannotStartError``."""
    if job.request.cluster is None:
        yield None
        return
    variable = job.environ.get("REFRESH_DB_VARIABLE", "TARGET_DB_URL")
    with closing(Cluster(job.request.cluster, _environ(job), variable)) as cluster:
        yield cluster


def limits_of(request: Request, cluster: Cluster | None) -> Limits:
    """How many builders run side by side, and how long each may take."""
    timeout = request.timeout.total_seconds() if request.timeout else None
    return Limits(jobs=request.jobs or (cluster.slots if cluster else cores()), timeout=timeout)


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def context_of(job: Job, recorder: Recorder, cluster: Cluster | None) -> RunContext:
    """What every builder of a run shares."""
    return RunContext(
        run_id=recorder.run.run_id,
        now=job.now,
        environ=_environ(job),
        end_sessions=recorder.end_sessions,
        retries=job.request.retries,
        cluster=cluster,
    )


def _environ(job: Job) -> dict[str, str]:
    """What builders of this machine see."""
    return {**job.environ, "TARGET_DB_URL": job.opened.url}
