"""What a run and the warm process that forks its builders tell each other. How either works, it does not know.

Each message is a packet of JSON on a pair of sockets; descriptors travel with it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

LONGEST = 1 << 20
"""The bytes of a packet. Linux refuses to send one as long as this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Fork a builder with these arguments. Its descriptors are ``channel`` for outcomes, and ``output``."""

    arguments: Sequence[str]
    channel: int
    output: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The number of the process that was forked, and a descriptor that can be read once it has ended."""

    pid: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why nothing was forked."""

    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The exit code of a builder that has ended; negative: the signal that ended it."""

    pid: int
    code: int


Message = Order | Answer | Refusal | Ended
_KINDS: dict[str, Callable[..., Message]] = {kind.__name__: kind for kind in (Order, Answer, Refusal, Ended)}
_DESCRIPTORS = {"Order": ("channel", "output"), "Answer": ("end",)}


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a line for messages."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(line: socket.socket, message: Message) -> None:
    """Send a message with copies of its descriptors. Raises ``OSError`` if the other side is gone."""
    kind, values = type(message).__name__, asdict(message)
    descriptors = [values.pop(name) for name in _DESCRIPTORS.get(kind, ())]
    socket.send_fds(line, [json.dumps([kind, values]).encode()], descriptors)


def receive(line: socket.socket) -> Message | None:
    """Wait for a message; ``None`` once the other side is gone. Its descriptors are ours to close.

    Raises ``OSError`` if there is no room for its descriptors.
    """
    try:
        data, descriptors, flags, _ = socket.recv_fds(line, LONGEST, len(_DESCRIPTORS["Order"]))
    except ConnectionResetError:  # it left without having read everything
        return None
    if not data:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if flags & socket.MSG_CTRUNC:
        for descriptor in descriptors:
            os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    kind, values = json.loads(data)
    values.update(zip(_DESCRIPTORS.get(kind, ()), descriptors, strict=True))
    return _KINDS[kind](**values)
