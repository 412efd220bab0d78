"""Servers that stop, crash, restart or are not there."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial

from faults.ground import ALL
from faults.scene import Fault, MissedError, Scene, Struck, ends
from faults.signals import felt

from refresh.errors import ExitCode

SECONDS_AWAY = 2.5
"""At most; a refresh retries for longer than that."""
ANY = ends(ExitCode.DONE, ExitCode.FAILED)


def struck(scene: Scene, number: signal.Signals, *, for_good: bool = False) -> Struck:
    """End the server anywhere in the middle of a refresh, and start it again at once, later, or after its end."""
    server = scene.ground.server
    program = scene.start(*ALL, "--retries", "1" if for_good else "4")
    scene.amid(program)
    try:
        server.terminate(number)
        if for_good:
            return felt(scene.end(program))
        time.sleep(scene.draw.uniform(0, SECONDS_AWAY))
    finally:
        server.start()
    return scene.end(program)


def one_crashes(scene: Scene) -> Struck:
    """One process of the server is killed, so that the server ends all sessions and recovers."""
    program = scene.start(*ALL)
    scene.amid(program)
    pids = [*scene.sessions(program, own=True), *scene.sessions(program, own=False)]
    if not pids:
        raise MissedError
    with suppress(ProcessLookupError):
        os.kill(scene.draw.choice(pids), signal.SIGKILL)
    return scene.end(program)


def not_there(scene: Scene) -> Struck:
    """The server is down when the refresh starts."""
    server = scene.ground.server
    server.terminate(signal.SIGINT)
    try:
        return scene.end(scene.start(*ALL, "--retries", str(scene.draw.randint(0, 1))))
    finally:
        server.start()


SERVERS = (
    Fault(name="the server is killed (-9) and started again", strike=partial(struck, number=signal.SIGKILL), codes=ANY),
    Fault(
        name="the server stops at once and is started again", strike=partial(struck, number=signal.SIGQUIT), codes=ANY
    ),
    Fault(name="the server restarts in order", strike=partial(struck, number=signal.SIGINT), codes=ANY),
    Fault(
        name="the server goes and stays away",
        strike=partial(struck, number=signal.SIGQUIT, for_good=True),
        codes=ends(ExitCode.FAILED, ExitCode.CANNOT_START),
    ),
    Fault(name="the server is down at the start", strike=not_there, codes=ends(ExitCode.CANNOT_START)),
    Fault(name="kill -9 of one process of the server", strike=one_crashes, codes=ANY),
)
