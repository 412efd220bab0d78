"""One refresh of one database, from the lock to the summary."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from refresh.catalog import Group
from refresh.commands.job import Job, complain
from refresh.commands.record import Recorder
from refresh.commands.validate import judge
from refresh.due import survey
from refresh.due.scope import Scope
from refresh.errors import CannotStartError
from refresh.faces import console as face
from refresh.faces import document
from refresh.faces.log import Log
from refresh.faces.progress import Tally, progress
from refresh.options.arguments import filter_flags, remembered, resumed
from refresh.options.declaration import Program
from refresh.run.launch import RunContext
from refresh.run.plan import Plan, make_plan
from refresh.run.report import RunReport
from refresh.run.steps import Limits, run
from refresh.run.summary import Summary, summarise
from refresh.run.watch import Watcher, Watchers
from refresh.stop import Stop
from refresh.store import database, history, locks, schema, source


def refresh(job: Job) -> Summary | None:
    """Plan, launch, and sum up; or only show the plan. ``None`` where nothing was to be run."""
    if job.request.dry_run:
        _say_where(job)
        with schema.looking(job.opened.engine, job.request.tz) as connection:
            planned = _prepared(job, connection)
        if planned:
            _show_plan(job, planned.plan)
        return None
    with _locked(job) as lock:
        _greet(job)
        with database.read_committed(job.opened.engine) as connection:
            schema.prepare(connection, job.request.tz)
            planned = _prepared(job, connection)
        return _refresh(planned, lock) if planned else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """What is to be done: the job, narrowed to what is resumed if anything is, its scopes and its plan."""

    job: Job
    scopes: Sequence[Scope]
    plan: Plan
    remainder: history.Remainder | None


@contextmanager
def _locked(job: Job) -> Iterator[locks.RefreshLock]:
    """The lock of the refresh for the length of the block."""
    lock = locks.RefreshLock(job.opened.engine)
    try:
        patience = job.request.wait_lock.total_seconds()
        lock.take(patience, lambda holder: job.say(f"waiting for another refresh to finish: {holder}"))
        yield lock
    finally:
        lock.release()


def _greet(job: Job) -> None:
    """Say where an embedded database keeps its data and, when it is new, fill it with the sample."""
    _say_where(job)
    if not job.opened.embedded or not _is_without_prices(job):
        return
    from refresh.load.loading import SAMPLE, load_sample  # noqa: PLC0415 - needed once in the life of a database

    counts = load_sample(job.opened.engine, job.now)
    job.console.print(
        f"the database is empty: loaded {counts.inserted:,} days of Apple as a sample, asset {SAMPLE.id}; "
        "load your own files with: python -m refresh.load FILE..."
    )


def _say_where(job: Job) -> None:
    if job.opened.embedded:
        job.say(f"embedded PostgreSQL, data in {job.opened.embedded.directory}")


def _is_without_prices(job: Job) -> bool:
    with database.transaction(job.opened.engine) as connection:
        return source.is_absent_or_empty(connection)


def _prepared(job: Job, connection: Connection) -> _Planned | None:
    """The plan of a run; ``None`` where a run was to be resumed and none left anything."""
    remainder = None
    if job.request.dry_run and job.opened.embedded and source.is_absent_or_empty(connection):
        raise CannotStartError("the embedded database is empty; a run without --dry-run loads a sample first")
    if job.request.resume:
        remainder = _remainder(job, connection)
        if remainder is None:
            job.console.print("Nothing to resume: no run left anything unfinished.")
            return None
        job = _narrowed(job, remainder)
    scopes = survey.open_scopes(connection, job.builders, job.request.selection, job.now)
    plan = make_plan(
        job.builders,
        job.request,
        survey.survey(connection, scopes),
        past=history.past_steps(connection),
        only=remainder.assets if remainder else None,
    )
    return _Planned(job=job, scopes=scopes, plan=plan, remainder=remainder)


def _remainder(job: Job, connection: Connection) -> history.Remainder | None:
    """What there is to resume, narrowed to what is asked for now."""
    survey.open_scopes(connection, job.builders, job.request.selection, job.now)  # refuses unknown names first
    remainder = history.remainder(connection, filter_flags())
    if remainder is None:
        return None
    assets = {}
    for builder in job.builders:
        ids = remainder.assets.get(builder.key, frozenset())
        if job.request.ids is not None:
            ids = ids.intersection(job.request.ids)
        if ids:
            assets[builder.key] = ids
    return replace(remainder, assets=assets) if assets else None


def _narrowed(job: Job, remainder: history.Remainder) -> Job:
    job.say(f"resuming the run of {remainder.run_id}")
    builders = tuple(builder for builder in job.builders if builder.key in remainder.assets)
    return replace(job, request=resumed(job.request, remainder.arguments), builders=builders)


def _show_plan(job: Job, plan: Plan) -> None:
    if job.request.json is None:
        face.show_plan(job.console, plan, Program.BUILDER.value.split())
    else:
        document.write(document.plan_document(plan), job.request.json)


def _refresh(planned: _Planned, lock: locks.RefreshLock) -> Summary:
    """Run the plan and report the result everywhere."""
    job, plan = planned.job, planned.plan
    recorder = _recorder(planned, lock)
    log = Log(recorder.run.run_id)
    log.event("start", command=recorder.run.command, assets=plan.assets, host=recorder.run.host, pid=recorder.run.pid)
    stop = Stop()
    with stop.listening():
        recorder.start(plan, planned.remainder.assets if planned.remainder else {})
        report = _watched(job, plan, recorder, log, stop)
        summary = summarise(
            plan,
            report,
            recorder.facts(),
            run_id=recorder.run.run_id,
            command=recorder.run.command,
            started_at=job.now,
            resume=_resume(job),
            validity=judge(job)[0] if job.request.validate and report.stopped_by is None else None,
        )
        recorder.finish(summary)
        log.summary(summary)
        face.show_summary(job.console, summary)
        if job.request.json:
            document.write(document.run_document(summary), job.request.json)
    return summary


def _recorder(planned: _Planned, lock: locks.RefreshLock) -> Recorder:
    job = planned.job
    started = history.Started(
        run_id=planned.scopes[0].run_id,
        command=job.typed,
        arguments=tuple(remembered(job.request)),
        host=locks.host(),
        pid=os.getpid(),
        started_at=job.now,
        assets=planned.plan.assets,
        resumes=planned.remainder.run_id if planned.remainder else None,
    )
    return Recorder(
        engine=job.opened.engine,
        lock=lock,
        scopes={scope.builder: scope for scope in planned.scopes},
        run=started,
        retries=job.request.retries,
        say=complain,
    )


def _resume(job: Job) -> str:
    """The command that resumes what a run leaves."""
    targets = [f"--{name}" for name in ("all", *(group.key for group in Group)) if getattr(job.request, name)]
    return shlex.join([*job.program.command.split(), *targets, "--resume"])


def _watched(job: Job, plan: Plan, recorder: Recorder, log: Log, stop: Stop) -> RunReport:
    """Run the plan while history, log, JSON lines and the terminal follow it."""
    with ExitStack() as stack:
        watchers: list[Watcher] = [recorder, log]
        if job.request.json and job.request.json != document.TERMINAL:
            watchers.append(stack.enter_context(closing(document.OutcomeLines(job.request.json))))
        return _run(job, plan, recorder, watchers, stop)


def _run(job: Job, plan: Plan, recorder: Recorder, watchers: Sequence[Watcher], stop: Stop) -> RunReport:
    request = job.request
    context = RunContext(
        run_id=recorder.run.run_id,
        now=job.now,
        environ={**job.environ, "TARGET_DB_URL": job.opened.url},
        end_sessions=recorder.end_sessions,
    )
    limits = Limits(jobs=request.jobs or _cores(), timeout=request.timeout.total_seconds() if request.timeout else None)
    errors = face.make_console(error=True)
    with progress(job.console, errors, Tally(plan, limits.jobs), quiet=request.quiet) as shown:
        everyone = Watchers((*watchers, shown))
        return run(plan, request, context, everyone, limits=limits, stop=stop, stale=recorder.lagging)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
