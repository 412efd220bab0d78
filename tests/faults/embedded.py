"""The server that comes with the package: killed, half made, or with its gate held by somebody else."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from faults.ground import ALL, be_bare, become_morning, become_yesterday
from faults.scene import Fault, MissedError, Scene, Setting, Struck, ends
from faults.signals import felt
from sqlalchemy import URL

from refresh.errors import ExitCode
from refresh.server.cluster import PORT, data_directory, open_cluster
from refresh.server.embedded import lease
from refresh.store.database import connect


def of(folder: Path) -> dict[str, str]:
    """The settings of a user whose data is in this folder."""
    return {"REFRESH_DATA_DIR": str(folder), "PATH": os.environ["PATH"]}


def fill(environ: Mapping[str, str], seed: int) -> None:
    """Create yesterday's tables and this morning's source in an embedded database."""
    with lease(environ) as server, connect(server.url) as engine:
        be_bare(engine)
        become_yesterday(engine)
        become_morning(engine, seed)


@contextmanager
def empty(setting: Setting) -> Iterator[Scene]:
    """No embedded server yet."""
    with tempfile.TemporaryDirectory(prefix="refresh-", dir=setting.ground.folder) as folder:
        Path(folder).chmod(0o755)
        environ = of(Path(folder))
        sockets = {"host": str(open_cluster(environ).directory), "port": str(PORT)}
        url = URL.create("postgresql+psycopg2", "postgres", database="refresh", query=sockets)
        yield Scene(setting=setting, url=url, environ=environ, mark=f"{folder}\0", served=partial(lease, environ))


@contextmanager
def filled(setting: Setting) -> Iterator[Scene]:
    """An embedded server as it is in the morning, and not running."""
    made = setting.ground.folder / f"embedded_{setting.morning.seed}"
    if not made.exists():
        made.mkdir(mode=0o755)
        fill(of(made), setting.morning.seed)
    with empty(setting) as scene:
        subprocess.run(["cp", "-a", f"{made}/.", data_directory(scene.environ)], check=True)
        yield scene


def killed(scene: Scene) -> Struck:
    """The server is killed in the middle of a refresh."""
    program = scene.start(*ALL)
    scene.amid(program)
    pid, _ = open_cluster(scene.environ).read_pid_file()
    if not pid:  # it has just stopped, and 0 would be our own group
        raise MissedError
    os.kill(pid, signal.SIGKILL)
    return felt(scene.end(program))


def left_running(scene: Scene) -> Struck:
    """The refresh is killed, so that nobody stops its server."""
    program = scene.start(*ALL)
    scene.amid(program)
    program.process.kill()
    ended = scene.end(program)
    if not open_cluster(scene.environ).pid_file.exists():
        raise MissedError
    return ended


def half_made(scene: Scene) -> Struck:
    """The first refresh of all is killed while it makes the folder of the data."""
    directory = open_cluster(scene.environ).directory
    program = scene.start(*ALL)
    unfinished = f"{directory.name}.new-*"
    scene.found(program, lambda: list(directory.parent.glob(unfinished)))
    time.sleep(scene.draw.uniform(0, 0.4))
    program.process.kill()
    ended = scene.end(program)
    if directory.exists():
        raise MissedError
    fill(scene.environ, scene.setting.morning.seed)
    return ended


def gate_is_held(scene: Scene) -> Struck:
    """Somebody else holds the gate of the server for a while."""
    directory = open_cluster(scene.environ).directory
    with directory.with_name(f"{directory.name}.gate").open("ab") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        program = scene.start(*ALL)
        time.sleep(scene.draw.uniform(1, 2))
        has_waited = program.process.poll() is None and not scene.has_begun
        fcntl.flock(gate, fcntl.LOCK_UN)
    ended = scene.end(program)
    if not has_waited:
        raise MissedError
    return ended


KILLED = frozenset({-signal.SIGKILL})
EMBEDDED = (
    Fault(name="kill -9 of the embedded server", strike=killed, stage=filled, codes=ends(ExitCode.FAILED)),
    Fault(name="kill -9 of the run on the embedded server", strike=left_running, stage=filled, codes=KILLED),
    Fault(name="kill -9 while the embedded server is made", strike=half_made, stage=empty, codes=KILLED),
    Fault(name="the gate of the embedded server is held", strike=gate_is_held, stage=filled, codes=ends(ExitCode.DONE)),
)
