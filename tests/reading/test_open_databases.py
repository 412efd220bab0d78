"""Opening, closing and losing a database, and what is asked of it beside bars and averages."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from databases import database
from other_users import public_folder
from prices import fill
from programs import PROJECT, run
from refreshing import FEW, TARGETS, enable
from sqlalchemy import URL, Engine, make_url
from statements import address, ask, end_other_sessions, execute, with_password

import refresh
from refresh.errors import DatabaseUnreachableError, ReadingError, SchemaError, SettingsError, UsageError
from refresh.store.database import connect

PASSWORD = "s3cret-of-the-reader"  # noqa: S105 - the server trusts everybody; it must not be shown
LAST = datetime.now(UTC).date() - timedelta(days=3)
READ_EMBEDDED = """
import refresh
db = refresh.connect()
print(db)
print(len(db.bars(None, "1D")), len(db.runs()))
"""


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[Engine]:
    """A database with two assets, of which the second got another day after the only refresh."""
    with database(server, template) as url, connect(url) as engine:
        enable(engine, FEW, [10])
        for asset in (1, 52):
            fill(engine, asset, str(LAST - timedelta(days=30)), str(LAST))
        result = run("run_daily_refresh.py --all", url=url)
        assert result.returncode == 0, result.stderr
        fill(engine, 52, str(LAST + timedelta(days=1)), str(LAST + timedelta(days=1)))
        yield engine


def test_context_manager(sample_url: str) -> None:
    """The end of the block closes the database, and what is asked afterwards is refused."""
    with refresh.connect(with_password(sample_url, PASSWORD)) as db:
        assert len(db.runs()) == 1
        name = f"database postgresql://{make_url(sample_url).host}:{make_url(sample_url).port}"
        assert repr(db).startswith(f"<{name}")
        assert PASSWORD not in repr(db)
    assert repr(db).startswith(f"<closed: {name}")
    db.close()
    with pytest.raises(UsageError, match=r"the database is closed; open it again with refresh\.connect\(\)"):
        db.runs()


def test_environment_names_the_database(sample_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address it is that of the environment, and without that the one of the file of settings."""
    monkeypatch.setenv("TARGET_DB_URL", sample_url)
    with refresh.connect() as db:
        assert repr(db).endswith("(TARGET_DB_URL in the environment)>")
    monkeypatch.delenv("TARGET_DB_URL")
    file = tmp_path / "settings"
    file.write_text(f"TARGET_DB_URL={sample_url}\n")
    with refresh.connect(config=str(file)) as db:
        assert repr(db).endswith(f"(TARGET_DB_URL in {file})>")
        assert len(db.runs()) == 1


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"postgresql://me:{PASSWORD}@127.0.0.1:1/prices", DatabaseUnreachableError),
        (f"me:{PASSWORD}@127.0.0.1/prices", SettingsError),
    ],
)
def test_cannot_open(url: str, error: type[refresh.RefreshError]) -> None:
    """An address that cannot be used is an error of the package, without the password."""
    with pytest.raises(error) as caught:
        refresh.connect(url)
    assert PASSWORD not in str(caught.value)


def test_embedded_server() -> None:
    """Without any address the embedded server runs until Python ends, also if nobody closes the database."""
    with public_folder() as folder:
        environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REFRESH_DATA_DIR": str(folder / "data")}
        command = [sys.executable, "-c", READ_EMBEDDED]
        ended = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        where, counts = ended.stdout.splitlines()
        assert where.startswith(f"<embedded PostgreSQL, data in {folder / 'data'}")
        assert counts == "0 0"
        assert not list(folder.rglob("postmaster.pid"))


def test_nothing_is_built(database_url: str) -> None:
    """Tables that do not exist read as empty; what cannot be answered without them is said."""
    with refresh.connect(database_url) as db:
        assert (len(db.bars(None, "1D")), len(db.emas(None, "7D")), len(db.runs())) == (0, 0, 0)
        assert db.bars(None, "7D").keys()[:2] == ["id", "timestamp"]
        with pytest.raises(UsageError, match="assets 1: without daily bars; no asset has; run a refresh first"):
            db.bars(1, "1D")
        with pytest.raises(SchemaError, match="table cmc_price_histories7 does not exist"):
            db.freshness()


def test_freshness(built: Engine) -> None:
    """One asset is up to date in every table, and the other one a day behind in every table."""
    with refresh.connect(address(built)) as db:
        frame = db.freshness(max_age="0s")
        assert db.freshness([52], max_age=timedelta(0))["id"].tolist() == [52] * len(TARGETS)
        assert db.freshness(max_age="30d")["is_fresh"].all()
    assert frame["id"].tolist() == [1] * len(TARGETS) + [52] * len(TARGETS)
    assert frame["table"].tolist() == [*TARGETS, *TARGETS]
    is_first = frame["id"] == 1
    np.testing.assert_array_equal(frame["is_fresh"], is_first)
    assert set(frame["why"][~is_first]) == {"1 day behind the source"}
    assert set(frame["why"][is_first]) == {""}
    assert set(frame["lag"].tolist()) == {timedelta(0), timedelta(days=1)}
    np.testing.assert_array_equal(frame["lag"] == np.timedelta64(0), is_first)
    assert set(frame["last_bar"].astype("M8[D]").tolist()) == {LAST}
    assert set(frame["last_source"][~is_first].astype("M8[D]").tolist()) == {LAST + timedelta(days=1)}


def test_freshness_is_what_check_judges(built: Engine) -> None:
    """What a run left undone is not fresh either, for the same reason."""
    left = "UPDATE refresh_outcomes SET status = :status, error = :error WHERE builder = 'emas.cal' AND id = 1"
    execute(built, left, status="failed", error="a made up reason")
    verdict = run("run_daily_refresh.py --check --verbose", url=address(built))
    with refresh.connect(address(built)) as db:
        frame = db.freshness(1)
    execute(built, left, status="done", error=None)
    assert verdict.returncode == 1
    assert frame["table"][~frame["is_fresh"]].tolist() == ["cmc_ema_multi_tf_cal_us", "cmc_ema_multi_tf_cal_iso"]
    (why,) = set(frame["why"][~frame["is_fresh"]])
    assert f"ID 1, emas.cal: {why}" in verdict.stdout
    assert why.endswith(": a made up reason")


def test_runs(built: Engine) -> None:
    """The latest run comes first; of one that has not ended, the end is NULL."""
    execute(
        built,
        """INSERT INTO refresh_runs (run_id, command, arguments, host, pid, started_at, assets)
           VALUES ('unended', 'made up', '{}', 'here', 1, now(), 2)""",
    )
    with refresh.connect(address(built)) as db:
        frame, one = db.runs(last=None), db.runs(last=1)
        with pytest.raises(UsageError, match="last -1: less than 0; say how many, or None for all"):
            db.runs(-1)
    execute(built, "DELETE FROM refresh_runs WHERE run_id = 'unended'")
    assert frame["run_id"].tolist() == ["unended", *ask(built, "SELECT run_id FROM refresh_runs")[0]]
    assert one["run_id"].tolist() == ["unended"]
    assert frame["exit_code"].tolist() == [None, 0]
    assert frame["program"].tolist() == [None, "daily"]
    assert np.isnat(frame["ended_at"]).tolist() == [True, False]
    ((rows,),) = ask(built, "SELECT rows FROM refresh_runs")
    assert frame["rows"].tolist() == [None, rows]
    assert frame["assets"].dtype == np.int32


def test_role_without_rights(built: Engine) -> None:
    """What the server refuses is an error of one line."""
    role = f"role_{uuid.uuid4().hex}"
    execute(built, f"CREATE ROLE {role} LOGIN")
    url = make_url(address(built)).set(username=role)
    with refresh.connect(str(url)) as db, pytest.raises(ReadingError) as caught:
        db.bars(None, "1D")
    execute(built, f"DROP ROLE {role}")
    assert str(caught.value).startswith("permission denied for table ")


def test_lost_connection(built: Engine) -> None:
    """A connection that the server has ended is opened again, as after a night in a notebook."""
    with refresh.connect(address(built)) as db:
        before = len(db.bars(1, "1D"))
        end_other_sessions(built)
        assert len(db.bars(1, "1D")) == before == 31


def test_reading_cannot_write(built: Engine) -> None:
    """Reading leaves no trace in the tables, and its transactions are read-only."""
    traces = """SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"""
    with refresh.connect(address(built)) as db:
        before = ask(built, traces)
        for frame in (db.bars(None, "1D"), db.emas(None, "2D"), db.freshness(), db.runs()):
            assert len(frame) > 0
        assert ask(built, traces) == before
        with pytest.raises(ReadingError, match="cannot execute CREATE TABLE in a read-only transaction"):
            db._read(lambda connection: connection.exec_driver_sql("CREATE TABLE public.written (id int)"))


def test_null_that_no_refresh_writes(built: Engine) -> None:
    """A column that was changed by hand is named; it is not read as another value."""
    table = "cmc_price_bars_multi_tf"
    execute(
        built,
        f"ALTER TABLE {table} ALTER COLUMN bar_seq DROP NOT NULL",
        f"""UPDATE {table} SET bar_seq = NULL WHERE id = 52 AND "timestamp" = (SELECT max("timestamp") FROM {table})""",
    )
    with refresh.connect(address(built)) as db:
        assert len(db.bars(1, "2D")) == 31
        with pytest.raises(SchemaError, match=f"{table}: column 'bar_seq' did not arrive as 8 bytes in every row"):
            db.bars([1, 52], "2D")
        assert len(db.bars([1, 52], "2D", columns=["close"])) == 62
