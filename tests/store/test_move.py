"""Tables of the former layout are recognised, and moved without losing a bit, however often that is broken off."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time

import numpy as np
import pytest
from former import AVERAGING, unpack
from programs import PROJECT, run
from refreshing import FEW, TARGETS, digests, enable, refresh
from sqlalchemy import Engine
from statements import address, ask, execute
from validate.varied_prices import FILL

from refresh.errors import SchemaError
from refresh.store.database import read_committed
from refresh.store.schema import looking, prepare

MODULE = "refresh.commands.move"


@pytest.fixture
def built(engine: Engine) -> Engine:
    """A database that is refreshed."""
    execute(engine, FILL, assets=[1, 2, 3])
    execute(engine, "INSERT INTO dim_period VALUES (2, true, 98), (5, true, 99)")
    enable(engine, FEW, (2, 5))
    refresh(engine)
    return engine


@pytest.fixture
def former(built: Engine) -> tuple[Engine, dict[str, tuple[int, str]]]:
    """A database whose averages have the former layout, and the digests of all its tables."""
    before = digests(built)
    for leg in AVERAGING:
        unpack(built, leg)
    assert digests(built) == before
    return built, before


def move(engine: Engine) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run(f"-m {MODULE}", url=address(engine))


def test_former_layout_is_recognised(former: tuple[Engine, dict[str, tuple[int, str]]]) -> None:
    """A refresh and a look are refused, and say what moving will do; nothing is written."""
    engine, before = former
    what = r"6 tables of the former layout.*python -m refresh\.commands\.move moves them: .*about 0\.\d GB"
    with read_committed(engine) as connection, pytest.raises(SchemaError, match=what):
        prepare(connection)
    with pytest.raises(SchemaError, match=what), looking(engine):
        pass
    assert digests(engine) == before


def test_moved_tables_are_the_same(former: tuple[Engine, dict[str, tuple[int, str]]]) -> None:
    """Every row of every name is what it was, nothing is due, and readers may read as before."""
    engine, before = former
    execute(engine, f"GRANT SELECT ON {AVERAGING[0].target} TO PUBLIC")
    result = move(engine)
    assert (result.returncode, result.stderr) == (0, "")
    assert "cmc_ema_multi_tf: moved\n" in result.stdout
    assert digests(engine) == before
    assert refresh(engine) == []
    kinds = ask(engine, "SELECT relkind::text FROM pg_class WHERE relname = ANY(:names)", names=list(TARGETS[6:]))
    assert set(kinds) == {("v",)}
    (acl,) = ask(engine, f"SELECT has_table_privilege('pg_monitor', '{AVERAGING[0].target}', 'SELECT')")
    assert acl == (True,)
    assert move(engine).stdout == "nothing to move: no table is of the former layout\n"


def test_series_that_are_not_in_use_move_too(built: Engine) -> None:
    """Rows of a disabled timeframe and period are kept as they are."""
    execute(
        built, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '2D'", "DELETE FROM dim_period WHERE period = 5"
    )
    before = digests(built)
    for leg in AVERAGING:
        unpack(built, leg)
    assert move(built).returncode == 0
    assert digests(built) == before


def test_table_that_something_depends_on(former: tuple[Engine, dict[str, tuple[int, str]]]) -> None:
    """A view of the user is named; once it is dropped, moving goes on."""
    engine, before = former
    execute(engine, f"CREATE VIEW mine AS SELECT * FROM {AVERAGING[0].target}")
    result = move(engine)
    assert result.returncode != 0
    assert "view mine depends on table cmc_ema_multi_tf" in result.stderr
    execute(engine, "DROP VIEW mine")
    assert move(engine).returncode == 0
    assert digests(engine) == before


def test_rows_written_meanwhile_are_packed_again(former: tuple[Engine, dict[str, tuple[int, str]]]) -> None:
    """An asset that somebody else wrote after it was packed is packed again."""
    engine, _ = former
    leg = AVERAGING[0]
    execute(engine, f"CREATE VIEW mine AS SELECT * FROM {leg.target}")  # keeps the former table
    move(engine)
    execute(engine, f"UPDATE {leg.target} SET ema = 1, ingested_at = now() WHERE id = 1", "DROP VIEW mine")
    assert move(engine).returncode == 0
    assert ask(engine, f"SELECT DISTINCT ema FROM {leg.target} WHERE id = 1") == [(1.0,)]


def test_killed_at_any_point(former: tuple[Engine, dict[str, tuple[int, str]]]) -> None:
    """A move that is killed ten times, then runs once, leaves what was there before."""
    engine, before = former
    seed = secrets.randbits(32)
    draw = np.random.default_rng(seed)
    environ = {**os.environ, "TARGET_DB_URL": address(engine)}
    command = [sys.executable, "-m", MODULE]
    hits = 0
    for _ in range(10):
        with subprocess.Popen(command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            child.stdout.readline()
            time.sleep(draw.uniform(0, 0.05))
            hits += child.poll() is None
            child.kill()
    assert hits > 3, f"seed {seed}: it was killed after its end"
    assert move(engine).returncode == 0, f"seed {seed}"
    assert digests(engine) == before, f"seed {seed}"
    assert refresh(engine) == []
