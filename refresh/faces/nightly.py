"""One refresh of one database, from the lock to the summary. With ``record.py`` it joins the store and the run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

from refresh.errors import CannotStartError
from refresh.faces import console as face
from refresh.faces import document
from refresh.faces.job import Job
from refresh.faces.log import Log
from refresh.faces.looks import judge
from refresh.faces.progress import Tally, progress
from refresh.faces.record import Recorder
from refresh.options import Command, remembered, resumed
from refresh.run.launch import RunContext
from refresh.run.plan import Plan, make_plan
from refresh.run.report import RunReport
from refresh.run.steps import Limits, run
from refresh.run.summary import Summary, summarise
from refresh.run.watch import Watcher, Watchers
from refresh.stop import Stop
from refresh.store import database, history, locks, source, survey
from refresh.store.retry import DEFAULT_RETRIES


def refresh(job: Job) -> Summary | None:
    """Plan, launch, and sum up; or only show the plan. ``None`` where nothing was to be run."""
    with _locked(job) as lock:
        _greet(job)
        left = None
        if job.request.resume:
            left = _left(job)
            if left is None:
                job.console.print("Nothing to resume: no run left anything unfinished.")
                return None
            job = _narrowed(job, left)
        scopes, plan = _plan(job, left)
        if job.request.dry_run:
            _show_plan(job, plan)
            return None
        recorder = _recorder(job, lock, scopes, plan, left)
        stop = Stop()
        with stop.listening():
            return _refresh(job, recorder, plan, left.assets if left else {}, stop)


@contextmanager
def _locked(job: Job) -> Iterator[locks.RefreshLock]:
    """The lock of the refresh for the length of the block; looking at the plan needs none."""
    lock = locks.RefreshLock(job.opened.engine)
    try:
        if not job.request.dry_run:
            patience = job.request.wait_lock.total_seconds() if job.request.wait_lock else 0.0
            lock.take(patience, lambda holder: job.say(f"waiting for another refresh to end: {holder}"))
        yield lock
    finally:
        lock.release()


def _greet(job: Job) -> None:
    """Say where an embedded database keeps its data and, when it is new, fill it with the sample."""
    embedded = job.opened.embedded
    if embedded is None:
        return
    job.say(f"embedded PostgreSQL, data in {embedded.directory}")
    with database.transaction(job.opened.engine) as connection:
        empty = source.is_absent_or_empty(connection)
    if not empty:
        return
    if job.request.dry_run:
        raise CannotStartError("the embedded database is empty; a run without --dry-run loads a sample first")
    from refresh.load import SAMPLE, load_sample  # noqa: PLC0415 - needed once in the life of a database

    counts = load_sample(job.opened.engine, job.now)
    job.console.print(
        f"the database is empty: loaded {counts.inserted:,} days of Apple as a sample, asset {SAMPLE.id}; "
        "load your own files with: python -m refresh.load FILE..."
    )


def _left(job: Job) -> history.Unfinished | None:
    """What there is to resume of what is asked for now."""
    with database.read_committed(job.opened.engine) as connection:
        survey.open_scopes(connection, job.builders, job.request, job.now)
        left = history.unfinished(connection)
        if job.request.dry_run:
            connection.rollback()
    if left is None:
        return None
    asked = None if job.request.ids is None else frozenset(job.request.ids)
    keys = {builder.key for builder in job.builders}
    assets = {key: ids if asked is None else ids & asked for key, ids in left.assets.items() if key in keys}
    assets = {key: ids for key, ids in assets.items() if ids}
    return replace(left, assets=assets) if assets else None


def _narrowed(job: Job, left: history.Unfinished) -> Job:
    job.say(f"resuming the run of {left.run_id}")
    builders = tuple(builder for builder in job.builders if builder.key in left.assets)
    return replace(job, request=resumed(job.request, left.arguments), builders=builders)


def _plan(job: Job, left: history.Unfinished | None) -> tuple[Sequence[survey.Scope], Plan]:
    """The plan of a run. Of a dry run, nothing stays behind: even tables it had to create are rolled back."""
    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, job.builders, job.request, job.now)
        past = history.past_steps(connection)
        surveyed = survey.survey(connection, scopes)
        plan = make_plan(job.builders, job.request, surveyed, past=past, only=left.assets if left else None)
        if job.request.dry_run:
            connection.rollback()
        return scopes, plan


def _show_plan(job: Job, plan: Plan) -> None:
    if job.request.json is None:
        face.show_plan(job.console, plan, Command.BUILDER.value.split())
    else:
        document.write(document.plan_document(plan), job.request.json)


def _recorder(
    job: Job,
    lock: locks.RefreshLock,
    scopes: Sequence[survey.Scope],
    plan: Plan,
    left: history.Unfinished | None,
) -> Recorder:
    started = history.Started(
        scopes[0].run_id,
        job.typed,
        tuple(remembered(job.request)),
        locks.host(),
        os.getpid(),
        job.now,
        plan.assets,
        left.run_id if left else None,
    )
    by_builder = {scope.builder: scope for scope in scopes}
    retries = DEFAULT_RETRIES if job.request.retries is None else job.request.retries
    return Recorder(job.opened.engine, lock, by_builder, started, retries, _complain)


def _complain(line: str) -> None:
    print(line, file=sys.stderr)


def _refresh(job: Job, recorder: Recorder, plan: Plan, left: Mapping[str, frozenset[int]], stop: Stop) -> Summary:
    """Run the plan and tell everybody what it came to."""
    log = Log(recorder.run.run_id)
    log.event("start", command=recorder.run.command, assets=plan.assets, host=recorder.run.host, pid=recorder.run.pid)
    with ExitStack() as stack:
        watchers: list[Watcher] = [recorder, log]
        if job.request.json and job.request.json != document.TERMINAL:
            watchers.append(stack.enter_context(closing(document.OutcomeLines(job.request.json))))
        recorder.start(plan, left)
        report = _run(job, plan, recorder, watchers, stop)
    summary = summarise(
        plan,
        report,
        recorder.facts(),
        run_id=recorder.run.run_id,
        command=recorder.run.command,
        started_at=job.now,
        resume=_resume(job),
        validity=judge(job) if job.request.validate and report.stopped_by is None else None,
    )
    recorder.finish(summary)
    log.summary(summary)
    face.show_summary(job.console, summary)
    if job.request.json:
        document.write(document.run_document(summary), job.request.json)
    return summary


def _resume(job: Job) -> str:
    """The command that takes up what a run leaves."""
    targets = [f"--{name}" for name in ("all", "bars", "emas") if getattr(job.request, name)]
    return shlex.join(["python", job.command.value, *targets, "--resume"])


def _run(job: Job, plan: Plan, recorder: Recorder, watchers: Sequence[Watcher], stop: Stop) -> RunReport:
    request = job.request
    environ = {**job.environ, "TARGET_DB_URL": job.opened.url}
    context = RunContext(recorder.run.run_id, job.now, environ, recorder.end_sessions)
    limits = Limits(request.jobs or _cores(), None if request.timeout is None else request.timeout.total_seconds())
    tally = Tally(plan, limits.jobs)
    errors = face.make_console(error=True)
    with progress(job.console, errors, tally, quiet=request.quiet) as shown:
        everyone = Watchers((*watchers, shown))
        return run(plan, request, context, everyone, limits=limits, stop=stop, stale=recorder.lagging)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
