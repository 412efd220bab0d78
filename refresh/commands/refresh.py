"""One refresh of one database, from the lock to the summary."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from sqlalchemy import Connection

from refresh.commands.job import Job, complain
from refresh.commands.planned import Planned, plan_job
from refresh.commands.record import Recorder
from refresh.commands.validate import judge
from refresh.commands.workplace import cluster_of, context_of, limits_of
from refresh.due.survey import run_name
from refresh.faces import console as face
from refresh.faces import document
from refresh.faces.log import Log
from refresh.faces.progress import progress
from refresh.faces.tally import Tally
from refresh.installation import VERSION, command
from refresh.options.arguments import remembered
from refresh.options.declaration import Program
from refresh.options.request import Request
from refresh.options.subcommands import TARGETS
from refresh.run.cluster import Cluster
from refresh.run.plan import Plan
from refresh.run.report import RunReport
from refresh.run.steps import run
from refresh.run.summary import Summary, summarise
from refresh.run.watch import Watcher, Watchers
from refresh.stop import Stop
from refresh.store import database, history, locks, migrating, schema, source
from refresh.store.settings import remember_folds
from refresh.validate.finding import Validity


def refresh(job: Job) -> Summary | None:
    """Plan, launch the builders and sum up; a dry run only shows the plan. ``None`` if no builder was to run."""
    if job.request.dry_run:
        planned = job.patiently(lambda: _plan_without_writing(job))
        if planned:
            _show_plan(job, planned.plan)
        return None
    with cluster_of(job) as cluster, _locked(job) as lock:
        _fill_new(job)
        planned = job.patiently(lambda: _plan(job, lock))
        return _refresh(planned, lock, cluster) if planned else None


def _plan_without_writing(job: Job) -> Planned | None:
    tz = None if _may_rezone(job.request) else job.request.tz
    with schema.looking(job.engine, tz, job.request.partitions) as connection:
        outstanding = migrating.outstanding(connection)
        if outstanding:
            job.say(f"a run would migrate first: {outstanding}")
        return plan_job(job.zoned(connection), connection)


def _plan(job: Job, lock: locks.RefreshLock) -> Planned | None:
    lock.keep()
    with database.read_committed(job.engine) as connection:
        if job.request.no_migrate:
            schema.refuse_outdated(connection)
        migrated = schema.migrate(connection)
        _rezone(job, connection)
        schema.prepare(connection, job.request.tz, job.request.partitions)
        planned = plan_job(job.zoned(connection), connection)
        if job.request.fold:
            remember_folds(connection, job.request.asset_ids)
    if migrated:
        Log(run_name(job.now)).event("migrate", line=migrated)
        job.say(migrated)
    return planned


def _may_rezone(request: Request) -> bool:
    """Whether the tables may get another time zone: everything is rebuilt."""
    is_narrowed = request.ids is not None or request.tfs or request.periods or request.tf_period_combos
    return request.full_rebuild and not request.resume and not is_narrowed


def _rezone(job: Job, connection: Connection) -> None:
    """Change the time zone of the tables, if that is what a rebuild of everything was asked for."""
    if job.request.tz and _may_rezone(job.request):
        before = schema.rezone(connection, job.request.tz)
        if before:
            job.say(f"the time zone of the tables was {before} and is {job.request.tz} from now on")


@contextmanager
def _locked(job: Job) -> Iterator[locks.RefreshLock]:
    """The lock of the refresh for the length of the block."""
    lock = locks.RefreshLock(job.engine)
    try:
        patience = job.request.wait_lock.total_seconds()
        lock.take(patience, lambda holder: job.say(f"waiting for another refresh to finish: {holder}"))
        yield lock
    finally:
        lock.release()


def _fill_new(job: Job) -> None:
    """Fill a new embedded database with the sample."""
    if not job.opened.embedded or not _is_without_prices(job):
        return
    from refresh.load.loading import SAMPLE, load_sample  # noqa: PLC0415 - needed once in the life of a database

    counts = load_sample(job.engine, job.now, job.request.tz)
    job.console.print(
        f"the database is empty: loaded {counts.inserted:,} days of Apple as a sample, asset {SAMPLE.id}; "
        f"load your own files with: {command('load')} FILE..."
    )


def _is_without_prices(job: Job) -> bool:
    with database.transaction(job.engine) as connection:
        return source.is_absent_or_empty(connection)


def _show_plan(job: Job, plan: Plan) -> None:
    if job.request.json is None:
        face.show_plan(job.console, plan, Program.BUILDER.value.split())
    else:
        document.write(document.plan_document(plan), job.request.json)


def _refresh(planned: Planned, lock: locks.RefreshLock, cluster: Cluster | None) -> Summary:
    """Run the plan, keep its history, and publish its result."""
    recorder = _recorder(planned, lock)
    _log_start(recorder.run, planned.job.where)
    stop = Stop()
    with stop.listening(), recorder.ending():
        report = _run(planned, recorder, stop, cluster)
        summary = _summary(planned, recorder, report)
        recorder.finish(summary)
        planned.job.publish(summary)
    return summary


def _recorder(planned: Planned, lock: locks.RefreshLock) -> Recorder:
    job = planned.job
    started = history.Started(
        run_id=planned.scopes[0].run_id,
        command=job.typed,
        arguments=tuple(remembered(job.request)),
        host=locks.host(),
        pid=os.getpid(),
        started_at=job.now,
        assets=planned.plan.assets,
        program=job.program.key,
        builders=tuple(builder.key for builder in job.builders),
        asset_ids=job.request.asset_ids,
        resumes=planned.resumes,
    )
    return Recorder(
        engine=job.engine,
        lock=lock,
        scopes={scope.builder: scope for scope in planned.scopes},
        run=started,
        retries=job.request.retries,
        say=complain,
    )


def _log_start(run: history.Started, where: str) -> None:
    Log(run.run_id).event(
        "start", command=run.command, where=where, assets=run.assets, host=run.host, pid=run.pid, version=VERSION
    )  # fmt: skip


def _run(planned: Planned, recorder: Recorder, stop: Stop, cluster: Cluster | None) -> RunReport:
    """Run the plan while history, log, JSON lines and the terminal follow it."""
    job, plan = planned.job, planned.plan
    limits = limits_of(job.request, cluster)
    display = progress(job.console, face.make_console(error=True), Tally(plan, limits.jobs), quiet=job.request.quiet)
    watchers: list[Watcher] = [recorder, Log(recorder.run.run_id)]
    with ExitStack() as stack, display as shown:
        if job.request.json and job.request.json != document.TERMINAL:
            watchers.append(stack.enter_context(closing(document.OutcomeLines(job.request.json))))
        return run(
            plan,
            job.request,
            context_of(job, recorder, cluster),
            Watchers((*watchers, shown)),
            limits=limits,
            stop=stop,
            stale=recorder.lagging,
            begin=lambda: recorder.start(plan, planned.remaining),
        )


def _summary(planned: Planned, recorder: Recorder, report: RunReport) -> Summary:
    return summarise(
        planned.plan,
        report,
        recorder.facts(),
        run_id=recorder.run.run_id,
        command=recorder.run.command,
        started_at=planned.job.now,
        resume=_resume_command(planned.job),
        validity=_validity(planned.job, report),
    )


def _validity(job: Job, report: RunReport) -> Validity | None:
    """The result of ``--validate``; a run that was stopped is not validated."""
    if not job.request.validate or report.stopped_by is not None:
        return None
    validity, _ = judge(job)
    return validity


def _resume_command(job: Job) -> str:
    """The command that resumes what a run leaves."""
    targets = [f"--{name}" for name in TARGETS if getattr(job.request, name)]
    return shlex.join([*job.program.resumed_by.command.split(), *targets, "--resume"])
