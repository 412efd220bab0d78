"""What it costs to find out that nothing is due: a dry run, and a run that launches no builder.

    .venv/bin/python bench/idle.py [--assets 1000] [--days 60] [--pairs 5]

Builds every table in an embedded PostgreSQL of its own, which is removed afterwards, and times the program from its
start to its end. The pass over the source, which grows with its days, is measured by detection.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("assets", 1000), ("days", 60), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    folder.chmod(0o711)  # the server may be another user than we are
    environ = {**os.environ, "REFRESH_DATA_DIR": f"{folder}/data", "REFRESH_LOG_DIR": f"{folder}/logs"}
    environ.pop("TARGET_DB_URL", None)
    try:
        with opened(None, environ) as database:  # kept running: a named server is not started for each command either
            with database.engine.begin() as connection:
                source_table(MetaData()).create(connection)
            fill(database.engine, asked.assets, asked.days)
            environ["TARGET_DB_URL"] = database.url
            print(f"a build of {asked.assets:,} assets x {asked.days:,} days: {_seconds(environ):.1f} s")
            for name, arguments in (("dry run", ("--dry-run",)), ("run with nothing to do", ())):
                seconds = [_seconds(environ, *arguments) for _ in range(asked.pairs)]
                print(f"{name}: median {statistics.median(seconds):.2f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _seconds(environ: dict[str, str], *arguments: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, str(PROGRAM), "--all", "--quiet", *arguments], env=environ, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return time.monotonic() - began


if __name__ == "__main__":
    main()
