"""What a refresh is going to do: its plan, narrowed to what an earlier run left if that one is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from refresh.commands.job import Job
from refresh.due import survey
from refresh.due.scope import Scope
from refresh.errors import CannotStartError
from refresh.options.arguments import filter_flags, resumed
from refresh.run.plan import Plan, make_plan
from refresh.store import history, source


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The job, its scopes and its plan.

    ``resumes``: the earlier run that is resumed. ``remaining``: the assets that it left, by builder key.
    """

    job: Job
    scopes: Sequence[Scope]
    plan: Plan
    resumes: str | None = None
    remaining: Mapping[str, frozenset[int]] = field(default_factory=dict)


def plan_job(job: Job, connection: Connection) -> Planned | None:
    """The plan of a job; ``None`` if a run is to be resumed and none left anything unfinished.

    Raises ``CannotStartError`` for a dry run on an embedded database without prices.
    """
    if job.request.dry_run and job.opened.embedded and source.is_absent_or_empty(connection):
        raise CannotStartError("the embedded database is empty; a run without --dry-run loads a sample first")
    if not job.request.resume:
        return _plan(job, connection)
    remainder = _remainder(job, connection)
    if remainder is None:
        job.console.print("Nothing to resume: no run left anything unfinished.")
        return None
    job.say(f"resuming the run of {remainder.run_id}")
    planned = _plan(_narrowed(job, remainder), connection, only=remainder.assets)
    return replace(planned, resumes=remainder.run_id, remaining=remainder.assets)


def _plan(job: Job, connection: Connection, *, only: Mapping[str, frozenset[int]] | None = None) -> Planned:
    scopes = survey.open_scopes(connection, job.builders, job.request.selection, job.now)
    plan = make_plan(
        job.builders,
        job.request,
        survey.survey(connection, scopes),
        past=history.past_steps(connection),
        only=only,
    )
    return Planned(job=job, scopes=scopes, plan=plan)


def _remainder(job: Job, connection: Connection) -> history.Remainder | None:
    """What an earlier run left, within the builders and assets of this request."""
    survey.open_scopes(connection, job.builders, job.request.selection, job.now)  # refuses unknown names first
    remainder = history.remainder(connection, filter_flags())
    if remainder is None:
        return None
    assets: dict[str, frozenset[int]] = {}
    for builder in job.builders:
        ids = remainder.assets.get(builder.key, frozenset())
        if job.request.asset_ids is not None:
            ids = ids.intersection(job.request.asset_ids)
        if ids:
            assets[builder.key] = ids
    return replace(remainder, assets=assets) if assets else None


def _narrowed(job: Job, remainder: history.Remainder) -> Job:
    builders = tuple(builder for builder in job.builders if builder.key in remainder.assets)
    return replace(job, request=resumed(job.request, remainder.arguments), builders=builders)
