"""Real refreshes that are killed, stopped, kept waiting or let down: how they end, and that nothing of them stays."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import closing_server, create_tables, database, guarded_folder
from programs import PROJECT
from refreshing import TARGETS, moved, refresh, rows
from sqlalchemy import URL, Engine, MetaData, create_engine, make_url, text
from statements import ask, execute
from testing.postgresql import Postgresql

from refresh.catalog import BUILDERS, SOURCE
from refresh.options.request import Request
from refresh.run.launch import SECONDS_TO_STOP
from refresh.store.database import connect
from refresh.server.programs import binaries, usable
from refresh.store.tables import OUTCOMES, RUNS, STEPS, source_table

PASSWORD = "s3cret-of-the-night"  # noqa: S105 - the servers trust everybody; it must not be shown
FEW = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day') AS at
    CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
"""
FIRST, LAST, NEXT = (f"2024-01-{day} 23:59:59.999Z" for day in ("01", "25", "26"))
ASSETS = (1, 52, 825)
KEYS = [builder.key for builder in BUILDERS]
PATIENCE = 120.0
"""Seconds after which a slow machine must have got there."""
MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d"
OURS = "datname = current_database() AND starts_with(application_name, 'refresh ')"
BROKEN = """
import os, resource, signal, sys, time

words = sys.orig_argv
if "refresh.builder" in words:
    if "bars.cal_us" in words:
        time.sleep(600)
    if "bars.cal_iso" in words:
        os._exit(0)
    if "bars.cal_anchor_us" in words:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
"""


class Refresh:
    """A refresh in a process of its own, as a user starts it."""

    def __init__(self, folder: Path, url: str, *arguments: str, **environ: str) -> None:
        """Start it; what it says goes to files, so that it never waits for a reader."""
        self._out, self._err, self._logs = folder / "out", folder / "err", folder / "logs"
        command = [sys.executable, "run_daily_refresh.py", *arguments]
        made = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": url, **environ}
        made["REFRESH_LOG_DIR"] = str(self._logs)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=made, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    @property
    def out(self) -> str:
        """What it has printed on stdout so far."""
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has printed on stderr so far."""
        return self._err.read_text(encoding="utf-8")

    @property
    def logged(self) -> str:
        """What it and its builders have written to the log."""
        return "".join(file.read_text(encoding="utf-8") for file in self._logs.glob("*"))

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)


Start = Callable[..., Refresh]


@pytest.fixture(scope="module")
def half_done(server: URL, template: str) -> Iterator[str]:
    """The name of a database where asset 1 is built but for its last day, and assets 52 and 825 are new."""
    with database(server, template) as url:
        fill(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def expected(server: URL, half_done: str) -> dict[str, list[str]]:
    """What every table holds after an undisturbed refresh."""
    with database(server, half_done) as url:
        engine = connect(url)
        refresh(engine)
        found = {table: rows(engine, table) for table in TARGETS}
        engine.dispose()
    for table, each in found.items():
        assert {row.split(",")[0] for row in each} == {f"({id}" for id in ASSETS}, table
    return found


@pytest.fixture
def engine(server: URL, half_done: str) -> Iterator[Engine]:
    """The test's own sessions in a database that is half done, whose address has a password."""
    with database(server, half_done) as url:
        engine = connect(secret(url), "the test")
        yield engine
        engine.dispose()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts refreshes, and sees to it that none of them stays or tells the password."""
    started: list[Refresh] = []

    def begin(engine: Engine, *arguments: str, **environ: str) -> Refresh:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Refresh(folder, engine.url.render_as_string(hide_password=False), *arguments, **environ))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(PATIENCE)
    for one in started:
        assert PASSWORD not in one.out + one.err + one.logged


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A server that the test may stop, whose database is half done."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs) as running:
            url = running.url(database="postgres")
            engine = connect(url)
            with engine.begin() as connection:
                create_tables(connection)
            engine.dispose()
            fill(url)
            yield running


def secret(url: str) -> str:
    """The same address with a password."""
    return make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


def fill(url: str) -> None:
    """Few timeframes and periods, 25 days of three assets, of which one is built, and one more day of it."""
    engine = connect(url)
    execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:few)", few=FEW)
    execute(engine, "UPDATE dim_period SET is_enabled = period = 10")
    execute(engine, "INSERT INTO dim_period (period, is_enabled, sort_order) VALUES (2, true, 0)")
    execute(engine, FILL, first=FIRST, last=LAST, assets=list(ASSETS))
    refresh(engine, Request(ids=(1,)))
    execute(engine, FILL, first=NEXT, last=NEXT, assets=[1])
    engine.dispose()


def until(true: Callable[[], object], what: str) -> None:
    """Look again and again until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"in vain: {what}")
        time.sleep(0.1)


def processes() -> list[str]:
    """The command line of every process of this machine."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True, errors="replace")
    return listed.stdout.splitlines()


def strays(engine: Engine) -> list[str]:
    """The builders, sessions and locks that the runs of a database have left there."""
    names = [run for (run,) in ask(engine, f"SELECT run_id FROM {RUNS}")]
    builders = [line for line in processes() if "refresh.builder" in line and any(name in line for name in names)]
    sessions = ask(engine, f"SELECT application_name, state, query FROM pg_stat_activity WHERE {OURS}")
    locks = "SELECT classid, objid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'"
    held = ask(engine, f"{locks} AND datname = current_database()")
    return [*builders, *map(str, sessions), *map(str, held)]


def check_nothing_is_left(engine: Engine) -> None:
    """No builder, no session and no lock outlives its run for long."""
    deadline = time.monotonic() + 20
    while (left := strays(engine)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@contextmanager
def stuck_at(engine: Engine, asset: int) -> Iterator[Callable[[], int | None]]:
    """Make whoever builds the daily bars of an asset wait for a row; tells the number of the process that does."""
    row = "jsonb_populate_record(t, jsonb_build_object('id', :asset, 'timestamp', :first))"
    copy = f"INSERT INTO cmc_price_bars_1d SELECT ({row}).* FROM cmc_price_bars_1d t WHERE id = 1 LIMIT 1"
    with engine.connect() as connection:
        holder = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(copy), {"asset": asset, "first": FIRST.replace(" ", "T")})

        def waits() -> int | None:
            query = (
                f"SELECT application_name FROM pg_stat_activity WHERE {OURS} AND :holder = ANY(pg_blocking_pids(pid))"
            )
            found = ask(engine, query, holder=holder)
            return int(found[0][0].split()[1].split("@")[0]) if found else None

        try:
            yield waits
        finally:
            connection.invalidate()  # ends the session, also where the server is gone


def runs(engine: Engine) -> list[tuple[Any, ...]]:
    """Every run from the first on: its name, the run it resumes, whether it ended, and how."""
    query = f"SELECT run_id, resumes, ended_at IS NOT NULL, exit_code FROM {RUNS} ORDER BY started_at"
    return ask(engine, query)


def outcomes(engine: Engine, run: str) -> dict[tuple[str, int], str]:
    """How each asset ended in each builder of a run."""
    found = ask(engine, f"SELECT builder, id, status FROM {OUTCOMES} WHERE run_id = :run", run=run)
    return {(builder, id): status for builder, id, status in found}


def everywhere(status: str, ids: tuple[int, ...] = ASSETS, keys: list[str] = KEYS) -> dict[tuple[str, int], str]:
    """The same status for assets in builders."""
    return {(key, id): status for key in keys for id in ids}


def check_complete(engine: Engine, expected: dict[str, list[str]]) -> None:
    """Every table holds what an undisturbed refresh leaves."""
    for table in TARGETS:
        assert rows(engine, table) == expected[table], table


BARS = ("--bars", "--builders", "1d,multi_tf", "--tfs", "7d")
"""A run of two builders."""


def test_an_asset_fails_and_is_taken_up_again(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """Its siblings are complete, its dependants are skipped; ``--resume`` does it and nothing else, once."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 825)")
    failed = start(engine, "--all")
    assert failed.wait() == 1
    assert "Skipping ID 825 EMAs (bars failed)" in failed.err
    for table in TARGETS:
        assert rows(engine, table) == [row for row in expected[table] if not row.startswith("(825,")], table
    ((first, _, *ended),) = runs(engine)
    assert ended == [True, 1]
    assert outcomes(engine, first) == everywhere("skipped") | everywhere("done", (1, 52)) | {("bars.1d", 825): "failed"}
    check_nothing_is_left(engine)

    execute(engine, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT spare")
    done = start(engine, "--emas", "--ids", "1", "--periods", "10", "--resume", "--dry-run")
    assert done.wait() == 0, done.err
    assert "Nothing to resume" in done.out
    narrowed = start(engine, "--all", "--skip", "cal,cal_anchor", "--periods", "10", "--resume", "--dry-run")
    assert narrowed.wait() == 0, narrowed.err
    commands = [line.split() for line in narrowed.out.splitlines() if "python -m refresh.builder" in line]
    assert [words[3:] for words in commands[-2:]] == [
        [key, "--ids", "825", "--periods", "10"] for key in ("emas.multi_tf", "emas.v2")
    ]
    before = moved(engine)
    resumed = start(engine, "--all", "--resume")
    assert resumed.wait() == 0, resumed.err
    check_nothing_is_left(engine)
    after = moved(engine)
    (second, *ended) = runs(engine)[-1]
    assert ended == [first, True, 0]
    assert outcomes(engine, second) == everywhere("done", (825,))
    written = {table: tuple(b - a for a, b in zip(before[table], after[table], strict=True)) for table in TARGETS}
    of_825 = {table: sum(row.startswith("(825,") for row in expected[table]) for table in TARGETS}
    assert written == {table: (number, 0, 0) for table, number in of_825.items()}
    check_complete(engine, expected)

    idle = start(engine, "--all", "--resume")
    assert idle.wait() == 0, idle.err
    assert "Nothing to resume" in idle.out
    assert len(runs(engine)) == 2


def test_the_refresh_is_killed(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """Its builders die with it and its history tells the truth; it is resumed with its own filters, then completed."""
    with stuck_at(engine, 52) as waits:
        killed = start(engine, "--all", "--tfs", "7d")
        until(waits, "the builder waits for the row")
        killed.process.kill()
        assert killed.wait() == -signal.SIGKILL
        check_nothing_is_left(engine)
    ((first, _, *ended),) = runs(engine)
    assert ended == [False, None]
    of_7d = ["bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.v2"]
    assert outcomes(engine, first) == everywhere("not reached", keys=of_7d) | {("bars.1d", 1): "done"}

    other = start(engine, "--all", "--tfs", "2d", "--resume")
    assert other.wait() == 2
    assert other.err == "error: --tfs 2d: the run to resume had 7d\n"
    resumed = start(engine, "--all", "--resume")
    assert resumed.wait() == 0, resumed.err
    assert f"resuming the run of {first}" in resumed.out
    (second, *ended) = runs(engine)[-1]
    assert ended == [first, True, 0]
    done = everywhere("done", keys=of_7d)
    done.pop(("bars.1d", 1))
    assert outcomes(engine, second) == done
    assert ask(engine, "SELECT DISTINCT tf FROM cmc_price_bars_multi_tf WHERE id <> 1") == [("7D",)]

    last = start(engine, "--all")
    assert last.wait() == 0, last.err
    check_complete(engine, expected)
    check_nothing_is_left(engine)


def test_a_builder_is_killed(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """What it had not committed was not reached, the refresh goes on with the rest, and the next one does it."""
    with stuck_at(engine, 52) as waits:
        hurt = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        os.kill(waits() or 0, signal.SIGKILL)
        assert hurt.wait() == 1
        check_nothing_is_left(engine)
    assert "ID 52, 825 bars.1d: not reached: the builder was ended by SIGKILL" in hurt.err
    ((first, _, *ended),) = runs(engine)
    assert ended == [True, 1]
    assert outcomes(engine, first) == {
        **everywhere("done", (1,), ["bars.1d", "bars.multi_tf"]),
        **everywhere("not reached", (52, 825), ["bars.1d"]),
        **everywhere("skipped", (52, 825), ["bars.multi_tf"]),
    }
    mended = start(engine, *BARS)
    assert mended.wait() == 0, mended.err
    assert rows(engine, TARGETS[0]) == expected[TARGETS[0]]
    check_nothing_is_left(engine)


def test_the_server_restarts(own_server: Postgresql, start: Start) -> None:
    """A refresh outlasts it by trying again, and says of whom it did."""
    engine = connect(secret(own_server.url(database="postgres")), "the test")
    with stuck_at(engine, 52) as waits:
        restarted = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        own_server.terminate()
        time.sleep(4)  # longer than the first pause: the first attempt finds nobody
        own_server.start()
        engine.dispose()
    assert restarted.wait() == 0, restarted.err
    ((run, _, *ended),) = runs(engine)
    assert ended == [True, 0]
    assert outcomes(engine, run) == everywhere("done", keys=["bars.1d", "bars.multi_tf"])
    retries = f"SELECT id, retries > 0 FROM {OUTCOMES} WHERE builder = 'bars.1d' AND run_id = :run ORDER BY id"
    assert ask(engine, retries, run=run) == [(1, False), (52, True), (825, True)]
    check_nothing_is_left(engine)
    engine.dispose()


def test_the_server_stays_away(own_server: Postgresql, start: Start) -> None:
    """A refresh gives up and says whom it did not reach; the next one takes it up."""
    engine = connect(secret(own_server.url(database="postgres")), "the test")
    with stuck_at(engine, 52) as waits:
        lost = start(engine, *BARS, "--retries", "1")
        until(waits, "the builder waits for the row")
        own_server.terminate()
        code = lost.wait()
        own_server.start()
        engine.dispose()
    assert "ID 52, 825 bars.1d: not reached" in lost.err
    ((run, _, *ended),) = runs(engine)
    assert ended == [False, None]
    both = ["bars.1d", "bars.multi_tf"]
    assert outcomes(engine, run) == everywhere("not reached", keys=both) | {("bars.1d", 1): "done"}
    check_nothing_is_left(engine)
    resumed = start(engine, *BARS, "--resume")
    assert resumed.wait() == 0, resumed.err
    check_nothing_is_left(engine)
    engine.dispose()
    assert code == 1, lost.err


def test_two_refreshes_at_once(engine: Engine, start: Start) -> None:
    """The second gives way and says to whom, or waits if it is told to."""
    with stuck_at(engine, 52) as waits:
        first = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        second = start(engine, *BARS)
        assert second.wait() == 75
        holder = f"process {first.process.pid} on {re.escape(socket.gethostname()[:24])} since {MINUTE} UTC"
        assert re.fullmatch(
            f"error: another refresh of this database is running: {holder}; .*--wait-lock.*\n", second.err
        )
        patient = start(engine, *BARS, "--wait-lock", "600s")
        until(lambda: patient.out, "the third says that it waits")
        assert re.fullmatch(f"waiting for another refresh to end: {holder}\n", patient.out)
        assert len(runs(engine)) == 1
    assert first.wait() == 0, first.err
    assert patient.wait() == 0, patient.err
    assert "Nothing to do" in patient.out
    assert [run[2:] for run in runs(engine)] == [(True, 0), (True, 0)]
    check_nothing_is_left(engine)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_in_order(engine: Engine, start: Start, number: signal.Signals, code: int) -> None:
    """The batch at work is finished, nothing is begun any more, and the summary is printed."""
    with stuck_at(engine, 52) as waits:
        stopped = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        stopped.process.send_signal(number)
    assert stopped.wait() == code
    assert re.search(f"^Stopped by {number.name}.*--resume", stopped.out, re.MULTILINE)
    assert re.search("^multi_tf bars.*3 not reached", stopped.out, re.MULTILINE)
    ((run, _, *ended),) = runs(engine)
    assert ended == [True, code]
    errors = f"SELECT DISTINCT error FROM {OUTCOMES} WHERE run_id = :run AND builder = 'bars.multi_tf'"
    assert ask(engine, errors, run=run) == [(f"the run was stopped by {number.name}",)]
    found = outcomes(engine, run)
    assert {id: found["bars.multi_tf", id] for id in ASSETS} == dict.fromkeys(ASSETS, "not reached")
    check_nothing_is_left(engine)


def test_a_second_signal_stops_at_once(engine: Engine, start: Start) -> None:
    """Even where a builder waits for a row that nobody lets go."""
    with stuck_at(engine, 52) as waits:
        stopped = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        began = time.monotonic()
        stopped.process.terminate()
        time.sleep(1)  # two signals at once would be one
        assert stopped.process.poll() is None
        stopped.process.terminate()
        assert stopped.wait() == 143
        assert time.monotonic() - began < SECONDS_TO_STOP
        check_nothing_is_left(engine)
    assert re.search("^Stopped by SIGTERM.*--resume", stopped.out, re.MULTILINE)
    ((run, _, *ended),) = runs(engine)
    assert ended == [True, 143]
    kept = {("bars.1d", 1): "done"}
    assert outcomes(engine, run) == everywhere("not reached", keys=["bars.1d", "bars.multi_tf"]) | kept


def test_builders_that_let_the_refresh_down(engine: Engine, start: Start, tmp_path: Path) -> None:
    """One hangs, one ends well without a word, one crashes: each is told of, and whoever does not need them is done."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    hurt = start(engine, "--all", "--timeout", "10s", PYTHONPATH=str(tmp_path))
    assert hurt.wait() == 1
    said = {
        "cal_us": "the builder took longer than 10 s (--timeout)",
        "cal_iso": "the builder exited with 0 without reporting this asset",
        "cal_anchor_us": "the builder was ended by SIGSEGV without reporting this asset",
    }
    for name, error in said.items():
        assert f"ID 1, 52, 825 bars.{name}: not reached: {error}" in hurt.err.splitlines()
    ((run, _, *ended),) = runs(engine)
    assert ended == [True, 1]
    assert outcomes(engine, run) == {
        **everywhere("done"),
        **everywhere("not reached", keys=[f"bars.{name}" for name in said]),
        **everywhere("skipped", keys=["emas.cal", "emas.cal_anchor"]),
    }
    told = ask(engine, f"SELECT DISTINCT builder, error FROM {OUTCOMES} WHERE run_id = :run AND error <> ''", run=run)
    assert dict(told) == {f"bars.{name}": error for name, error in said.items()}
    check_nothing_is_left(engine)


def test_the_password_stays_secret(engine: Engine, start: Start) -> None:
    """No process shows it, no output (as after every test here), and no column of the history."""
    seen: set[str] = set()
    running = start(engine, *BARS, "--verbose")
    while running.process.poll() is None:
        seen.update(processes())
    assert running.wait() == 0, running.err
    assert running.logged
    assert any("refresh.builder bars.1d" in line for line in seen)
    assert not any(PASSWORD in line for line in seen)
    for table in (RUNS, STEPS, OUTCOMES):
        told = "".join(row for (row,) in ask(engine, f"SELECT CAST(t AS text) FROM {table} t"))
        assert "bars.1d" in told
        assert PASSWORD not in told
    check_nothing_is_left(engine)


def test_the_password_of_an_unreachable_database_stays_secret(start: Start) -> None:
    """Neither the error nor its traceback shows it."""
    nowhere = create_engine(f"postgresql+psycopg2://postgres:{PASSWORD}@127.0.0.1:1/prices")
    for arguments in (["--verbose"], ["--dry-run"], ["--dry-run", "--json", "-", "--verbose"]):
        failed = start(nowhere, "--all", *arguments)
        assert failed.wait() == 3
        assert "cannot connect to postgresql://postgres:***@127.0.0.1:1/prices" in failed.err


def test_a_dry_run_on_a_new_database(database_url: str, start: Start) -> None:
    """No table is created beside the source, whether the plan is shown as a table or as JSON."""
    engine = connect(secret(database_url), "the test")
    with engine.begin() as connection:
        source_table(MetaData()).create(connection)
    execute(engine, FILL, first=FIRST, last=LAST, assets=list(ASSETS))
    before = moved(engine)
    assert list(before) == [SOURCE]
    shown, written = (start(engine, "--all", "--dry-run", *more) for more in ([], ["--json", "-"]))
    assert shown.wait() == 0, shown.err
    assert shown.out.endswith("Dry run: nothing was written.\n")
    assert written.wait() == 0, written.err
    steps = json.loads(written.out)["steps"]
    assert [(step["builder"], [task["id"] for task in step["tasks"]]) for step in steps] == [
        (key, list(ASSETS)) for key in KEYS
    ]
    assert moved(engine) == before
    engine.dispose()


def test_a_dry_run_tells_what_the_run_does(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """It writes nothing; the run does what it said for the reasons it gave; a further run has nothing to launch."""
    before = moved(engine)
    shown, written = (start(engine, "--all", "--dry-run", *more) for more in ([], ["--json", "-"]))
    assert shown.wait() == 0, shown.err
    assert written.wait() == 0, written.err
    check_nothing_is_left(engine)
    assert moved(engine) == before
    steps = json.loads(written.out)["steps"]
    planned = {(step["builder"], task["id"]): task["reason"] for step in steps for task in step["tasks"]}
    assert set(planned) == set(everywhere("done"))

    done = start(engine, "--all")
    assert done.wait() == 0, done.err
    ((run, *_),) = runs(engine)
    assert outcomes(engine, run) == everywhere("done")
    found = ask(engine, f"SELECT builder, id, reason FROM {OUTCOMES} WHERE run_id = :run", run=run)
    reasons = {(builder, id): reason for builder, id, reason in found}
    assert reasons == {of: reasons[of] if reason.startswith("follows ") else reason for of, reason in planned.items()}
    check_complete(engine, expected)

    idle = start(engine, "--all")
    assert idle.wait() == 0, idle.err
    (last, *ended) = runs(engine)[-1]
    assert (last != run, ended) == (True, [None, True, 0])
    assert ask(engine, f"SELECT DISTINCT run_id FROM {STEPS}") == [(run,)]
    check_nothing_is_left(engine)
