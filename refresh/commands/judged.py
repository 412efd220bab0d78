"""How fresh a database is, for a monitor: what runs prove, what they left, and what the tables lack of the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from refresh.commands.job import Job
from refresh.due import survey
from refresh.due.lateness import NotFresh, not_fresh
from refresh.options.arguments import filter_flags
from refresh.store import runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What was found: the assets and tables, the last cover of each builder, what is open, and what is not fresh."""

    now: datetime
    assets: int
    tables: int
    covers: Mapping[str, runs.Cover]
    uncovered: Sequence[str]
    open: Sequence[runs.Open]
    behind: Sequence[NotFresh]


def judge_freshness(job: Job, connection: Connection) -> Judged:
    """Ask the history and the tables about the builders and assets of a job, which has the zone of the tables."""
    covers = runs.covers(connection, filter_flags(), job.request.asset_ids)
    scopes = survey.open_scopes(connection, job.builders, job.request.selection, job.now)
    ids = survey.asset_ids(connection, scopes[0])
    own = {builder.key: covers[builder.key] for builder in job.builders if builder.key in covers}
    return Judged(
        now=job.now,
        assets=len(ids),
        tables=sum(len(builder.legs) for builder in job.builders),
        covers=own,
        uncovered=[builder.key for builder in job.builders if builder.key not in own],
        open=runs.open_since(connection, list(own.values()), filter_flags(), job.request.asset_ids),
        behind=not_fresh(connection, scopes, ids, job.now - job.request.max_age),
    )
