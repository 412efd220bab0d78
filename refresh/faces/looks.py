"""What can be done with a database without refreshing it: judge, show, explain, check. Nothing here writes into it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection

from refresh.catalog import BUILDERS
from refresh.core.validity import Validity
from refresh.errors import CannotStartError
from refresh.faces import console as face
from refresh.faces import document, words
from refresh.faces.files import write_whole
from refresh.faces.html import page
from refresh.faces.job import Job
from refresh.faces.log import Log
from refresh.run.plan import make_plan
from refresh.run.summary import INVALID, Summary
from refresh.store import database, explain, history, schema, source, survey
from refresh.store.overview import collect

DEFAULT_MAX_AGE = timedelta(hours=26)


def validate(job: Job) -> Summary:
    """Check every table without refreshing any. Nothing is written, and no other refresh is kept waiting."""
    with database.read_committed(job.opened.engine) as connection:
        if not schema.is_prepared(connection):
            raise CannotStartError("nothing has been built in this database yet; run a refresh first")
        scopes = survey.open_scopes(connection, BUILDERS, job.request, job.now)
        assets = len(_ids(connection, scopes[0]))
        connection.rollback()
    started = time.monotonic()
    validity = judge(job)
    summary = Summary(
        scopes[0].run_id,
        job.typed,
        job.now,
        time.monotonic() - started,
        INVALID if validity.findings else 0,
        assets,
        sum(len(builder.legs) for builder in BUILDERS),
        (),
        validity=validity,
    )
    Log(summary.run_id).summary(summary)
    face.show_summary(job.console, summary)
    if job.request.json:
        document.write(document.run_document(summary), job.request.json)
    return summary


def judge(job: Job) -> Validity:
    """Check all twelve tables, as far as the run's filters reach."""
    from refresh.validation import validate  # noqa: PLC0415 - it loads numpy, which a refresh does without

    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, replace(job.request, full_rebuild=False), job.now)
        ids = _ids(connection, scopes[0])
        connection.rollback()
    number = len(ids) if job.request.sample == "all" else job.request.sample
    return validate(job.opened.engine, scopes, ids, number if isinstance(number, int) else None, job.now.date())


def _ids(connection: Connection, scope: survey.Scope) -> list[int]:
    return source.known_ids(connection) if scope.ids is None else list(scope.ids)


def explain_asset(job: Job, id: int) -> None:
    """What is known of one asset, and what a run would do to it. Writes nothing."""
    request = replace(job.request, ids=(id,))
    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, job.builders, request, job.now)
        plan = make_plan(job.builders, request, survey.survey(connection, scopes))
        known = explain.standing(connection, job.builders, id, job.now)
        connection.rollback()
    face.show_standing(job.console, known, plan)


def write_page(job: Job, target: str) -> None:
    """Write the page about the database. Writes nothing into it."""
    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, job.request, job.now)
        data, charts = collect(connection, scopes, _ids(connection, scopes[0]), job.now)
        connection.rollback()
    write_whole(page(data, charts), target, "--html")
    job.say(f"the page is {Path(target).absolute().as_uri()}")


def check(job: Job) -> int:
    """Whether the last good run is recent enough: prints a line and returns the exit code. Writes nothing."""
    with database.read_committed(job.opened.engine) as connection:
        good = history.last_good(connection)
    if good is None:
        job.console.print("no run of this database has ended well yet")
        return 1
    ended, run_id = good
    age = job.now - ended
    oldest = DEFAULT_MAX_AGE if job.request.max_age is None else job.request.max_age
    late = age > oldest
    job.console.print(
        f"{'too old: ' if late else ''}the last good run ({run_id}) ended {words.spoken(age.total_seconds())} ago, "
        f"{ended:%Y-%m-%d %H:%M} UTC; it may be {words.spoken(oldest.total_seconds())}"
    )
    return int(late)
