"""The accuracy of the ETA, about half way through a run like the one before.

    .venv/bin/python bench/eta.py [--assets 60] [--days 1000]

Builds everything three times in an embedded PostgreSQL of its own, which is removed afterwards. During the third run,
which is like the second, compares the remaining time that the program prints with the time that it then needs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from throwaway import PROGRAM, database, fill, folder, settings, sizes

REMAINING = re.compile(r"(\d+)/(\d+) builders complete, ~(\d+(?:\.\d+)?) (s|minutes|hours) remaining")
UNITS = {"s": 1, "minutes": 60, "hours": 3600}


def main() -> None:
    """Measure and print."""
    size = sizes(__doc__, assets=60, days=1000)
    with folder() as directory:
        with database(directory) as running:
            fill(running.engine, size.assets, size.days)
        for _ in range(2):  # into empty tables, then like the run that is measured: over existing rows
            _run(directory)
        total, printed = _run(directory)
    elapsed, remaining = min(printed, key=lambda line: abs(line[0] - total / 2))
    needed = total - elapsed
    print(
        f"a run of {total:.0f} s: after {elapsed:.0f} s it expected {remaining:.0f} s more, and needed {needed:.0f} s"
    )
    print(f"error at half time: {abs(remaining - needed) / needed:.0%}")


def _run(directory: Path) -> tuple[float, list[tuple[float, float]]]:
    """The seconds of a full build, and the remaining seconds that it printed, each after how many seconds."""
    printed = []
    command = [sys.executable, str(PROGRAM), "--all", "--full-rebuild"]
    with subprocess.Popen(command, env=settings(directory), stdout=subprocess.PIPE, text=True) as process:
        began = time.monotonic()
        for line in process.stdout or ():
            if line.startswith("[1/"):
                began = time.monotonic()
            match = REMAINING.search(line)
            if match:
                printed.append((time.monotonic() - began, float(match[3]) * UNITS[match[4]]))
    return time.monotonic() - began, printed


if __name__ == "__main__":
    main()
