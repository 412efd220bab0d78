"""What several faces are tested with: a bot, an address without a server, a log of everything, the output."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from bot_api import HEARTBEAT, TOKEN, Bot, serving

SECRETS = (TOKEN, TOKEN.split(":")[1], HEARTBEAT, "127.0.0.1")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no proxy, and no long pause between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("refresh.faces.telegram.LONGEST_PAUSE", 0.01)


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


@pytest.fixture
def dead() -> str:
    """An address of loopback where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """The lines about what was not sent. They never contain an address or a token."""
    lines: list[str] = []
    yield lines
    assert not [secret for secret in SECRETS for line in lines if secret in line]


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The log of a program that logs everything."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, listener = logging.getLogger(), Listener(logging.DEBUG)
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(level)
    root.removeHandler(listener)


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours and sizes that the shell of the tests asks for do not count."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """A function that returns the new lines of stdout; nothing may have gone to stderr."""

    def lines() -> list[str]:
        out, err = capsys.readouterr()
        assert err == ""
        return [line.rstrip() for line in out.splitlines()]

    return lines


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time nine hours ahead of UTC, so that the run starts on the second of March."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
