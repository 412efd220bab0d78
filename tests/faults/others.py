"""Others who work on the same database meanwhile: more refreshes, the source's owner, and whoever alters our tables."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from faults.ground import ALL, ASSETS, LIMIT, revise
from faults.scene import Fault, MissedError, Scene, Struck, ends, of_the_morning, of_the_source
from statements import execute

from refresh.catalog import BUILDERS, SOURCE
from refresh.errors import ExitCode
from refresh.store.tables import MONTHS

TABLES = [leg.table for builder in BUILDERS for leg in builder.legs]
STATES = [leg.state for builder in BUILDERS for leg in builder.legs]


def two_at_once(scene: Scene) -> Struck:
    """Two refreshes are started within a second."""
    first = scene.start(*ALL)
    time.sleep(scene.draw.uniform(0, 1))
    if first.process.poll() is not None:
        raise MissedError
    return scene.end(first, scene.start(*ALL))


def beside(scene: Scene, number: int, *, with_a_refresh: bool) -> Struck:
    """Some builders are started by themselves within a second, beside a refresh or without one."""
    programs = [scene.start(*ALL)] if with_a_refresh else []
    for builder in scene.draw.choices(BUILDERS, k=number):
        time.sleep(scene.draw.uniform(0, 0.3))
        programs.append(scene.start(builder.key, *LIMIT, program="-m refresh.builder"))
    return scene.end(*programs)


def then(scene: Scene, *later: tuple[str, ...], first: tuple[str, ...] = ("--all",)) -> Struck:
    """A refresh is killed, and others follow that do a part each."""
    killed = scene.start(*first, *LIMIT)
    scene.amid(killed)
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    for arguments in later:
        ended = scene.end(scene.start(*arguments, *LIMIT))
        if ended.codes != (ExitCode.DONE,):
            return ended
    return ended


def meanwhile(scene: Scene, change: Callable[[Scene], object]) -> Struck:
    """Something is changed anywhere in the middle of a refresh."""
    program = scene.start(*ALL)
    scene.amid(program)
    change(scene)
    if program.process.poll() is not None:
        raise MissedError
    return scene.end(program)


# The source


def revise_some(scene: Scene) -> None:
    """Prices of two assets are corrected, one after the other."""
    for _ in range(2):
        revise(scene.engine, scene.draw.randint(1, ASSETS), scene.draw.randint(-140, -2))
        time.sleep(scene.draw.uniform(0, 0.1))


def reload_at_once(scene: Scene) -> None:
    """The source is truncated and filled again in one transaction."""
    execute(scene.engine, _KEEP, f"TRUNCATE {SOURCE}", *_BACK)


def reload_later(scene: Scene) -> None:
    """The source is truncated, and filled again after a moment."""
    execute(scene.engine, _KEEP, f"TRUNCATE {SOURCE}")
    time.sleep(scene.draw.uniform(0, 0.2))
    execute(scene.engine, *_BACK)


_KEEP = f"CREATE TABLE kept AS TABLE {SOURCE}"
_BACK = (f"INSERT INTO {SOURCE} SELECT * FROM kept", "DROP TABLE kept")


def rename(scene: Scene) -> None:
    """The source has another name for a moment."""
    execute(scene.engine, f"ALTER TABLE {SOURCE} RENAME TO elsewhere")
    time.sleep(scene.draw.uniform(0, 0.2))
    execute(scene.engine, f"ALTER TABLE elsewhere RENAME TO {SOURCE}")


# What is ours


def drop(scene: Scene) -> None:
    """A table is dropped."""
    execute(scene.engine, f"DROP TABLE {scene.draw.choice([*TABLES, *STATES, MONTHS])} CASCADE")


def truncate(scene: Scene) -> None:
    """A table or a state is emptied."""
    execute(scene.engine, f"TRUNCATE {scene.draw.choice([*TABLES, *STATES, MONTHS])}")


def lose_rows(scene: Scene) -> None:
    """The rows of an asset are deleted from a table or its state."""
    id = scene.draw.randint(1, ASSETS)
    execute(scene.engine, f"DELETE FROM {scene.draw.choice([*TABLES, *STATES])} WHERE id = {id}")


def edit_state(scene: Scene) -> None:
    """Somebody sets the watermark of a state back."""
    state = scene.draw.choice(STATES[1:])
    back = "seen_ts = seen_ts - interval '9 days'"
    execute(scene.engine, f"UPDATE {state} SET {back} WHERE id = {scene.draw.randint(1, ASSETS)}")


def drop_column(scene: Scene) -> None:
    """A state loses a column."""
    execute(scene.engine, f"ALTER TABLE {scene.draw.choice(STATES[1:])} DROP COLUMN updated_at CASCADE")


QUIET, EITHER = ends(ExitCode.DONE), ends(ExitCode.DONE, ExitCode.FAILED)
OTHERS = (
    Fault(name="two refreshes at once", strike=two_at_once, codes=ends(ExitCode.DONE, ExitCode.ALREADY_RUNNING)),
    Fault(
        name="a refresh and three builders at once", strike=partial(beside, number=3, with_a_refresh=True), codes=QUIET
    ),
    Fault(
        name="four builders at once, without a refresh",
        strike=partial(beside, number=4, with_a_refresh=False),
        codes=QUIET,
    ),
    Fault(name="kill -9, then `--resume`", strike=lambda scene: then(scene, ("--all", "--resume")), codes=QUIET),
    Fault(
        name="kill -9, then `--bars`, then `--emas`",
        strike=lambda scene: then(scene, ("--bars",), ("--emas",)),
        codes=QUIET,
    ),
    Fault(
        name="kill -9 with `--jobs 1`, then `--resume --jobs 1`",
        strike=lambda scene: then(scene, ("--all", "--resume", "--jobs", "1"), first=("--all", "--jobs", "1")),
        codes=QUIET,
    ),
)
SOURCES = tuple(
    Fault(name=name, strike=partial(meanwhile, change=change), codes=codes, truth=truth)
    for name, change, codes, truth in (
        ("prices are revised meanwhile", revise_some, QUIET, of_the_source),
        (
            "the source is truncated meanwhile and filled again, at once",
            reload_at_once,
            EITHER,
            of_the_source,
        ),
        (
            "the source is truncated meanwhile, and filled again later",
            reload_later,
            EITHER,
            of_the_source,
        ),
        ("the source is renamed meanwhile, and back", rename, EITHER | ends(ExitCode.CANNOT_START), of_the_morning),
    )
)
OURS = tuple(
    Fault(name=name, strike=partial(meanwhile, change=change), codes=codes)
    for name, change, codes in (
        ("one of our tables is dropped meanwhile", drop, EITHER),
        ("one of our tables or states is emptied meanwhile", truncate, EITHER),
        ("rows of an asset are deleted from a table or state of ours meanwhile", lose_rows, EITHER),
        ("the watermark of a state is set back meanwhile", edit_state, EITHER),
        ("a state of ours loses a column meanwhile", drop_column, EITHER),
    )
)
