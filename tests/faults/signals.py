"""Signals to the processes of a refresh."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from faults.ground import ALL
from faults.scene import Fault, MissedError, Scene, Struck, ends
from running import Refresh

from refresh.errors import ExitCode

Who = Callable[[Scene, Refresh], list[int]]
A_SECOND = "1s"


def the_run(_: Scene, program: Refresh) -> list[int]:
    """The process that the user started."""
    return [program.process.pid]


def a_builder(scene: Scene, program: Refresh) -> list[int]:
    """One of the builders that are at work."""
    return [scene.draw.choice(scene.found(program, scene.builders))]


def all_builders(scene: Scene, program: Refresh) -> list[int]:
    """All builders that are at work."""
    return scene.found(program, scene.builders)


def the_warm_process(scene: Scene, program: Refresh) -> list[int]:
    """What builders are forked from."""
    return scene.found(program, lambda: scene.builders(warm=True))


def everybody(scene: Scene, program: Refresh) -> list[int]:
    """The run, its warm process and its builders."""
    return [program.process.pid, *scene.builders(warm=True), *all_builders(scene, program)]


def struck(scene: Scene, *arguments: str, who: Who, sent: tuple[signal.Signals, ...]) -> Struck:
    """Send signals to some processes anywhere in the middle of a refresh."""
    program = scene.start(*ALL, *arguments)
    scene.amid(program)
    pids = who(scene, program)
    for number in sent:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(scene.draw.uniform(0, 0.05))
    return felt(scene.end(program))


def felt(ended: Struck) -> Struck:
    """How programs ended. Raises ``MissedError`` if nobody noticed anything."""
    if set(ended.codes) == {ExitCode.DONE}:
        raise MissedError
    return ended


def stopped(scene: Scene) -> Struck:
    """A builder is stopped, and goes on by itself no more: its time is up."""
    program = scene.start(*ALL, "--timeout", A_SECOND)
    scene.amid(program)
    (pid,) = a_builder(scene, program)
    os.kill(pid, signal.SIGSTOP)
    return felt(scene.end(program))


def paused(scene: Scene) -> Struck:
    """The run itself is stopped while its builders go on, and then continued."""
    program = scene.start(*ALL)
    scene.amid(program)
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(scene.draw.uniform(0.1, 0.6))
    program.process.send_signal(signal.SIGCONT)
    return scene.end(program)


def by_signal(number: signal.Signals) -> frozenset[int]:
    """How a process ends that a signal ends at once."""
    return frozenset({-number})


KILL = (signal.SIGKILL,)
FAILED = ends(ExitCode.FAILED)
SIGNALS = (
    Fault(name="kill -9 of the run", strike=partial(struck, who=the_run, sent=KILL), codes=by_signal(signal.SIGKILL)),
    Fault(name="kill -9 of a builder", strike=partial(struck, who=a_builder, sent=KILL), codes=FAILED),
    Fault(name="kill -9 of all builders at work", strike=partial(struck, who=all_builders, sent=KILL), codes=FAILED),
    Fault(
        name="kill -9 of the run, its builders and its warm process",
        strike=partial(struck, who=everybody, sent=KILL),
        codes=by_signal(signal.SIGKILL),
    ),
    Fault(
        name="kill -9 of the run with `--jobs 1`",
        strike=lambda scene: struck(scene, "--jobs", "1", who=the_run, sent=KILL),
        codes=by_signal(signal.SIGKILL),
    ),
    *(
        Fault(
            name=f"{number.name} to the run",
            strike=partial(struck, who=the_run, sent=(number,)),
            codes=ends(code)
            | by_signal(number),  # in its last moments there is nothing to stop; shells see no difference
        )
        for number, code in (
            (signal.SIGTERM, ExitCode.TERMINATED),
            (signal.SIGINT, ExitCode.INTERRUPTED),
            (signal.SIGHUP, ExitCode.HUNG_UP),
        )
    ),
    Fault(
        name="SIGINT twice",
        strike=partial(struck, who=the_run, sent=(signal.SIGINT,) * 2),
        codes=ends(ExitCode.INTERRUPTED),
    ),
    Fault(
        name="SIGQUIT to the run",
        strike=partial(struck, who=the_run, sent=(signal.SIGQUIT,)),
        codes=by_signal(signal.SIGQUIT),
    ),
    Fault(name="SIGTERM to a builder", strike=partial(struck, who=a_builder, sent=(signal.SIGTERM,)), codes=FAILED),
    Fault(name="SIGSTOP of a builder beyond its limit", strike=stopped, codes=FAILED),
    Fault(name="SIGSTOP of the run, then SIGCONT", strike=paused, codes=ends(ExitCode.DONE)),
)
