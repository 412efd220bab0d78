"""Logs of a run in a folder, and their lines as values."""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refresh.catalog import by_key
from refresh.faces import log
from refresh.records import Outcome, Status
from refresh.run.plan import Step, Task

DAILY = by_key("bars.1d")
STARTED = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
STEP = Step(
    builder=DAILY,
    tasks=(Task(id=1, reason="append 1 day", rows=2), Task(id=52, reason="append 1 day", rows=1)),
    skipped=(),
    arguments=(),
    estimated_seconds=0.66,
)
PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"=]+))(?: |$)')


def unwatched(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger without the handlers that watch the tests."""
    logger = logging.getLogger("refresh.faces.log")
    monkeypatch.setattr(logger, "handlers", [])
    return logger


def unescaped(sign: re.Match[str]) -> str:
    """The character of an escape sequence."""
    if len(sign[1]) > 1:
        return chr(int(sign[1][1:], 16))
    return {"n": "\n"}.get(sign[1], sign[1])


def parsed(text: str) -> dict[str, str]:
    """The values of a line, without their quotes."""
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        pair = PAIR.match(text, position)
        assert pair, text[position:]
        name, quoted, bare = pair.groups()
        values[name] = bare or re.sub(r"\\(u[0-9a-f]{4}|.)", unescaped, quoted, flags=re.DOTALL)
        position = pair.end()
    return values


def lines(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The level and the values of each line of a log."""
    entries = []
    for line in path.read_bytes().decode().removesuffix("\n").split("\n"):
        time, level, values = line.split(" ", 2)
        assert datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z").utcoffset() == timedelta(hours=9)
        entries.append((level, parsed(values)))
    return entries


def open_log(folder: Path, started: datetime = STARTED, days_kept: int = 30) -> AbstractContextManager[None]:
    """The log of a run."""
    return log.open_log(folder, started, days_kept)


def outcome(id: int, status: Status, **values: object) -> Outcome:
    """How an asset ended in the daily bars."""
    return replace(Outcome(builder="bars.1d", id=id, status=status), **values)  # type: ignore[arg-type]


def last(folder: Path) -> tuple[str, dict[str, str]]:
    """The last line of the only log of a folder."""
    (path,) = folder.iterdir()
    return lines(path)[-1]
