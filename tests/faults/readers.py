"""Whoever listens to a refresh: streams that nobody reads, and services that answer as badly as they can."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import evil_services
from bot_api import CHAT, HEARTBEAT, TOKEN
from evil_services import Behaviour
from faults.ground import ALL
from faults.scene import Fault, MissedError, Scene, Struck, ends
from faults.signals import felt

from refresh.errors import ExitCode

PAGE = 4096
INTO_FIFO = ("/bin/sh", "-c", 'exec "$@" >"$FIFO" 2>&1', "sh")
WITHOUT_STREAMS = ("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")


@contextmanager
def fifo(scene: Scene, *, room: int) -> Iterator[tuple[str, int]]:
    """A small pipe with room for some bytes, and our end of it."""
    path = str(scene.setting.folder / "fifo")
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PAGE)
        os.write(end, b"." * (PAGE - room))
        yield path, end
    finally:
        os.close(end)


def unread(scene: Scene) -> Struck:
    """Nobody reads what the run says."""
    with fifo(scene, room=scene.draw.choice([0, 100, 1000])) as (path, _):
        return scene.end(scene.start(*ALL, before=INTO_FIFO, FIFO=path))


def unread_and_ended(scene: Scene) -> Struck:
    """Nobody reads what the run says, and it is told to end."""
    with fifo(scene, room=0) as (path, _):
        program = scene.start(*ALL, before=INTO_FIFO, FIFO=path)
        scene.amid(program)
        program.process.send_signal(signal.SIGTERM)
        return felt(scene.end(program))


def reader_goes(scene: Scene) -> Struck:
    """Whoever reads what the run says goes in the middle of it."""
    path = str(scene.setting.folder / "fifo")
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    program = scene.start(*ALL, before=INTO_FIFO, FIFO=path)
    try:
        scene.amid(program)
    finally:
        os.close(end)
    return felt(scene.end(program))


def without_streams(scene: Scene) -> Struck:
    """Stdin, stdout and stderr are closed from the beginning."""
    return scene.end(scene.start(*ALL, before=WITHOUT_STREAMS))


def settings(address: str) -> dict[str, str]:
    """Telegram, the heartbeat and another channel are all at this address."""
    return {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": CHAT,
        "TELEGRAM_API_URL": address,
        "HEARTBEAT_URL": f"{address}{HEARTBEAT}",
        "ALERT_URLS": address.replace("http://", "json://"),
        "NO_PROXY": "*",
    }


def down(scene: Scene) -> Struck:
    """Nobody listens where alerts and heartbeats go."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        program = scene.start(*ALL, **settings(f"http://127.0.0.1:{unused.getsockname()[1]}"))
        ended = scene.end(program)
    return _heard(ended, "not sent" in program.err + program.out)


def bad(scene: Scene, behaviour: Behaviour, *, is_slow: bool) -> Struck:
    """Services answer badly. A refresh that they might keep waiting is told to end once it has begun."""
    heard: list[float] = []

    def noted(line: socket.socket, closing: object) -> None:
        heard.append(time.monotonic())
        behaviour(line, closing)  # type: ignore[arg-type]  # passed on as it is

    with evil_services.serving(noted) as address:
        program = scene.start(*ALL, **settings(address))
        if is_slow:
            scene.amid(program)
            program.process.send_signal(signal.SIGTERM)
            return _heard(felt(scene.end(program)), bool(heard))
        return _heard(scene.end(program), bool(heard))


def _heard(ended: Struck, is_proved: bool) -> Struck:
    if not is_proved:
        raise MissedError
    return ended


DONE, STOPPED = ends(ExitCode.DONE), ends(ExitCode.TERMINATED)
Way = Callable[[Scene], Struck]
STREAMS = (
    Fault(name="nobody reads stdout and stderr", strike=unread, codes=DONE),
    Fault(name="nobody reads stdout and stderr, and SIGTERM", strike=unread_and_ended, codes=STOPPED),
    Fault(name="the reader of stdout and stderr goes", strike=reader_goes, codes=ends(ExitCode.FAILED)),
    Fault(name="stdin, stdout and stderr are closed", strike=without_streams, codes=DONE),
)
SERVICES = (
    Fault(name="Telegram, heartbeat and Apprise are down", strike=down, codes=DONE),
    *(
        Fault(
            name=f"Telegram, heartbeat and Apprise: {what}",
            strike=partial(bad, behaviour=behaviour, is_slow=is_slow),
            codes=STOPPED if is_slow else DONE,
        )
        for what, behaviour, is_slow in (
            ("no answer, and SIGTERM", evil_services.silent, True),
            ("an answer that drips, and SIGTERM", evil_services.drips_a_header, True),
            ("no HTTP", evil_services.rubbish, False),
        )
    ),
)
