"""The memory of a builder follows the days of its assets: not the rows of a day, and not the longest text."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prices import fill
from programs import PROJECT
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.catalog import DAILY, SOURCE

MINUTES = int(os.environ.get("REFRESH_TEST_MINUTES", "120000"))
"""The rows of an asset that is folded. Five million take a minute or two."""
MEGABYTE = 1 << 20
IN_ARRAYS = 120
"""Megabytes that a row of 120 bytes takes as often as it is copied, a slice of a month and a half at a time."""
ROWS = f"""
    INSERT INTO {SOURCE} (id, name, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT 2, 'minutes', at, at - interval '1 minute', at, 10, 20 + mod(n, 3), 5, 11, 1
    FROM generate_series(1, :many) AS n CROSS JOIN LATERAL (
        SELECT timestamptz '2010-01-01Z' + n * interval '1 minute' AS at) AS t
"""
MEASURE = """
import resource, sys
from refresh.builder.__main__ import run
code = run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
UNIT = 1 if sys.platform == "darwin" else 1024


def peak(engine: Engine, *arguments: str) -> int:
    """The megabytes that the builder of daily bars needed at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, "bars.1d", *arguments],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": address(engine)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return int(done.stdout.split()[-1]) * UNIT // MEGABYTE


@pytest.fixture
def least(engine: Engine) -> int:
    """What a builder needs for little."""
    fill(engine, 1, "2024-01-01", "2024-02-09")
    return peak(engine, "--ids", "1")


def test_minutes_are_folded_in_slices(engine: Engine, least: int) -> None:
    """Minutes take no more room than a slice of them; refused, they take none."""
    execute(engine, ROWS, many=MINUTES)
    assert peak(engine, "--ids", "2") < least + 10
    assert ask(engine, f"SELECT count(*) FROM {DAILY} WHERE id = 2") == [(0,)]
    assert peak(engine, "--ids", "2", "--fold") < least + IN_ARRAYS
    ((days,),) = ask(engine, f"SELECT count(*) FROM {DAILY} WHERE id = 2")
    assert days == MINUTES // 1440 + 1


def test_one_wide_text(engine: Engine, least: int) -> None:
    """A name of ten megabytes, and texts as long as are kept, do not make every row of their batch that wide."""
    fill(engine, 2, "1990-01-01", "2023-12-31")
    execute(
        engine,
        f"UPDATE {SOURCE} SET name = repeat('n', 10000000), source_file = repeat('f', 10000000) "
        f"WHERE id = 2 AND \"timestamp\"::date = '2001-05-05'",
    )
    assert peak(engine, "--ids", "2") < least + IN_ARRAYS
    kept = f"SELECT length(src_name), length(src_file) FROM {DAILY} WHERE id = 2 AND \"timestamp\"::date = '2001-05-05'"
    assert ask(engine, kept) == [(256, 256)]
