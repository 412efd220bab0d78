"""Changes of the layout of tables that are interrupted: a migration, and a move of storage."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from faults.ground import ALL, of_role
from faults.scene import Fault, MissedError, Scene, Setting, Struck, cloned
from faults.truth import Truth, truth_of, undisturbed
from former import AVERAGING, unpack
from layouts import restore
from statements import ask

from refresh.errors import ExitCode
from refresh.store.database import connect

SPAN = 0.4
KILLED = frozenset({-signal.SIGKILL})
_LAYOUT = "SELECT FROM refresh_settings WHERE name = 'schema'"
MOVE = "-m refresh.commands.move"


@contextmanager
def former(setting: Setting) -> Iterator[Scene]:
    """A database of the morning whose averages have a row per value."""
    with cloned(setting) as scene:
        with connect(of_role(scene.url)) as engine:
            for leg in AVERAGING:
                unpack(engine, leg)
        yield scene


@contextmanager
def oldest(setting: Setting) -> Iterator[Scene]:
    """A database of the first layout."""
    with setting.ground.database("template1") as url:
        restore(of_role(url), 1)
        address = of_role(url)
        yield Scene(setting=setting, url=url, environ={"TARGET_DB_URL": address}, mark=f"{address}\0")


def migrated(scene: Scene) -> Truth:
    """What a refresh leaves that migrates such a database undisturbed."""
    with scene.ground.database("template1") as url:
        restore(of_role(url), 1)
        undisturbed(url, scene.setting.folder)
        return truth_of(url)


def move(scene: Scene) -> Struck:
    """A move is killed, and another one finishes it."""
    program = scene.start(program=MOVE)
    scene.found(program, lambda: scene.sessions(program, own=True))
    time.sleep(scene.draw.uniform(0, SPAN))
    program.process.kill()
    ended = scene.end(program)
    if not ask(scene.engine, "SELECT FROM pg_class WHERE relkind = 'r' AND relname = ANY(:names)", names=NAMES):
        raise MissedError
    assert scene.end(scene.start(program=MOVE)).codes == (ExitCode.DONE,)
    return ended


NAMES = [leg.target for leg in AVERAGING]


def migration(scene: Scene) -> Struck:
    """A refresh is killed while it migrates tables."""
    program = scene.start(*ALL)
    scene.found(program, lambda: scene.sessions(program, own=True))
    time.sleep(scene.draw.uniform(0, SPAN))
    program.process.kill()
    ended = scene.end(program)
    if ask(scene.engine, _LAYOUT):
        raise MissedError
    return ended


INTERRUPTED = (
    Fault(name="kill -9 in a migration of the layout", strike=migration, stage=oldest, truth=migrated, codes=KILLED),
    Fault(name="kill -9 in a move of storage", strike=move, stage=former, codes=KILLED),
)
