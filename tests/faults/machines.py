"""What the machine gives: memory, processes, files, and the time of day."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from faults.ground import ALL
from faults.scene import Fault, MissedError, Scene, Struck, ends
from faults.signals import felt
from other_users import IS_ROOT

from refresh.errors import ExitCode

MEGABYTE = 1 << 20
DAYS = ("+1d", "-1d")


def library() -> str:
    """What lets a program that loads it believe in another time. The package would import more than that."""
    package = find_spec("libfaketime")
    assert package
    assert package.origin
    return str(next(Path(package.origin).parent.rglob("libfaketime.so.1")))


ORDINARY = "123457"
"""A user of whom the kernel counts processes: root's are not limited."""
AS_ORDINARY = (
    "setpriv", f"--reuid={ORDINARY}", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override",
)  # fmt: skip
"""Become that user, who may read a checkout in root's home."""


def short(scene: Scene, option: str, least: int, most: int, *, before: Sequence[str] = ()) -> Struck:
    """A refresh gets less of something than it needs."""
    limit = f"--{option}={scene.draw.randint(least, most)}"
    return felt(scene.end(scene.start(*ALL, "--retries", "0", before=(*before, "prlimit", limit))))


def starved(scene: Scene) -> Struck:
    """A builder at work gets no more memory than it has."""
    program = scene.start(*ALL, "--retries", "0")
    scene.amid(program)
    builders = scene.builders()
    if not builders:
        raise MissedError
    pid = scene.draw.choice(builders)
    with suppress(ProcessLookupError, FileNotFoundError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        bytes_now = pages * resource.getpagesize() + scene.draw.randint(0, MEGABYTE // 4)
        resource.prlimit(pid, resource.RLIMIT_AS, (bytes_now, bytes_now))
    return felt(scene.end(program))


def refreshs_clock(scene: Scene) -> Struck:
    """The refresh's clock is wrong."""
    day = scene.draw.choice(DAYS)
    return scene.end(scene.start(*ALL, LD_PRELOAD=library(), FAKETIME=day, FAKETIME_DONT_FAKE_MONOTONIC="1"))


@contextmanager
def with_clock(scene: Scene, day: str) -> Iterator[None]:
    """The clock of the server is wrong for the length of the block."""
    preload = "SERVER_PRELOAD" if IS_ROOT else "LD_PRELOAD"
    settings = {preload: library(), "FAKETIME": day, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = scene.ground.server
    server.terminate()
    try:
        with patch.dict(os.environ, settings):
            server.start()
        yield
    finally:
        server.terminate()
        server.start()


def servers_clock(scene: Scene) -> Struck:
    """The server's clock is wrong."""
    with with_clock(scene, scene.draw.choice(DAYS)):
        return scene.end(scene.start(*ALL))


FAILS = ends(ExitCode.FAILED, ExitCode.CANNOT_START)
QUIET = ends(ExitCode.DONE)
MACHINES = (
    Fault(
        name="too little memory to start",
        strike=partial(short, option="as", least=100 * MEGABYTE, most=255 * MEGABYTE),
        codes=ends(ExitCode.CANNOT_START),
    ),
    Fault(name="a builder gets no more memory", strike=starved, codes=ends(ExitCode.FAILED)),
    Fault(name="too few open files", strike=partial(short, option="nofile", least=8, most=18), codes=FAILS),
    Fault(
        name="too few processes",
        strike=partial(short, option="nproc", least=1, most=4, before=AS_ORDINARY),
        codes=FAILS,
        as_root=True,
    ),
    Fault(name="the refresh's clock is a day wrong", strike=refreshs_clock, codes=QUIET),
    Fault(name="the server's clock is a day wrong", strike=servers_clock, codes=QUIET),
)
