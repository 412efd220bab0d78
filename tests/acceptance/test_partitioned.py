"""A database that was built with ``--partitions 4`` against one without, through the programs that users start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prices import fill
from programs import run
from refreshing import FEW, digests, enable
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.store.database import connect

DAILY, SOURCE = "cmc_price_bars_1d", "cmc_price_histories7"
PROGRAM = "run_daily_refresh.py"
CHANGES = [
    # appended and revised
    f"""
        INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, timestamp)
        SELECT id, timeopen + interval '1 day', timeclose + interval '1 day', open, high, low, close, volume,
               timestamp + interval '1 day'
        FROM {SOURCE} s WHERE timestamp = (SELECT max(timestamp) FROM {SOURCE} WHERE id = s.id);
    UPDATE {SOURCE} SET close = close * 1.01 WHERE id = 2 AND timestamp > '2024-02-01'""",
    # a day and an asset deleted, tables truncated
    f"""
        DELETE FROM {SOURCE} WHERE id = 3 AND timestamp::date = '2024-02-11';
        DELETE FROM {SOURCE} WHERE id = 4;
        TRUNCATE cmc_price_bars_multi_tf, cmc_ema_multi_tf_cal_us_packed""",
]


@pytest.fixture
def cut(database_url: str, engine: Engine) -> Iterator[Engine]:
    """The database with partitions: its source is like that of ``engine``, and nothing of ours exists yet."""
    copy = "\n".join(column for (column,) in ask(engine, COLUMNS))
    with connect(database_url) as other:
        execute(other, f"CREATE TABLE {SOURCE} ({copy.replace(chr(10), ', ')}, PRIMARY KEY (id, timestamp))")
        yield other


COLUMNS = f"""
    SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = '{SOURCE}'::regclass AND attnum > 0 ORDER BY attnum
"""


def refresh(engine: Engine, *arguments: str) -> None:
    """A run that ends well."""
    target = "--bars" if "--builders" in arguments else "--all"
    done = run(PROGRAM, target, *arguments, url=address(engine))
    assert done.returncode == 0, done.stdout + done.stderr


def test_equal_to_whole_tables(engine: Engine, cut: Engine, tmp_path: Path) -> None:
    """After a first build and every kind of night all tables are equal, and every way of looking works."""
    for each in (engine, cut):
        for id in range(1, 7):
            fill(each, id, f"2024-01-{id:02}", "2024-03-10")
    planned = run(PROGRAM, "--all", "--dry-run", "--partitions", "4", url=address(cut))
    assert (planned.returncode, ask(cut, f"SELECT to_regclass('{DAILY}')")) == (0, [(None,)])
    refresh(engine, "--builders", "1d")
    refresh(cut, "--builders", "1d", "--partitions", "4")
    for each in (engine, cut):
        enable(each, FEW, (10, 20))
        refresh(each)
    assert digests(cut) == digests(engine)
    for change in CHANGES:
        for each in (engine, cut):
            execute(each, change)
            refresh(each, "--prune", "--accept-restatement")
        assert digests(cut) == digests(engine)
    assert ask(cut, f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{DAILY}'::regclass") == [(4,)]
    page, file = tmp_path / "report.html", tmp_path / "metrics.prom"
    for words in (["--explain", "2"], ["--validate", "--sample", "all"], ["--html", str(page), "--metrics", str(file)]):
        looked = run(PROGRAM, *words, url=address(cut))
        assert looked.returncode == 0, looked.stdout + looked.stderr
    sizes = dict(re.findall(r'table_bytes{table="(\w+)"} (\d+)', file.read_text(encoding="utf-8")))
    assert int(sizes[DAILY]) > 4 * 8192
    checks = [run(PROGRAM, "--check", url=address(each)).stdout.partition(" (")[0] for each in (engine, cut)]
    assert checks[0] == checks[1]


def test_another_number_ends_with_3(engine: Engine) -> None:
    """On tables that exist another number is refused before anything is written, by a plan as by a run."""
    fill(engine, 1, "2024-01-01", "2024-01-10")
    for words in (["--all"], ["--all", "--dry-run"]):
        refused = run(PROGRAM, *words, "--partitions", "4", url=address(engine))
        assert refused.returncode == 3
        assert "--partitions 4: " in refused.stderr
        assert "tables exist without partitions" in refused.stderr
    assert ask(engine, f"SELECT count(*) FROM {DAILY}") == [(0,)]
    typo = run(PROGRAM, "--all", "--partitions", "65", url=address(engine))
    assert (typo.returncode, "not a number from 1 to 64" in typo.stderr) == (2, True)
