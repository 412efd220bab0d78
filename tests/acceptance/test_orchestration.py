"""Real refreshes that are killed, stopped, delayed or failed by their builders: how they end, and what they leave."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from databases import closing_server, create_tables, database, guarded_folder
from programs import PROJECT
from refreshing import FEW, TARGETS, enable, moved, refresh, rows
from running import PATIENCE, Refresh
from sqlalchemy import URL, Engine, create_engine, make_url, text
from statements import address, ask, execute, with_password
from testing.postgresql import Postgresql
from unpacked import TABLES

from refresh.catalog import BUILDERS, SOURCE
from refresh.options.request import Request
from refresh.run.launch import SECONDS_TO_STOP
from refresh.server.programs import binaries, usable
from refresh.store.database import connect
from refresh.store.tables import OUTCOMES, RUNS, STEPS

PASSWORD = "s3cret-of-the-night"  # noqa: S105 - the servers trust everybody; it must not be shown
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day') AS at
    CROSS JOIN unnest(CAST(:assets AS int[])) AS asset
"""
FIRST, LAST, NEXT = (f"2024-01-{day} 23:59:59.999Z" for day in ("01", "25", "26"))
ASSETS = (1, 52, 825)
KEYS = [builder.key for builder in BUILDERS]
MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d"
OURS = "datname = current_database() AND starts_with(application_name, 'refresh ')"
BROKEN = """
import os, resource, signal, time
from refresh.builder import work

def refresh(engine, scope, listeners, whole=work.refresh, **others):
    if scope.builder.key == "bars.cal_us":
        time.sleep(600)
    if scope.builder.key == "bars.cal_iso":
        os._exit(0)
    if scope.builder.key == "bars.cal_anchor_us":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
    whole(engine, scope, listeners, **others)

work.refresh = refresh
"""


Start = Callable[..., Refresh]


@pytest.fixture(scope="module")
def half_done(server: URL, template: str) -> Iterator[str]:
    """The name of a database where asset 1 is built except for its last day, and assets 52 and 825 are new."""
    with database(server, template) as url:
        fill(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def expected(server: URL, half_done: str) -> dict[str, list[str]]:
    """The rows of every table after an undisturbed refresh."""
    with database(server, half_done) as url, connect(url) as engine:
        refresh(engine)
        contents = {table: rows(engine, table) for table in TARGETS}
    for table, lines in contents.items():
        assert {line.split(",")[0] for line in lines} == {f"({id}" for id in ASSETS}, table
    return contents


@pytest.fixture
def engine(server: URL, half_done: str) -> Iterator[Engine]:
    """The sessions of the test in a database that is half done. Their URL has a password."""
    with database(server, half_done) as url, connect(with_password(url, PASSWORD), "the test") as engine:
        yield engine


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts refreshes. After the test none of them is running, and none has printed the password."""
    started: list[Refresh] = []

    def begin(engine: Engine, *arguments: str, **environ: str) -> Refresh:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Refresh(folder, address(engine), *arguments, **environ))
        return started[-1]

    yield begin
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(PATIENCE)
    for program in started:
        assert PASSWORD not in program.out + program.err + program.logged


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A server that the test may stop, with a database that is half done."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs) as running:
            url = running.url(database="postgres")
            with connect(url) as engine, engine.begin() as connection:
                create_tables(connection)
            fill(url)
            yield running


@pytest.fixture
def own_engine(own_server: Postgresql) -> Iterator[Engine]:
    """The sessions of the test in the database of the server that it may stop."""
    with connect(with_password(own_server.url(database="postgres"), PASSWORD), "the test") as engine:
        yield engine


def fill(url: str) -> None:
    """Few timeframes and periods, 25 days of three assets. One of them is built, and then gets one more day."""
    with connect(url) as engine:
        enable(engine, ["7D", *FEW], [10])
        execute(engine, "INSERT INTO dim_period (period, is_enabled, sort_order) VALUES (2, true, 0)")
        execute(engine, FILL, first=FIRST, last=LAST, assets=list(ASSETS))
        refresh(engine, Request(ids=(1,)))
        execute(engine, FILL, first=NEXT, last=NEXT, assets=[1])


def until(true: Callable[[], object], what: str) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)


def processes() -> list[str]:
    """The command line of every process on this machine."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True, errors="replace")
    return listed.stdout.splitlines()


def strays(engine: Engine) -> list[str]:
    """The builders, sessions and locks that the runs of a database have left."""
    names = [run for (run,) in ask(engine, f"SELECT run_id FROM {RUNS}")]
    builders = [line for line in processes() if "refresh.builder" in line and any(name in line for name in names)]
    sessions = ask(engine, f"SELECT application_name, state, query FROM pg_stat_activity WHERE {OURS}")
    advisory = "SELECT classid, objid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'"
    locks = ask(engine, f"{advisory} AND datname = current_database()")
    return [*builders, *map(str, sessions), *map(str, locks)]


def check_nothing_is_left(engine: Engine) -> None:
    """No builder, no session and no lock outlives its run for long."""
    deadline = time.monotonic() + 20
    while (left := strays(engine)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@contextmanager
def stuck_at(engine: Engine, asset: int) -> Iterator[Callable[[], int | None]]:
    """Make the builder of the daily bars of an asset wait for a row.

    Yields a function that returns the id of the waiting process, or ``None`` if none is waiting.
    """
    row = "jsonb_populate_record(t, jsonb_build_object('id', :asset, 'timestamp', :first))"
    copy = f"INSERT INTO cmc_price_bars_1d SELECT ({row}).* FROM cmc_price_bars_1d t WHERE id = 1 LIMIT 1"
    with engine.connect() as connection:
        holder = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(copy), {"asset": asset, "first": FIRST.replace(" ", "T")})

        def waits() -> int | None:
            query = (
                f"SELECT application_name FROM pg_stat_activity WHERE {OURS} AND :holder = ANY(pg_blocking_pids(pid))"
            )
            waiting = ask(engine, query, holder=holder)
            return int(waiting[0][0].split()[1].split("@")[0]) if waiting else None

        try:
            yield waits
        finally:
            connection.invalidate()  # ends the session, also where the server is gone


def runs(engine: Engine) -> list[tuple[Any, ...]]:
    """Every run, the oldest first: its name, the run it resumes, whether it ended, and how."""
    query = f"SELECT run_id, resumes, ended_at IS NOT NULL, exit_code FROM {RUNS} ORDER BY started_at"
    return ask(engine, query)


def outcomes(engine: Engine, run: str) -> dict[tuple[str, int], str]:
    """How each asset ended in each builder of a run."""
    ended = ask(engine, f"SELECT builder, id, status FROM {OUTCOMES} WHERE run_id = :run", run=run)
    return {(builder, id): status for builder, id, status in ended}


def everywhere(status: str, ids: tuple[int, ...] = ASSETS, keys: list[str] = KEYS) -> dict[tuple[str, int], str]:
    """The same status for assets in builders."""
    return {(key, id): status for key in keys for id in ids}


def check_complete(engine: Engine, expected: dict[str, list[str]]) -> None:
    """Every table has the rows that an undisturbed refresh writes."""
    for table in TARGETS:
        assert rows(engine, table) == expected[table], table


BARS = ("--bars", "--builders", "1d,multi_tf", "--tfs", "7d")
"""A run of two builders."""


def test_failed_asset_is_resumed(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """Its siblings are complete and its dependants are skipped. ``--resume`` does it and nothing else, once."""
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
        [key, "--ids", "825", "--periods", "10", "--tz", "UTC"] for key in ("emas.multi_tf", "emas.v2")
    ]
    before = moved(engine)
    resumed = start(engine, "--all", "--resume")
    assert resumed.wait() == 0, resumed.err
    check_nothing_is_left(engine)
    after = moved(engine)
    (second, *ended) = runs(engine)[-1]
    assert ended == [first, True, 0]
    assert outcomes(engine, second) == everywhere("done", (825,))
    written = {
        table: tuple(b - a for a, b in zip(before[table], after[table], strict=True)) for table in TABLES.values()
    }
    of_825 = {table: ask(engine, f"SELECT count(*) FROM {table} WHERE id = 825")[0][0] for table in TABLES.values()}
    assert all(of_825.values())
    assert written == {table: (number, 0, 0) for table, number in of_825.items()}
    check_complete(engine, expected)

    idle = start(engine, "--all", "--resume")
    assert idle.wait() == 0, idle.err
    assert "Nothing to resume" in idle.out
    assert len(runs(engine)) == 2


def test_refresh_is_killed(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """Its builders end with it and its history is true. It is resumed with its own filters, then completed."""
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


def test_builder_is_killed(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """What it had not committed is not reached. The refresh continues with the rest, and the next one completes it."""
    with stuck_at(engine, 52) as waits:
        damaged = start(engine, *BARS)
        until(waits, "the builder waits for the row")
        os.kill(waits() or 0, signal.SIGKILL)
        assert damaged.wait() == 1
        check_nothing_is_left(engine)
    assert "ID 52, 825 bars.1d: not reached: the builder was ended by SIGKILL" in damaged.err
    ((first, _, *ended),) = runs(engine)
    assert ended == [True, 1]
    assert outcomes(engine, first) == {
        **everywhere("done", (1,), ["bars.1d", "bars.multi_tf"]),
        **everywhere("not reached", (52, 825), ["bars.1d"]),
        **everywhere("skipped", (52, 825), ["bars.multi_tf"]),
    }
    repaired = start(engine, *BARS)
    assert repaired.wait() == 0, repaired.err
    assert rows(engine, TARGETS[0]) == expected[TARGETS[0]]
    check_nothing_is_left(engine)


def test_server_restarts(own_server: Postgresql, own_engine: Engine, start: Start) -> None:
    """The refresh retries and completes, and its history says which assets were retried."""
    with stuck_at(own_engine, 52) as waits:
        restarted = start(own_engine, *BARS)
        until(waits, "the builder waits for the row")
        own_server.terminate()
        time.sleep(4)  # longer than the first pause: the first attempt finds nobody
        own_server.start()
        own_engine.dispose()
    assert restarted.wait() == 0, restarted.err
    ((run, _, *ended),) = runs(own_engine)
    assert ended == [True, 0]
    assert outcomes(own_engine, run) == everywhere("done", keys=["bars.1d", "bars.multi_tf"])
    retries = f"SELECT id, retries > 0 FROM {OUTCOMES} WHERE builder = 'bars.1d' AND run_id = :run ORDER BY id"
    assert ask(own_engine, retries, run=run) == [(1, False), (52, True), (825, True)]
    check_nothing_is_left(own_engine)


def test_server_stays_away(own_server: Postgresql, own_engine: Engine, start: Start) -> None:
    """The refresh gives up and reports the assets that it did not reach. They can be resumed."""
    with stuck_at(own_engine, 52) as waits:
        lost = start(own_engine, *BARS, "--retries", "1")
        until(waits, "the builder waits for the row")
        own_server.terminate()
        code = lost.wait()
        own_server.start()
        own_engine.dispose()
    assert "ID 52, 825 bars.1d: not reached" in lost.err
    ((run, _, *ended),) = runs(own_engine)
    assert ended == [False, None]
    both = ["bars.1d", "bars.multi_tf"]
    assert outcomes(own_engine, run) == everywhere("not reached", keys=both) | {("bars.1d", 1): "done"}
    check_nothing_is_left(own_engine)
    resumed = start(own_engine, *BARS, "--resume")
    assert resumed.wait() == 0, resumed.err
    check_nothing_is_left(own_engine)
    assert code == 1, lost.err


def test_two_refreshes_at_once(engine: Engine, start: Start) -> None:
    """The second one ends and names the first one, or waits for it if that was asked for."""
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
        until(lambda: patient.out.count("\n") == 2, "the third one reports that it waits")
        assert re.fullmatch(f"waiting for another refresh to finish: {holder}", patient.out.splitlines()[1])
        assert len(runs(engine)) == 1
    assert first.wait() == 0, first.err
    assert patient.wait() == 0, patient.err
    assert "Nothing to do" in patient.out
    assert [run[2:] for run in runs(engine)] == [(True, 0), (True, 0)]
    check_nothing_is_left(engine)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signal_stops_gracefully(engine: Engine, start: Start, number: signal.Signals, code: int) -> None:
    """The current batch is finished, nothing else is started, and the summary is printed."""
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
    statuses = outcomes(engine, run)
    assert [statuses["bars.multi_tf", id] for id in ASSETS] == ["not reached"] * len(ASSETS)
    check_nothing_is_left(engine)


def test_second_signal_stops_at_once(engine: Engine, start: Start) -> None:
    """Even if a builder waits for a row that stays locked."""
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


def test_broken_builders(engine: Engine, start: Start, tmp_path: Path) -> None:
    """One hangs, one ends with 0 and reports nothing, one crashes. Each is reported, and all others are done."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    damaged = start(engine, "--all", "--timeout", "10s", PYTHONPATH=os.pathsep.join([str(tmp_path), str(PROJECT)]))
    assert damaged.wait() == 1
    errors = {
        "cal_us": "the builder took longer than 10 s (--timeout)",
        "cal_iso": "the builder exited with 0 without reporting this asset",
        "cal_anchor_us": "the builder was ended by SIGSEGV without reporting this asset",
    }
    for name, error in errors.items():
        assert f"ID 1, 52, 825 bars.{name}: not reached: {error}" in damaged.err.splitlines()
    ((run, _, *ended),) = runs(engine)
    assert ended == [True, 1]
    assert outcomes(engine, run) == {
        **everywhere("done"),
        **everywhere("not reached", keys=[f"bars.{name}" for name in errors]),
        **everywhere("skipped", keys=["emas.cal", "emas.cal_anchor"]),
    }
    query = f"SELECT DISTINCT builder, error FROM {OUTCOMES} WHERE run_id = :run AND error <> ''"
    assert dict(ask(engine, query, run=run)) == {f"bars.{name}": error for name, error in errors.items()}
    check_nothing_is_left(engine)


def test_password_stays_secret(engine: Engine, start: Start) -> None:
    """It is in no command line, in no output (as in every test here), and in no column of the history."""
    seen: set[str] = set()
    running = start(engine, *BARS, "--verbose")
    while running.process.poll() is None:
        seen.update(processes())
    assert running.wait() == 0, running.err
    assert running.logged
    assert any("refresh.builder bars.1d" in line for line in seen)
    assert not any(PASSWORD in line for line in seen)
    for table in (RUNS, STEPS, OUTCOMES):
        stored = "".join(row for (row,) in ask(engine, f"SELECT CAST(t AS text) FROM {table} t"))
        assert "bars.1d" in stored
        assert PASSWORD not in stored
    check_nothing_is_left(engine)


def test_password_of_an_unreachable_database_stays_secret(start: Start) -> None:
    """It is neither in the error nor in the traceback."""
    unreachable = create_engine(f"postgresql+psycopg2://postgres:{PASSWORD}@127.0.0.1:1/prices")
    for arguments in (["--verbose"], ["--dry-run"], ["--dry-run", "--json", "-", "--verbose"]):
        failed = start(unreachable, "--all", *arguments)
        assert failed.wait() == 3
        assert "cannot connect to postgresql://127.0.0.1:1/prices" in failed.err


def test_dry_run_is_the_plan_of_the_run(engine: Engine, start: Start, expected: dict[str, list[str]]) -> None:
    """It writes nothing. The run does the same for the same reasons, and the next run has nothing to launch."""
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
    done_because = ask(engine, f"SELECT builder, id, reason FROM {OUTCOMES} WHERE run_id = :run", run=run)
    reasons = {(builder, id): reason for builder, id, reason in done_because}
    decided = {asset: reason for asset, reason in planned.items() if not reason.startswith("follows ")}
    assert decided
    assert decided.items() <= reasons.items()
    assert reasons.keys() == planned.keys()
    check_complete(engine, expected)

    idle = start(engine, "--all")
    assert idle.wait() == 0, idle.err
    (last, *ended) = runs(engine)[-1]
    assert (last != run, ended) == (True, [None, True, 0])
    assert ask(engine, f"SELECT DISTINCT run_id FROM {STEPS}") == [(run,)]
    check_nothing_is_left(engine)
