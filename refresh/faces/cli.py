"""The command line: what is common to every run, from the first argument to the exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from refresh.errors import AlreadyRunningError, CannotStartError, RefreshError, SettingsError
from refresh.faces import alerts, looks, nightly, words
from refresh.faces.console import make_console
from refresh.faces.document import TERMINAL
from refresh.faces.job import Job
from refresh.faces.log import DAYS_KEPT, Log, open_log
from refresh.option_values import read_zone
from refresh.options import Command, Request, parse, selected
from refresh.run.launch import PACKAGE_FOLDER
from refresh.run.summary import Severity, Summary
from refresh.settings import settings
from refresh.stop import TerminatedError, raising
from refresh.store import database, locks
from refresh.store.survey import run_name

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
LOGS = PACKAGE_FOLDER / ".logs"


def main(command: Command) -> int:
    """Run one of the three programs on the process's own arguments and environment. Returns the exit code."""
    arguments = sys.argv[1:]
    try:
        with raising():
            return _main(command, arguments, settings(os.environ))
    except (KeyboardInterrupt, TerminatedError) as stopped:
        by_hand = isinstance(stopped, KeyboardInterrupt)
        _complain(f"stopped by {'Ctrl-C' if by_hand else 'SIGTERM'}; no builder was running")
        return INTERRUPTED if by_hand else TERMINATED
    except OSError as error:  # a closed pipe, a full disk: Python would fail once more when it flushes at its end
        if "--verbose" in arguments:
            traceback.print_exc()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _complain(f"error: {error}")
        return RefreshError.exit_code
    except (RefreshError, *database.ASSET_ERRORS) as error:
        if "--verbose" in arguments:
            traceback.print_exc()
        _complain(f"error: {_line(error)}")
        return error.exit_code if isinstance(error, RefreshError) else CannotStartError.exit_code


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, RefreshError) else database.first_line(error)


def _complain(line: str) -> None:
    print(line, file=sys.stderr)


def _main(command: Command, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    request = with_settings(parse(command, arguments), environ)
    selected(command, request)
    now = datetime.now(UTC)
    if request.dry_run or request.check or request.explain is not None:
        return _work(command, request, environ, now)[0]
    told = alerts.read_settings(environ)
    if request.alert_on_error and not told.channels:
        _complain("--alert-on-error: nobody would be told; set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, or ALERT_URLS")
    days = DAYS_KEPT if request.keep_logs is None else request.keep_logs
    folder = Path(request.log_dir or environ.get("REFRESH_LOG_DIR") or LOGS)
    with open_log(folder, now, days):
        return _watched(command, request, environ, now, told)


def _watched(
    command: Command, request: Request, environ: Mapping[str, str], now: datetime, told: alerts.Settings
) -> int:
    """Run, with alerts and heartbeats around it."""
    if not request.launches:
        told = replace(told, heartbeat=None)  # a monitor waits for refreshes
    alerts.beat(told, "start", _complain)
    code, beats = RefreshError.exit_code, True
    try:
        code, summary = _work(command, request, environ, now)
        if summary and request.quiet and summary.validity:
            for line in words.findings(summary.validity, words.SHOWN_FINDINGS):
                _complain(line)
        if summary and (digest := alerts.digest(summary)):
            alerts.send(told, digest, _complain)
    except AlreadyRunningError as error:
        beats = False  # the other one goes on to tell the monitor how it ended
        _alert(told, Severity.ERROR, error, now)
        raise
    except (RefreshError, *database.ASSET_ERRORS) as error:
        _alert(told, Severity.CRITICAL, error, now)
        raise
    finally:
        if beats:
            alerts.beat(told, "fail" if code else "", _complain)
    return code


def _alert(told: alerts.Settings, severity: Severity, error: Exception, now: datetime) -> None:
    """Tell that nothing was run."""
    line = _line(error)
    Log(run_name(now)).event("error", logging.CRITICAL, line=line)
    alerts.send(told, alerts.Digest(severity, f"the refresh could not run: {line}"), _complain)


def _work(command: Command, request: Request, environ: Mapping[str, str], now: datetime) -> tuple[int, Summary | None]:
    """What is done with a database at hand. Returns the exit code, and the summary where something was run."""
    builders = selected(command, request)
    with ExitStack() as stack:
        opened = stack.enter_context(database.opened(request.db_url, environ, locks.session_name(now)))
        console = make_console(error=request.json == TERMINAL)
        job = Job(command, request, builders, now, environ, opened, console)
        if request.check:
            return looks.check(job), None
        if request.explain is not None:
            looks.explain_asset(job, request.explain)
            return 0, None
        summary = nightly.refresh(job) if request.launches else looks.validate(job) if request.validate else None
        if request.html is not None and not request.dry_run:
            looks.write_page(job, request.html)
        return summary.exit_code if summary else 0, summary


def with_settings(request: Request, environ: Mapping[str, str]) -> Request:
    """The request, completed by settings of the environment. Raises ``SettingsError`` for one that cannot be used."""
    if request.tz is not None or "REFRESH_TZ" not in environ:
        return request
    try:
        return replace(request, tz=read_zone(environ["REFRESH_TZ"]))
    except ArgumentTypeError as error:
        raise SettingsError(f"REFRESH_TZ: {error}") from error
