"""A refresh through PgBouncer: as it comes in session mode, refused in transaction mode before anything is locked."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import run
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import URL, Engine, make_url
from statements import ask, execute
from waiting import eventually

from refresh.catalog import SOURCE
from refresh.options.request import Request
from refresh.store.database import connect

PROGRAM = "run_daily_refresh.py"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer: install it to try a refresh through it")
DAYS = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT a, d, d, 100 + sin(n), 102, 98, 100 + cos(n), n, d FROM generate_series(1, 2) a,
    generate_series('2024-01-01'::timestamptz, '2024-03-31', '1 day') WITH ORDINALITY AS g(d, n)
"""
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@contextmanager
def pooler(folder: Path, server: URL, mode: str, *lines: str) -> Iterator[int]:
    """PgBouncer before the tests' server. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = [
        "[databases]", f"* = host=127.0.0.1 port={server.port} user=postgres", "[pgbouncer]", "listen_addr = 127.0.0.1",
        f"listen_port = {port}", "unix_socket_dir =", "auth_type = any", f"pool_mode = {mode}", *lines,
    ]  # fmt: skip
    (folder / "pgbouncer.ini").write_text("\n".join(settings), encoding="utf-8")
    (folder / "pgbouncer.ini").chmod(0o644)
    user = "nobody" if os.getuid() == 0 else getpass.getuser()
    command = [str(PGBOUNCER), "--quiet", str(folder / "pgbouncer.ini")]
    with subprocess.Popen(command, user=pwd.getpwnam(user).pw_uid, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            assert eventually(lambda: listens(port))
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that another user can enter."""
    made = Path("/var/tmp") / tmp_path_factory.mktemp("pooler").name  # noqa: S108 - a name of its own follows
    made = Path(f"{made}-{os.getpid()}")
    made.mkdir(mode=0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def filled(prepared_url: str) -> Iterator[Engine]:
    """The owner's sessions in a database with two assets."""
    with connect(prepared_url) as engine:
        enable(engine, FEW, [10])
        execute(engine, DAYS)
        yield engine


def through(port: int, engine: Engine) -> str:
    """The URL of the database through the pooler."""
    return f"postgresql://postgres:s3cret@127.0.0.1:{port}/{make_url(engine.url).database}"


def test_session_mode(server: URL, folder: Path, filled: Engine) -> None:
    """PgBouncer in session mode works as it comes: first build, nothing to do, a revision; no lock is left."""
    with pooler(folder, server, "session") as port:
        url = through(port, filled)
        first = run(PROGRAM, "--all", url=url)
        assert (first.returncode, first.stderr) == (0, "")
        assert "Nothing to do" in run(PROGRAM, "--all", url=url).stdout
        execute(filled, f"UPDATE {SOURCE} SET close = 101 WHERE id = 1 AND \"timestamp\" = '2024-02-02Z'")
        revised = run(PROGRAM, "--all", url=url)
        assert (revised.returncode, revised.stderr) == (0, "")
        assert eventually(lambda: ask(filled, LOCKS) == [(0,)])
    stored = digests(filled)
    refresh(filled, Request(full_rebuild=True))
    assert digests(filled) == stored


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    "lines", [(), ("ignore_startup_parameters = options,extra_float_digits",), ("server_round_robin = 1",)]
)
def test_other_modes(server: URL, folder: Path, filled: Engine, mode: str, lines: tuple[str, ...]) -> None:
    """A pool that shares sessions is refused in one line, nothing is locked, and a direct refresh works at once."""
    with pooler(folder, server, mode, *lines) as port:
        refused = run(PROGRAM, "--all", url=through(port, filled))
        assert (refused.returncode, refused.stdout) == (3, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"error: postgresql://127.0.0.1:{port}/")
        assert line.endswith("connect to the server itself, or to a pool with pool_mode = session")
        alone = run("-m refresh.builder", "bars.1d", url=through(port, filled))
        assert (alone.returncode, alone.stderr) == (3, f"{line}\n")
        assert ask(filled, LOCKS) == [(0,)]
        direct = run(PROGRAM, "--bars", url=filled.url.render_as_string(hide_password=False))
        assert (direct.returncode, direct.stderr) == (0, "")


def test_options_that_a_pooler_refuses(server: URL, folder: Path, filled: Engine) -> None:
    """What the user gives is passed on, so PgBouncer's refusal of it is told."""
    with pooler(folder, server, "session") as port:
        refused = run(PROGRAM, "--all", url=f"{through(port, filled)}?options=-c%20geqo%3Doff")
        assert refused.returncode == 3
        assert "unsupported startup parameter" in refused.stderr
        assert "s3cret" not in refused.stderr
