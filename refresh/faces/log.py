"""The log: one file a day, one line per event, with fields as ``key=value`` whose names never change.

A log that cannot be written is reported once and stops nothing.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from refresh.faces import words
from refresh.faces.paths import followed, is_open_to_all
from refresh.records import Outcome, Status
from refresh.run.plan import Step
from refresh.run.report import StepReport
from refresh.run.summary import Summary
from refresh.wording import UNSEEN, escaped

_FILE = re.compile(r"refresh-(\d{4}-\d\d-\d\d)\.log")
_PLAIN = re.compile(r"[^\s\"=]+")
"""A value that needs no quotes."""
_CONTROLS = re.compile(f"(?![\ud800-\udfff]){UNSEEN.pattern}")
"""Characters that are escaped here; the file escapes what it cannot encode."""
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
"""How a log is opened: a pipe without a reader is an error, not a wait."""
_LEVELS = {Status.DONE: logging.INFO, Status.SKIPPED: logging.WARNING}


class _Handler(logging.FileHandler):
    """Writes to a file as long as that works. A new one is for its owner only: builders may print anything."""

    def _open(self) -> TextIOWrapper:
        path = followed(Path(self.baseFilename))
        descriptor = _opened_as_ours(path) if is_open_to_all(path.parent) else os.open(path, _APPEND, 0o600)
        file = os.fdopen(descriptor, self.mode, encoding=self.encoding, errors=self.errors)
        return cast("TextIOWrapper", file)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the name is logging's
        """Report once that the log is incomplete."""
        logger = logging.getLogger(__name__)
        logger.addHandler(logging.NullHandler())  # without any handler, Python would print what follows
        logger.removeHandler(self)
        _complain(self.baseFilename, str(sys.exc_info()[1]))


def _opened_as_ours(path: Path) -> int:
    """A file where everybody can put one: a link leads elsewhere, and the file of somebody else is read by them."""
    descriptor = os.open(path, _APPEND | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it is the file of somebody else in a folder that everybody can write to")
    return descriptor


def _complain(path: str, problem: str) -> None:
    print(escaped(f"the log {path} is incomplete: {problem}"), file=sys.stderr)


class Log:
    """The events of one run, as lines."""

    def __init__(self, run_id: str) -> None:
        self._run = run_id
        self._logger = logging.getLogger(__name__)

    def event(self, name: str, level: int = logging.INFO, **values: object) -> None:
        """One line: the event, the run, and its values."""
        pairs = {"event": name, "run": self._run, **values}
        line = " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items())
        self._logger.log(level, line)

    def begin(self, step: Step, position: int, steps: int) -> None:
        """A step is about to start."""
        if step.tasks:
            self.event(
                "begin", builder=step.builder.key, place=f"{position}/{steps}", assets=len(step.tasks),
                estimated_rows=step.estimated_rows, estimated_seconds=round(step.estimated_seconds, 1),
            )  # fmt: skip

    def outcome(self, outcome: Outcome) -> None:
        """An asset ended."""
        if outcome.status is Status.SKIPPED:
            self.event("words", logging.WARNING, builder=outcome.builder, line=words.skipped(outcome))
        error = {"error": outcome.error} if outcome.error else {}
        self.event(
            "outcome", _LEVELS.get(outcome.status, logging.ERROR), builder=outcome.builder, id=outcome.id,
            status=outcome.status.value, rows=outcome.rows, seconds=outcome.seconds, retries=outcome.retries,
            reason=outcome.reason, **error, **outcome.notes,
        )  # fmt: skip

    def words(self, step: Step, line: str) -> None:
        """A builder printed a line."""
        self.event("words", builder=step.builder.key, line=line)

    def end(self, report: StepReport) -> None:
        """A step has ended."""
        if not report.launched:
            return
        values = {"builder": report.builder.key, "rows": report.rows, "seconds": round(report.seconds, 3)}
        for status in Status:
            outcomes = report.of(status)
            if outcomes:
                values[status.name.lower()] = len(outcomes)
        self.event("end", logging.INFO, **values)

    def summary(self, summary: Summary) -> None:
        """The result of the run: the lines of the console, and the numbers."""
        for line in words.details(summary):
            self.event("summary", line=line)
        level = logging.ERROR if summary.unfinished else logging.INFO
        self.event(
            "finish", level, exit_code=summary.exit_code,
            assets=summary.assets, rows=summary.rows, bars=summary.bars, emas=summary.emas,
            seconds=round(summary.seconds, 3), unfinished=len(summary.unfinished), restated=len(summary.restated),
            line=words.verdict(summary),
        )  # fmt: skip


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text) and not _CONTROLS.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + _CONTROLS.sub(_as_code, escaped) + '"'


def _as_code(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


@contextmanager
def open_log(folder: Path, started: datetime, days_kept: int) -> Iterator[None]:
    """Write events to the file of the local day on which the run started. Removes files that are too old."""
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    path = folder / f"refresh-{started.astimezone():%Y-%m-%d}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = _Handler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        _complain(str(path), error.strerror or str(error))
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger.addHandler(handler)
    _remove_old(folder, started, days_kept)
    try:
        yield
    finally:
        logger.handlers.clear()
        with suppress(OSError):
            handler.close()


def _remove_old(folder: Path, started: datetime, days_kept: int) -> None:
    first_kept = f"{started.astimezone() - timedelta(days=days_kept):%Y-%m-%d}"
    with suppress(OSError):
        for path in folder.iterdir():
            name = _FILE.fullmatch(path.name)
            if name and name[1] < first_kept:
                with suppress(OSError):
                    path.unlink()
