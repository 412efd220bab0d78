"""Programs that are started with closed streams: whatever they open gets other numbers than those of the streams."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
from prices import FILL
from programs import PROJECT
from sqlalchemy import Engine
from statements import address, ask, execute

CLOSED = ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-")
ALONE = """
import os
from refresh import printing
def program():
    print("words")
    os.write(1, b"of a library"), os.write(2, b"too")
    return min(os.open("/dev/null", os.O_RDONLY), 9)
raise SystemExit(printing.run(program))
"""
PROGRAMS = (
    "run_daily_refresh.py --bars --builders 1d",
    "run_daily_refresh.py --bars --json -",
    "run_all_bar_builders.py --builders 1d --quiet",
    "-m refresh.builder bars.1d",
    "-m refresh.load --sample",
    "-m refresh.commands.move",
    "-m refresh.commands.psql --command TABLE\\ dim_period",
)


def run_closed(program: str, closed: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python with some of its streams closed."""
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} {program} {closed}"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "REFRESH_LOG_DIR": os.environ["REFRESH_LOG_DIR"], **environ},
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("closed", CLOSED)
def test_numbers_of_streams_are_not_given_away(closed: str) -> None:
    """A file that a program opens is never its stdin, stdout or stderr, to which libraries print."""
    assert run_closed(f"-c {shlex.quote(ALONE)}", closed).returncode > 2


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
def test_work_is_done(engine: Engine, program: str, closed: str) -> None:
    """Every program does its work, and complains of nothing."""
    execute(engine, FILL, asset=1, first="2024-01-01Z", last="2024-01-09Z")
    result = run_closed(program, closed, TARGET_DB_URL=address(engine))
    assert (result.returncode, result.stdout) == (0, b"")
    assert b"error" not in result.stderr
    if "1d" in program:
        assert ask(engine, "SELECT count(*) FROM cmc_price_bars_1d") == [(9,)]
