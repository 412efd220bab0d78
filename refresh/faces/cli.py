"""The command line: parse, survey, plan, run, show. The only module that joins the store and the run."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dotenv import dotenv_values
from rich.console import Console

from refresh.catalog import BuilderConfig
from refresh.errors import CannotStartError, RefreshError, SettingsError
from refresh.faces import console as face
from refresh.options import Command, Request, parse, read_zone, selected
from refresh.run.launch import RunContext
from refresh.run.plan import Plan, make_plan
from refresh.run.steps import run
from refresh.store import database, source, survey

INTERRUPTED = 128 + signal.SIGINT


def main(command: Command) -> int:
    """Run one of the three programs on the process's own arguments and environment. Returns the exit code."""
    arguments = sys.argv[1:]
    try:
        return _main(command, arguments, settings(os.environ))
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; what was committed stays, the next run goes on from there", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RefreshError.exit_code
    except (RefreshError, *database.ASSET_ERRORS) as error:
        if "--verbose" in arguments:
            traceback.print_exc()
        line = str(error) if isinstance(error, RefreshError) else database.first_line(error)
        print(f"error: {line}", file=sys.stderr)
        return error.exit_code if isinstance(error, RefreshError) else CannotStartError.exit_code


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over what ``.env`` in the current folder holds; empty values count as unset."""
    merged = {**dotenv_values(".env"), **environ}
    return {name: value for name, value in merged.items() if value}


def _main(command: Command, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    request = with_settings(parse(command, arguments), environ)
    builders = selected(command, request)
    now = datetime.now(UTC)
    console = face.make_console()
    with database.opened(request.db_url, environ) as opened:
        _greet(console, opened, request, now)
        plan = _plan(opened, builders, request, now)
        if request.dry_run:
            face.show_plan(console, plan, ["python", "-m", "refresh.builder"])
            return 0
        if plan.idle:
            face.show_idle(console, plan, sum(len(builder.legs) for builder in builders))
            return 0
        progress = face.Progress(console, quiet=request.quiet)
        context = RunContext(now.isoformat(timespec="seconds"), now, {**environ, "TARGET_DB_URL": opened.url})
        report = run(plan, request, context, progress)
        face.show_report(console, report)
        return report.exit_code


def with_settings(request: Request, environ: Mapping[str, str]) -> Request:
    """The request, completed by settings of the environment. Raises ``SettingsError`` for one that cannot be used."""
    if request.tz is not None or "REFRESH_TZ" not in environ:
        return request
    try:
        return replace(request, tz=read_zone(environ["REFRESH_TZ"]))
    except ArgumentTypeError as error:
        raise SettingsError(f"REFRESH_TZ: {error}") from error


def _greet(console: Console, opened: database.Opened, request: Request, now: datetime) -> None:
    """Say where an embedded database keeps its data and, when it is new, fill it with the sample."""
    if opened.embedded is None:
        return
    if not request.quiet:
        console.print(f"embedded PostgreSQL, data in {opened.embedded.directory}", markup=False)
    with database.transaction(opened.engine) as connection:
        empty = source.is_absent_or_empty(connection)
    if not empty:
        return
    if request.dry_run:
        raise CannotStartError("the embedded database is empty; a run without --dry-run loads a sample first")
    from refresh.load import load_sample  # noqa: PLC0415 - needed once in the life of a database

    counts = load_sample(opened.engine, now)
    console.print(
        f"the database is empty: loaded {counts.inserted:,} days of Apple as a sample; "
        "load your own files with: python -m refresh.load FILE...",
        markup=False,
    )


def _plan(opened: database.Opened, builders: Sequence[BuilderConfig], request: Request, now: datetime) -> Plan:
    """The plan of a run. Of a dry run, nothing stays behind: even tables it had to create are rolled back."""
    with database.read_committed(opened.engine) as connection:
        scopes = survey.open_scopes(connection, builders, request, now)
        plan = make_plan(builders, request, survey.survey(connection, scopes))
        if request.dry_run:
            connection.rollback()
        return plan
