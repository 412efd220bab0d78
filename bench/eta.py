"""How well a run tells its remaining time: on a run like the last one, about half way.

    .venv/bin/python bench/eta.py [--assets 60] [--days 1000]

Builds everything three times in an embedded PostgreSQL of its own, which is removed afterwards; during the third run,
which is like the second, compares what the program says it still needs with what it then needed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from throwaway import PROGRAM, database, fill, folder, settings

SAID = re.compile(r"(\d+)/(\d+) builders complete, ~(\d+(?:\.\d+)?) (s|minutes|hours) remaining")
UNITS = {"s": 1, "minutes": 60, "hours": 3600}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=60)
    parser.add_argument("--days", type=int, default=1000)
    asked = parser.parse_args()
    with folder() as place:
        with database(place) as made:
            fill(made.engine, asked.assets, asked.days)
        for _ in range(2):  # into empty tables, then like the run that is measured: over what is there
            _run(place)
        took, said = _run(place)
    at, remaining = min(said, key=lambda one: abs(one[0] - took / 2))
    error = abs(remaining - (took - at)) / (took - at)
    print(f"a run of {took:.0f} s: after {at:.0f} s it said {remaining:.0f} s more, and took {took - at:.0f} s")
    print(f"error at half time: {error:.0%}")


def _run(place: Path) -> tuple[float, list[tuple[float, float]]]:
    """The seconds of a full build, and what it said when."""
    said = []
    command = [sys.executable, str(PROGRAM), "--all", "--full-rebuild"]
    with subprocess.Popen(command, env=settings(place), stdout=subprocess.PIPE, text=True) as process:
        began = time.monotonic()
        for line in process.stdout or ():
            if line.startswith("[1/"):
                began = time.monotonic()
            found = SAID.search(line)
            if found:
                said.append((time.monotonic() - began, float(found[3]) * UNITS[found[4]]))
    return time.monotonic() - began, said


if __name__ == "__main__":
    main()
