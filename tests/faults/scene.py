"""One fault that strikes one refresh: the database, the program, the moment, and how it ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TypeVar

import psycopg2
from faults.ground import Ground, of_role
from faults.truth import Morning, Truth, rebuilt, truth_of
from psycopg2.extensions import connection
from running import PATIENCE, Refresh
from sqlalchemy import URL, Engine
from sqlalchemy.exc import OperationalError
from statements import as_user, ask
from waiting import eventually

from refresh.errors import ExitCode

T = TypeVar("T")
SHARE = 0.9
"""The share of the time of a refresh in which faults strike: later ones would mostly come too late."""
A_LOOK = 0.03
_BEGUN = "SELECT FROM refresh_runs WHERE ended_at IS NULL"
_PROGRAM = r"run_daily_refresh\.py|-m refresh\."
_FOLDERS = r"(?<![\w:/])/(?:[\w.-]+/)+"
"""Those of a machine on which faults strike are nothing for a page."""
_OURS = "datname = current_database() AND starts_with(application_name, 'refresh ')"


class MissedError(Exception):
    """The refresh had ended before the fault struck, or felt nothing of it: this attempt does not count."""


@dataclass(frozen=True, kw_only=True)
class Struck:
    """How the disturbed programs ended, and what their user saw last."""

    codes: tuple[int, ...]
    said: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and when a fault strikes."""

    morning: Morning
    folder: Path
    draw: Random

    @property
    def ground(self) -> Ground:
        """The server of the databases that are cloned."""
        return self.morning.ground


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A database in the morning, and the refreshes that are started on it.

    ``url``: the database as its superuser sees it. ``environ``: what programs are told of it. ``mark``: what only the
    environments of its programs contain. ``served``: keeps it there for the length of a block.
    """

    setting: Setting
    url: URL
    environ: Mapping[str, str]
    mark: str
    served: Callable[[], AbstractContextManager[object]] = nullcontext
    programs: list[Refresh] = field(default_factory=list)
    _looks: list[connection] = field(default_factory=list)

    @property
    def ground(self) -> Ground:
        """The server of the databases that are cloned."""
        return self.setting.ground

    @property
    def draw(self) -> Random:
        """What decides about moments and victims."""
        return self.setting.draw

    @property
    def engine(self) -> Engine:
        """Sessions of a superuser in the database."""
        return as_user(self.url)

    def start(
        self,
        *arguments: str,
        program: str = "run_daily_refresh.py",
        before: Sequence[str] = (),
        **environ: str,
    ) -> Refresh:
        """Start a program on the database."""
        folder = self.setting.folder / str(len(self.programs))
        folder.mkdir()
        settings = {**self.environ, **environ}
        self.programs.append(Refresh(folder, None, *arguments, program=program, before=before, **settings))
        return self.programs[-1]

    def begun(self, program: Refresh) -> None:
        """Wait until a run has begun. Raises ``MissedError`` if the program has ended."""
        while not self.has_begun:
            _must_live(program)
            time.sleep(A_LOOK)

    @property
    def has_begun(self) -> bool:
        """Whether a run has begun that has not ended."""
        with suppress(psycopg2.OperationalError):  # an embedded server is not there yet
            return bool(self._looked(_BEGUN))
        return False

    def _looked(self, query: str) -> list[tuple[object, ...]]:
        """The rows of a query that is asked again and again, by one session as long as it lasts."""
        if not self._looks or self._looks[0].closed:
            session = psycopg2.connect(self.url.set(drivername="postgresql").render_as_string(hide_password=False))
            session.autocommit = True
            self._looks[:] = [session]
        with self._looks[0].cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def amid(self, program: Refresh) -> None:
        """Wait until anywhere in the middle of a run. Raises ``MissedError`` if the program has ended."""
        self.begun(program)
        time.sleep(self.draw.uniform(0, SHARE * self.setting.morning.seconds))
        _must_live(program)

    def found(self, program: Refresh, look: Callable[[], T]) -> T:
        """Wait until something is there. Raises ``MissedError`` if the program ends without it."""
        while not (there := look()):
            _must_live(program)
            time.sleep(A_LOOK)
        return there

    def sessions(self, program: Refresh, *, own: bool) -> list[int]:
        """The server's processes for a refresh itself, or for its builders."""
        listed = ask(self.engine, f"SELECT pid, application_name FROM pg_stat_activity WHERE {_OURS}")
        mine = f"refresh {program.process.pid}@"
        return [pid for pid, name in listed if name.startswith(mine) == own]

    def lasts(self) -> list[object]:
        """What is left of all programs: sessions of the database, and processes."""
        try:
            sessions = ask(self.engine, f"SELECT application_name, state, query FROM pg_stat_activity WHERE {_OURS}")
        except OperationalError as error:
            return [error]
        return [*sessions, *(command for command in family(self.mark).values() if re.search(_PROGRAM, command))]

    def builders(self, *, warm: bool = False) -> list[int]:
        """The living builders of all programs, or the processes from which they are forked."""
        mark = ("-m refresh.builder ", "-m refresh.builder.warm")[warm]
        return [pid for pid, command in family(self.mark).items() if mark in command]

    def check_nothing_is_left(self) -> None:
        """No session and no process outlives its program for long."""
        assert eventually(lambda: not self.lasts()), self.lasts()

    def end(self, *programs: Refresh) -> Struck:
        """Wait for the end of programs. None has shown a traceback."""
        codes = tuple(program.process.wait(PATIENCE) for program in programs)
        for program in programs:
            assert "Traceback" not in program.out + program.err, program.out + program.err
        return Struck(codes=codes, said=last_words(programs[-1]))


@contextmanager
def cloned(setting: Setting) -> Iterator[Scene]:
    """A database of this morning, of the role that refreshes."""
    with setting.ground.database(setting.morning.name) as url:
        address = of_role(url)
        yield Scene(setting=setting, url=url, environ={"TARGET_DB_URL": address}, mark=f"{address}\0")


def of_the_morning(scene: Scene) -> Truth:
    """What a clean rebuild of the morning's source leaves."""
    return scene.setting.morning.truth


def of_the_source(scene: Scene) -> Truth:
    """What a clean rebuild leaves after prices changed meanwhile. The ledger has lines of that, too."""
    with rebuilt(scene.ground, scene.url, scene.setting.folder) as url:
        return replace(truth_of(url), ledger=scene.setting.morning.truth.ledger, has_other_lines=True)


Stage = Callable[[Setting], AbstractContextManager[Scene]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong. ``codes``: how the programs that it strikes may end.

    ``strike`` starts the programs, does it, proves that it was felt, and waits for their end. ``stage`` makes the
    database on which that happens. ``truth`` is what an ordinary refresh then has to leave. ``as_root``: an ordinary
    user cannot do it.
    """

    name: str
    strike: Callable[[Scene], Struck]
    codes: frozenset[int]
    stage: Stage = cloned
    truth: Callable[[Scene], Truth] = of_the_morning
    as_root: bool = False


def _must_live(program: Refresh) -> None:
    if program.process.poll() is not None:
        raise MissedError


def ends(*codes: ExitCode) -> frozenset[int]:
    """How programs may end."""
    return frozenset(map(int, codes))


def last_words(program: Refresh) -> str:
    """What the user of a program saw: the first complaint, or else the last line."""
    complaints = [line for line in program.err.splitlines() if line.strip() and not line.startswith("Skipping")]
    last = next(iter([*complaints, *reversed(program.out.splitlines())]), "").strip()
    return re.sub(_FOLDERS, "", last)


def family(mark: str) -> dict[int, str]:
    """The living processes with this mark in their environments, and their commands."""
    alive = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                command = (folder / "cmdline").read_bytes()  # empty, if it has ended
                if b"python" in command and mark.encode() in (folder / "environ").read_bytes():
                    alive[int(folder.name)] = command.replace(b"\0", b" ").decode()
    return alive
