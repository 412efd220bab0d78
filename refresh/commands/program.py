"""The process border of a refresh: from the first argument to the exit code, with log, alerts and heartbeats."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from refresh import printing
from refresh.commands import refresh, validate
from refresh.commands.check import check
from refresh.commands.explain import explain_asset
from refresh.commands.job import Job, complain
from refresh.commands.metrics import write_metrics
from refresh.commands.page import write_page
from refresh.commands.settings import show_settings
from refresh.commands.targets import check_targets
from refresh.commands.weekly import print_week
from refresh.due.survey import run_name
from refresh.errors import SHORTAGES, AlreadyRunningError, ExitCode, RefreshError, shortage
from refresh.faces import alerts, words
from refresh.faces.console import make_console
from refresh.faces.document import TERMINAL
from refresh.faces.log import Log, open_log
from refresh.faces.sending import SECONDS_AFTER_A_SIGNAL, SECONDS_TO_SEND, Courier
from refresh.options.asset_names import with_ids
from refresh.options.builders import selected
from refresh.options.declaration import Program
from refresh.options.environment import Settings, settings
from refresh.options.parsing import completed, parse
from refresh.options.request import Request
from refresh.run.summary import Severity, Summary
from refresh.stop import SIGNALS, Stop, TerminatedError, raising
from refresh.store import database, locks
from refresh.store.assets import read_symbols
from refresh.store.server_errors import ASSET_ERRORS, first_line

Result = tuple[int, tuple[alerts.Digest, ...]]
"""The exit code, and what people should be sent."""


def main(program: Program, arguments: Sequence[str]) -> int:
    """Run a program that refreshes or looks, in the environment of the process. Returns the exit code."""
    return printing.run(lambda: _guarded(program, arguments))


def _guarded(program: Program, arguments: Sequence[str]) -> int:
    try:
        with raising():
            return _main(program, arguments)
    except KeyboardInterrupt:
        complain("stopped by Ctrl-C; no builder was running")
        return ExitCode.INTERRUPTED
    except TerminatedError as error:
        complain(f"{error}; no builder was running")
        return error.exit_code
    except (RefreshError, *ASSET_ERRORS) as error:
        _print_traceback(arguments)
        complain(f"error: {_line(error)}")
        return error.exit_code if isinstance(error, RefreshError) else ExitCode.CANNOT_START
    except SHORTAGES as error:
        _print_traceback(arguments)
        complain(f"error: {shortage(error)}")
        return ExitCode.FAILED


def _print_traceback(arguments: Sequence[str]) -> None:
    if "--verbose" in arguments:
        traceback.print_exc()


def _line(error: Exception) -> str:
    if isinstance(error, SHORTAGES):
        return shortage(error)
    return str(error) if isinstance(error, RefreshError) else first_line(error)


def _main(program: Program, arguments: Sequence[str]) -> int:
    typed = parse(program, arguments)
    environ = settings(os.environ, typed.config)
    request = completed(program, typed, environ)
    selected(program, request)
    now = datetime.now(UTC)
    is_question = request.dry_run or request.check or request.explain is not None or request.show_settings
    if is_question or request.json == TERMINAL:
        printing.expect_result()
    if request.show_settings:
        return show_settings(request, environ)
    if is_question:
        code, _ = _work(program, request, environ, now)
        return code
    channels = alerts.read_settings(environ)
    if request.alert_on_error and not channels.has_channel:
        complain(
            "--alert-on-error: no alert channel is configured; "
            "set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, or ALERT_URLS"
        )
    with open_log(Path(request.log_dir), now, request.keep_logs):
        return _alerting(program, request, environ, now, channels)


def _alerting(program: Program, request: Request, environ: Settings, now: datetime, channels: alerts.Settings) -> int:
    """Run, with alerts and heartbeats. Returns the exit code, which is known before anything is sent about it."""
    if not request.launches:
        channels = replace(channels, heartbeat=None)  # a monitor waits for refreshes
    courier = Courier(complain)
    alerts.beat(courier, channels, "start")
    code: int = ExitCode.FAILED
    sends_heartbeat, seconds = True, SECONDS_TO_SEND
    try:
        code, digests = _work(program, request, environ, now)
        for digest in digests:
            alerts.send(courier, channels, digest)
    except AlreadyRunningError as error:
        sends_heartbeat = False  # the other refresh reports to the monitor how it ended
        _send_error(courier, channels, Severity.ERROR, error, now)
        raise
    except (RefreshError, *SHORTAGES, *ASSET_ERRORS) as error:
        _send_error(courier, channels, Severity.CRITICAL, error, now)
        raise
    except (KeyboardInterrupt, TerminatedError):
        seconds = SECONDS_AFTER_A_SIGNAL
        raise
    finally:
        if sends_heartbeat:
            alerts.beat(courier, channels, "fail" if code else "")
        _finish(courier, SECONDS_AFTER_A_SIGNAL if code in SIGNALS.values() else seconds)
    return code


def _finish(courier: Courier, seconds: float) -> None:
    """Wait until everything is sent, for a limited time. A signal ends the wait, and leaves the exit code."""
    stop = Stop()
    with stop.listening():
        courier.finish(seconds, lambda: stop.requested)
    printing.hurry(stop.signal)


def _digests(request: Request, summary: Summary) -> Iterator[alerts.Digest]:
    """The digest of a run. With --quiet stdout may be thrown away, so wrong values are printed on stderr too."""
    if request.quiet and summary.validity:
        for line in words.findings(summary.validity, words.SHOWN_FINDINGS):
            complain(line)
    digest = alerts.digest(summary)
    if digest:
        yield digest


def _send_error(
    courier: Courier, channels: alerts.Settings, severity: Severity, error: Exception, now: datetime
) -> None:
    """Log and send why nothing was run."""
    line = _line(error)
    Log(run_name(now)).event("error", logging.CRITICAL, line=line)
    digest = alerts.Digest(severity=severity, headline=f"the refresh could not run: {line}")
    alerts.send(courier, channels, digest)


def _work(program: Program, request: Request, environ: Settings, now: datetime) -> Result:
    """Open the database and do what was asked for."""
    check_targets(request)
    if request.spreads:
        return _everywhere(program, request, environ, now)
    with database.opened(request.db_url, environ, locks.session_name(now)) as opened:
        job = Job(
            program=program,
            request=request,
            builders=selected(program, request),
            now=now,
            environ=environ,
            opened=opened,
            console=make_console(error=request.json == TERMINAL),
        )
        job = replace(job, request=job.patiently(lambda: with_ids(request, lambda: read_symbols(opened.engine))))
        if request.check:
            return job.patiently(partial(check, job)), ()
        if request.launches and request.json != TERMINAL:
            job.say(job.where)
        if request.explain is not None:
            job.patiently(partial(explain_asset, job, request.explain))
            return ExitCode.DONE, ()
        return _run(job)


def _everywhere(program: Program, request: Request, environ: Settings, now: datetime) -> Result:
    from refresh.commands import sharded  # noqa: PLC0415 - few have more than one database

    return sharded.work(program, request, environ, now)


def _run(job: Job) -> Result:
    """Refresh, or only validate; then write the page and the metrics, and sum up the week."""
    summary = None
    digests: list[alerts.Digest] = []
    if job.request.launches:
        summary = refresh.refresh(job)
    elif job.request.validate:
        summary = job.patiently(partial(validate.validate, job))
    if summary:
        digests += _digests(job.request, summary)
        job.deliver(summary)  # the lock is free, and a signal ends the wait for a reader
    if job.request.html is not None and not job.request.dry_run:
        job.patiently(partial(write_page, job, job.request.html))
    if job.request.metrics is not None and not job.request.dry_run:
        job.patiently(partial(write_metrics, job, job.request.metrics))
    if job.request.digest and not job.request.dry_run:
        digests.append(job.patiently(partial(print_week, job)))
    return summary.exit_code if summary else ExitCode.DONE, tuple(digests)
