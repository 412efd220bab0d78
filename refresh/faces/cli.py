"""The command line: parse, survey, plan, run, show. With ``record.py`` the only module that joins store and run."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from refresh.catalog import BuilderConfig
from refresh.errors import CannotStartError, RefreshError, SettingsError
from refresh.faces import console as face
from refresh.faces.document import plan_document, written
from refresh.faces.record import Recorder
from refresh.option_values import read_zone
from refresh.options import OPTIONS, Command, Request, parse, remembered, resumed, selected
from refresh.run.launch import RunContext
from refresh.run.plan import Plan, make_plan
from refresh.run.report import RunReport
from refresh.run.steps import Limits, run
from refresh.run.watch import Watchers
from refresh.settings import settings
from refresh.stop import Stop, TerminatedError, raising
from refresh.store import database, explain, history, locks, source, survey
from refresh.store.retry import DEFAULT_RETRIES

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


def main(command: Command) -> int:
    """Run one of the three programs on the process's own arguments and environment. Returns the exit code."""
    arguments = sys.argv[1:]
    try:
        with raising():
            return _main(command, arguments, settings(os.environ))
    except (KeyboardInterrupt, TerminatedError) as stopped:
        by_hand = isinstance(stopped, KeyboardInterrupt)
        print(f"stopped by {'Ctrl-C' if by_hand else 'SIGTERM'}; nothing was running", file=sys.stderr)
        return INTERRUPTED if by_hand else TERMINATED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RefreshError.exit_code
    except (RefreshError, *database.ASSET_ERRORS) as error:
        if "--verbose" in arguments:
            traceback.print_exc()
        line = str(error) if isinstance(error, RefreshError) else database.first_line(error)
        print(f"error: {line}", file=sys.stderr)
        return error.exit_code if isinstance(error, RefreshError) else CannotStartError.exit_code


@dataclass(frozen=True, slots=True)
class _Job:
    """What a command is about: what was asked, of which database, and where to say what."""

    command: Command
    request: Request
    builders: tuple[BuilderConfig, ...]
    now: datetime
    environ: Mapping[str, str]
    opened: database.Opened
    console: Console

    def say(self, line: str) -> None:
        """A line about the run itself."""
        if not self.request.quiet:
            self.console.print(line)


def _main(command: Command, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    request = with_settings(parse(command, arguments), environ)
    builders = selected(command, request)
    now = datetime.now(UTC)
    with database.opened(request.db_url, environ, locks.session_name(now)) as opened:
        job = _Job(command, request, builders, now, environ, opened, face.make_console())
        if request.explain is not None:
            return _explain(job, request.explain)
        with _locked(job) as lock:
            _greet(job)
            return _refresh(job, lock)


def with_settings(request: Request, environ: Mapping[str, str]) -> Request:
    """The request, completed by settings of the environment. Raises ``SettingsError`` for one that cannot be used."""
    if request.tz is not None or "REFRESH_TZ" not in environ:
        return request
    try:
        return replace(request, tz=read_zone(environ["REFRESH_TZ"]))
    except ArgumentTypeError as error:
        raise SettingsError(f"REFRESH_TZ: {error}") from error


@contextmanager
def _locked(job: _Job) -> Iterator[locks.RefreshLock]:
    """The lock of the refresh for the length of the block; looking at the plan needs none."""
    lock = locks.RefreshLock(job.opened.engine)
    try:
        if not job.request.dry_run:
            patience = job.request.wait_lock.total_seconds() if job.request.wait_lock else 0.0
            lock.take(patience, lambda holder: job.say(f"waiting for another refresh to end: {holder}"))
        yield lock
    finally:
        lock.release()


def _greet(job: _Job) -> None:
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


def _refresh(job: _Job, lock: locks.RefreshLock) -> int:
    """Plan, and launch or show the plan."""
    left = None
    if job.request.resume:
        left = _left(job)
        if left is None:
            job.console.print("Nothing to resume: no run left anything unfinished.")
            return 0
        job = _narrowed(job, left)
    scopes, plan = _plan(job, left)
    if job.request.dry_run:
        _show_plan(job, plan)
        return 0
    recorder = _recorder(job, lock, scopes, plan, left)
    report = _run(job, plan, recorder)
    recorder.finish(report)
    if plan.idle:
        face.show_idle(job.console, plan, sum(len(builder.legs) for builder in job.builders))
    else:
        face.show_report(job.console, report)
    return report.exit_code


def _left(job: _Job) -> history.Unfinished | None:
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


def _narrowed(job: _Job, left: history.Unfinished) -> _Job:
    job.say(f"resuming the run of {left.run_id}")
    builders = tuple(builder for builder in job.builders if builder.key in left.assets)
    return replace(job, request=resumed(job.request, left.arguments), builders=builders)


def _plan(job: _Job, left: history.Unfinished | None) -> tuple[Sequence[survey.Scope], Plan]:
    """The plan of a run. Of a dry run, nothing stays behind: even tables it had to create are rolled back."""
    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, job.builders, job.request, job.now)
        past = history.past_steps(connection)
        surveyed = survey.survey(connection, scopes)
        plan = make_plan(job.builders, job.request, surveyed, past=past, only=left.assets if left else None)
        if job.request.dry_run:
            connection.rollback()
        return scopes, plan


def _show_plan(job: _Job, plan: Plan) -> None:
    if job.request.json is None:
        face.show_plan(job.console, plan, Command.BUILDER.value.split())
        return
    text = written(plan_document(plan))
    if job.request.json == "-":
        sys.stdout.write(text)
    else:
        try:
            Path(job.request.json).write_text(text, encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"--json {job.request.json}: {error.strerror}; name a file that can be written"
            ) from None


def _recorder(
    job: _Job,
    lock: locks.RefreshLock,
    scopes: Sequence[survey.Scope],
    plan: Plan,
    left: history.Unfinished | None,
) -> Recorder:
    started = history.Started(
        scopes[0].run_id,
        shlex.join([job.command.value, *_typed(job.request)]),
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


def _typed(request: Request) -> list[str]:
    """The command line of a request, without the address of the database, which may hold a password."""
    arguments: list[str] = []
    for option in OPTIONS:
        value = getattr(request, option.name)
        if option.name != "db_url" and value is not None and value is not False:
            arguments += [option.flag, option.text.show(value)] if option.text else [option.flag]
    return arguments


def _run(job: _Job, plan: Plan, recorder: Recorder) -> RunReport:
    request = job.request
    environ = {**job.environ, "TARGET_DB_URL": job.opened.url}
    context = RunContext(recorder.run.run_id, job.now, environ, recorder.end_sessions)
    watcher = Watchers((recorder, face.Progress(job.console, quiet=request.quiet)))
    limits = Limits(request.jobs or _cores(), request.timeout.total_seconds() if request.timeout else None)
    recorder.start(plan)
    stop = Stop()
    with stop.listening():
        return run(plan, request, context, watcher, limits=limits, stop=stop, stale=recorder.lagging)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _explain(job: _Job, id: int) -> int:
    """What is known of one asset, and what a run would do to it. Writes nothing."""
    request = replace(job.request, ids=(id,))
    with database.read_committed(job.opened.engine) as connection:
        scopes = survey.open_scopes(connection, job.builders, request, job.now)
        plan = make_plan(job.builders, request, survey.survey(connection, scopes))
        known = explain.standing(connection, job.builders, id, job.now)
        connection.rollback()
    face.show_standing(job.console, known, plan)
    return 0
