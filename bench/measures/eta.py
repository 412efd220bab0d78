"""The accuracy of the ETA about half way through a run that is like the one before."""

from __future__ import annotations

import re
import subprocess
import sys
import time

from bench.figures import Figure, Unit
from bench.programs import REFRESH, environment
from bench.server import Bench, Database

_REMAINING = re.compile(r"(\d+)/(\d+) builders complete, ~(\d+(?:\.\d+)?) (s|minutes|hours) remaining")
_UNITS = {"s": 1, "minutes": 60, "hours": 3600}


def measure(bench: Bench) -> list[Figure]:
    """How far the remaining time that the program printed at half time was from what it then needed."""
    size = bench.size(60, 1000)
    errors = []
    with bench.built(size) as database:
        _run(bench, database)  # over existing rows, as those that are measured
        for _ in range(bench.pairs):
            bench.say(f"the ETA of rebuilding {size}")
            errors.append(_error(*_run(bench, database)))
    return [Figure(name="error of the ETA at half time", samples=errors, unit=Unit.PERCENT, note=str(size))]


def _error(total: float, printed: list[tuple[float, float]]) -> float:
    elapsed, remaining = min(printed, key=lambda line: abs(line[0] - total / 2))
    needed = total - elapsed
    return abs(remaining - needed) / needed


def _run(bench: Bench, database: Database) -> tuple[float, list[tuple[float, float]]]:
    """The seconds of a full build, and the remaining seconds that it printed, each after how many seconds."""
    printed = []
    command = [sys.executable, str(REFRESH), "--all", "--full-rebuild"]
    environ = {**environment(bench.directory), "TARGET_DB_URL": database.url}
    with subprocess.Popen(command, env=environ, cwd=bench.directory, stdout=subprocess.PIPE, text=True) as process:
        began = time.monotonic()
        for line in process.stdout or ():
            if line.startswith("[1/"):
                began = time.monotonic()
            match = _REMAINING.search(line)
            if match:
                printed.append((time.monotonic() - began, float(match[3]) * _UNITS[match[4]]))
    return time.monotonic() - began, printed
