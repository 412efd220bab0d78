"""Whether the tables are right: a validation by itself, or after a refresh. Writes nothing into the database."""

from __future__ import annotations

import time
from dataclasses import replace

from refresh.catalog import BUILDERS
from refresh.commands.job import Job
from refresh.due import survey
from refresh.errors import CannotStartError, ExitCode
from refresh.faces import console as face
from refresh.faces import document
from refresh.faces.log import Log
from refresh.run.summary import Summary
from refresh.store.schema import is_built, looking
from refresh.validate.finding import Validity


def validate(job: Job) -> Summary:
    """Check every table without refreshing any. No other refresh is kept waiting."""
    with looking(job.opened.engine) as connection:
        if not is_built(connection):
            raise CannotStartError("nothing has been built in this database yet; run a refresh first")
    started = time.monotonic()
    validity, assets = judge(job)
    summary = Summary(
        run_id=survey.run_name(job.now),
        command=job.typed,
        started_at=job.now,
        seconds=time.monotonic() - started,
        exit_code=ExitCode.INVALID if validity.findings else ExitCode.DONE,
        assets=assets,
        tables=sum(len(builder.legs) for builder in BUILDERS),
        validity=validity,
    )
    Log(summary.run_id).summary(summary)
    face.show_summary(job.console, summary)
    if job.request.json:
        document.write(document.run_document(summary), job.request.json)
    return summary


def judge(job: Job) -> tuple[Validity, int]:
    """The result of checking all tables, as far as the run's filters reach; and the number of assets asked for."""
    from refresh.validate.validation import validate  # noqa: PLC0415 - it loads numpy, which a refresh does without

    engine, request = job.opened.engine, replace(job.request, full_rebuild=False)
    with looking(engine, request.tz) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, request.selection, job.now)
        ids = survey.asset_ids(connection, scopes[0])
    number = len(ids) if request.sample == "all" else request.sample
    return validate(engine, scopes, ids, number if isinstance(number, int) else None, job.now.date()), len(ids)
