"""Runs whose builders start on the workers of a Dask cluster: equal to others, whatever ends in the middle of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
from clusters import TWO, VARIABLE, Cluster, recorded, start
from databases import database, execute
from prices import fill
from refreshing import FEW, check_equal, enable
from running import Refresh
from sqlalchemy import URL, Engine, make_url
from statements import ask
from waiting import eventually

from refresh.catalog import by_key
from refresh.store.database import connect

pytest.importorskip("distributed")

ASSETS = (1, 2, 3, 4)
BOTH = (by_key("bars.1d"), by_key("bars.multi_tf"))
LOOPBACK = "0100007F"
SECRETS = ("of-the-run", "of-the-workers")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler without workers."""
    pytest.importorskip("distributed")
    with closing(Cluster(tmp_path_factory.mktemp("cluster"))) as running:
        yield running


@pytest.fixture(scope="module")
def filled(server: URL, template: str) -> Iterator[URL]:
    """A database with prices of a few assets, to be cloned from."""
    with database(server, template) as url:
        with connect(url) as engine:
            enable(engine, FEW, [10])
            for asset in ASSETS:
                fill(engine, asset, "2024-01-01", "2024-03-31")
        yield make_url(url)


@pytest.fixture
def address(server: URL, filled: URL) -> Iterator[str]:
    """The address of a database with these prices: always the same, since workers keep it in their environment."""
    url = server.set(database=f"{filled.database}_cloned")
    execute(server, f"CREATE DATABASE {url.database} TEMPLATE {filled.database}")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        execute(server, f"DROP DATABASE {url.database} WITH (FORCE)")


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    """That database."""
    with connect(address) as engine:
        yield engine


@pytest.fixture
def two(cluster: Cluster, address: str) -> Cluster:
    """Two workers that know the address."""
    cluster.need(one={VARIABLE: address}, two={VARIABLE: address})
    return cluster


def waiting(engine: Engine, table: str = "cmc_price_bars_1d") -> list[int]:
    """The numbers of the builders that wait for a lock of a table."""
    query = """SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
               WHERE relation = CAST(:table AS regclass) AND NOT granted"""
    return sorted({int(name.split()[1].partition("@")[0]) for (name,) in ask(engine, query, table=table)})


@contextmanager
def held(engine: Engine, table: str = "cmc_price_bars_1d") -> Iterator[None]:
    """Let nobody write to a table."""
    with closing(psycopg2.connect(engine.url.set(drivername="postgresql").render_as_string(False))) as session:
        session.cursor().execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield


def are_held(engine: Engine, number: int = 2) -> list[int]:
    """The builders, once so many of them wait."""
    assert eventually(lambda: len(waiting(engine)) == number)
    return waiting(engine)


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def have_ended(builders: list[int]) -> bool:
    """Whether none of these is left, soon."""
    return eventually(lambda: not any(map(is_alive, builders)))


def outcomes(engine: Engine) -> dict[str, int]:
    """How many assets of the last run ended in which way, over all builders."""
    query = """SELECT status, count(*) FROM refresh_outcomes
               WHERE run_id = (SELECT run_id FROM refresh_runs ORDER BY started_at DESC LIMIT 1) GROUP BY 1"""
    return dict(map(tuple, ask(engine, query)))


def check_next(folder: Path, engine: Engine, address: str, *arguments: str) -> None:
    """An ordinary run does what is left."""
    last = Refresh(folder, address, *(arguments or TWO))
    assert (last.wait(), last.err) == (0, "")
    check_equal(engine, BOTH)


def test_a_run_on_workers_is_equal_and_keeps_its_secrets(tmp_path: Path, cluster: Cluster, engine: Engine) -> None:
    """Tables, history and output are those of one run here; no address of a database passes the scheduler."""
    url = engine.url
    ours, theirs = (url.set(password=secret).render_as_string(hide_password=False) for secret in SECRETS)
    cluster.need(three={VARIABLE: theirs}, four={VARIABLE: theirs})
    with recorded(cluster.address) as (relayed, passed):
        run = start(tmp_path, "", relayed, "--all", "--db-url", ours)
        assert (run.wait(), run.err) == (0, "")
    (run_id,) = ask(engine, "SELECT run_id FROM refresh_runs")[0]
    assert run_id.encode() in passed
    assert not [secret for secret in (*SECRETS, url.database or "?") if secret.encode() in passed]
    assert not [secret for secret in SECRETS if secret in run.out + run.logged + cluster.log()]
    assert outcomes(engine) == {"done": 10 * len(ASSETS)}
    assert ask(engine, "SELECT count(*), count(ended_at) FROM refresh_steps") == [(10, 10)]
    assert run.out.count("Processing ID") == 10 * len(ASSETS)
    check_equal(engine)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends(tmp_path: Path, two: Cluster, engine: Engine, address: str, number: int) -> None:
    """Its builder ends, its assets are done by the other worker, and nobody has to do anything."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        builders = are_held(engine)
        two.workers["one"].send_signal(number)
        assert eventually(lambda: sum(map(is_alive, builders)) == 1)
    assert (run.wait(), run.err) == (0, "")
    assert outcomes(engine) == {"done": 2 * len(ASSETS)}
    check_equal(engine, BOTH)


def test_a_worker_is_killed_and_nothing_may_be_tried_again(
    tmp_path: Path, two: Cluster, engine: Engine, address: str
) -> None:
    """With --retries 0 its assets are not reached, which names the worker and the option."""
    with held(engine):
        run = start(tmp_path, address, two.address, *TWO, "--retries", "0")
        are_held(engine)
        two.workers["one"].kill()
        assert eventually(lambda: len(waiting(engine)) == 1)
    assert run.wait() == 1
    assert "worker one at tcp://" in run.err
    assert "was lost; --retries 0 allows no other try" in run.err
    check_next(tmp_path, engine, address)


def test_all_workers_are_killed(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """The run ends soon, and says why; --resume on workers does what is left."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        builders = are_held(engine)
        for worker in two.workers.values():
            worker.kill()
        assert run.wait() == 1
        assert have_ended(builders)
    assert "no worker is left: worker " in run.err
    assert outcomes(engine) == {"not reached": len(ASSETS), "skipped": len(ASSETS)}
    two.need(one={VARIABLE: address}, two={VARIABLE: address})
    again = start(tmp_path, address, two.address, *TWO, "--resume")
    assert (again.wait(), again.err) == (0, "")
    check_equal(engine, BOTH)


def test_a_builder_is_killed(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """As on one machine, its assets are not reached, and the others are done."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        os.kill(are_held(engine)[0], signal.SIGKILL)
        assert eventually(lambda: len(waiting(engine)) == 1)
    assert run.wait() == 1
    assert "the builder was ended by SIGKILL without reporting this asset" in run.err
    assert outcomes(engine) == {"done": 4, "not reached": 2, "skipped": 2}
    check_next(tmp_path, engine, address)


def test_the_scheduler_is_killed(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """The run ends soon, and no builder is left."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        builders = are_held(engine)
        two.scheduler.kill()
        assert run.wait() == 1
        assert have_ended(builders)
    assert "the scheduler at tcp://" in run.err
    assert "Traceback" not in run.err
    two.start_again()
    check_next(tmp_path, engine, address)


def test_a_worker_has_another_database(
    tmp_path: Path, cluster: Cluster, server: URL, engine: Engine, address: str
) -> None:
    """It writes nowhere: its assets are not reached, with the worker and the variable; the other one does the rest."""
    with database(server, "template1") as other:
        cluster.need(one={VARIABLE: address}, wrong={VARIABLE: other})
        run = start(tmp_path, address, cluster.address)
        assert run.wait() == 1
        with connect(other) as elsewhere:
            assert ask(elsewhere, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        cluster.need(one={VARIABLE: address})
    assert "worker wrong at tcp://" in run.err
    assert VARIABLE in run.err
    assert outcomes(engine) == {"done": 4, "not reached": 2, "skipped": 2}
    check_next(tmp_path, engine, address)


def test_a_worker_is_there_for_other_databases(tmp_path: Path, cluster: Cluster, engine: Engine, address: str) -> None:
    """It gets nothing, which the log says; the other one does all."""
    cluster.need(one={VARIABLE: address}, other={"OTHER_DB_URL": address})
    run = start(tmp_path, address, cluster.address)
    assert (run.wait(), run.err) == (0, "")
    lack = rf"worker other at \S+: it has no {VARIABLE} in its environment, so it gets nothing of this run"
    assert len(re.findall(lack, run.logged)) == 1
    assert outcomes(engine) == {"done": 2 * len(ASSETS)}
    check_equal(engine, BOTH)


def test_no_worker_is_there_for_the_database(tmp_path: Path, cluster: Cluster, engine: Engine, address: str) -> None:
    """The run ends at once, with the variable that workers lack."""
    cluster.need(other={"OTHER_DB_URL": address})
    run = start(tmp_path, address, cluster.address)
    assert run.wait() == 1
    assert re.search(rf"no worker is left: worker other at \S+: it has no {VARIABLE} in its environment", run.err)
    assert outcomes(engine) == {"not reached": len(ASSETS), "skipped": len(ASSETS)}
    cluster.need(one={VARIABLE: address})
    check_next(tmp_path, engine, address)


def test_a_run_is_asked_to_stop(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """Its builders are asked as well; those that do not stop are killed."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        builders = are_held(engine)
        run.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 143
        assert have_ended(builders)
        assert waiting(engine) == []
    assert "the run was stopped by SIGTERM" in run.err
    check_next(tmp_path, engine, address)


def test_a_run_is_killed(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """Its builders are asked to stop by their workers, and killed; the next run finds the workers free."""
    with held(engine):
        run = start(tmp_path, address, two.address)
        builders = are_held(engine)
        run.process.kill()
        assert run.wait() == -signal.SIGKILL
        assert have_ended(builders)
    again = start(tmp_path, address, two.address)
    assert (again.wait(), again.err) == (0, "")
    check_equal(engine, BOTH)


def test_a_builder_takes_too_long(tmp_path: Path, two: Cluster, engine: Engine, address: str) -> None:
    """--timeout holds for all parts of a step together."""
    with held(engine):
        run = start(tmp_path, address, two.address, *TWO, "--timeout", "2s")
        assert run.wait() == 1
        assert waiting(engine) == []
    assert "the builder took longer than 2 s (--timeout)" in run.err
    check_next(tmp_path, engine, address)


def test_workers_of_this_machine(tmp_path: Path, engine: Engine, address: str) -> None:
    """local:2 starts two workers, which nobody else reaches, and leaves nothing."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with held(engine):
        run = Refresh(tmp_path, address, *TWO, "--cluster", "local:2", TMPDIR=str(scratch))
        builders = are_held(engine)
        group = members(run.process.pid)
        hosts = [host for pid in group for host in listening(pid)]
        assert len(hosts) >= 3
        assert set(hosts) == {LOOPBACK}
    assert (run.wait(), run.err) == (0, "")
    assert have_ended([*builders, *group])
    assert list(scratch.iterdir()) == []
    check_equal(engine, BOTH)


def members(session: int) -> list[int]:
    """The processes of a session."""
    found = subprocess.run(["pgrep", "-s", str(session)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split() if is_alive(int(pid))]


def listening(pid: int) -> list[str]:
    """The addresses at which a process listens, as the system writes them."""
    tables = [Path(f"/proc/{pid}/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            own.add(descriptor.readlink().name)
    rows = [line.split() for table in tables for line in table]
    return [
        local.partition(":")[0] for _, local, _, state, *rest in rows if state == "0A" and f"socket:[{rest[5]}]" in own
    ]


def test_no_scheduler_answers(tmp_path: Path, address: str) -> None:
    """The run ends within a limited time, before it has done anything."""
    started = time.monotonic()
    run = start(tmp_path, address, "tcp://127.0.0.1:9")
    assert run.wait() == 3
    assert time.monotonic() - started < 30
    assert run.err.startswith("error: --cluster tcp://127.0.0.1:9: ")
    assert run.err.count("\n") == 1


def test_package_is_not_installed(tmp_path: Path, address: str) -> None:
    """Without the extra, the option is refused with the way to install it."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['distributed'] = None\n")
    run = start(tmp_path, address, "local:2", PYTHONPATH=str(tmp_path))
    assert run.wait() == 3
    assert "pip install 'daily-refresh[cluster]'" in run.err


@pytest.mark.parametrize("module", ["refresh.commands.program", "refresh.builder.warm", "refresh.run.on_worker"])
def test_nobody_else_loads_dask(module: str) -> None:
    """Neither a run without the option, nor any builder, waits until Dask is imported."""
    code = f"import sys, {module}; print(sys.modules.keys() & {{'distributed', 'dask', 'msgpack'}})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"
