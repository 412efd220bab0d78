"""How well a run tells its remaining time: on a run like the last one, about half way.

    .venv/bin/python bench/eta.py [--assets 60] [--days 1000]

Builds everything three times in an embedded PostgreSQL of its own, which is removed afterwards; during the third run,
which is like the second, compares what the program says it still needs with what it then needed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from detection import fill
from sqlalchemy import MetaData

from refresh.store.database import opened
from refresh.store.tables import source_table

PROGRAM = Path(__file__).resolve().parents[1] / "run_daily_refresh.py"
SAID = re.compile(r"(\d+)/(\d+) builders complete, ~(\d+(?:\.\d+)?) (s|minutes|hours) remaining")
UNITS = {"s": 1, "minutes": 60, "hours": 3600}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=60)
    parser.add_argument("--days", type=int, default=1000)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    folder.chmod(0o711)  # the server may be another user than we are
    environ = {**os.environ, "REFRESH_DATA_DIR": f"{folder}/data", "REFRESH_LOG_DIR": f"{folder}/logs"}
    environ.pop("TARGET_DB_URL", None)
    try:
        with opened(None, environ) as database:
            with database.engine.begin() as connection:
                source_table(MetaData()).create(connection)
            fill(database.engine, asked.assets, asked.days)
        for _ in range(2):  # into empty tables, then like the run that is measured: over what is there
            _run(environ)
        took, said = _run(environ)
        at, remaining = min(said, key=lambda one: abs(one[0] - took / 2))
        error = abs(remaining - (took - at)) / (took - at)
        print(f"a run of {took:.0f} s: after {at:.0f} s it said {remaining:.0f} s more, and took {took - at:.0f} s")
        print(f"error at half time: {error:.0%}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(environ: dict[str, str]) -> tuple[float, list[tuple[float, float]]]:
    """The seconds of a full build, and what it said when."""
    said = []
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "--all", "--full-rebuild"], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
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
