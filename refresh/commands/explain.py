"""The state of one asset, and what a run would do to it. Writes nothing."""

from __future__ import annotations

from dataclasses import replace

from refresh.commands.job import Job
from refresh.due import survey
from refresh.due.standing import standing
from refresh.faces import console as face
from refresh.run.plan import make_plan
from refresh.store.schema import looking


def explain_asset(job: Job, id: int) -> None:
    """Print the state of one asset in every table, its last failures, and the plan for it."""
    with looking(job.engine, job.request.tz) as connection:
        request = replace(job.zoned(connection).request, ids=(id,))
        scopes = survey.open_scopes(connection, job.builders, request.selection, job.now)
        plan = make_plan(job.builders, request, survey.survey(connection, scopes))
        state = standing(connection, job.builders, id, job.now)
    face.show_standing(job.console, state, plan)
