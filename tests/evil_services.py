"""Servers on loopback that accept a connection and then behave as badly as a server can."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

Behaviour = Callable[[socket.socket, threading.Event], None]
_SECONDS_BETWEEN_BYTES = 0.2
_CHUNK = b"x" * 65_536
UNPACKED = 60 << 20


def silent(_: socket.socket, closing: threading.Event) -> None:
    """Never answers."""
    closing.wait()


def _drip(line: socket.socket, closing: threading.Event, start: bytes) -> None:
    line.sendall(start)
    while not closing.wait(_SECONDS_BETWEEN_BYTES):
        line.sendall(b"x")


def drips_a_header(line: socket.socket, closing: threading.Event) -> None:
    """A byte of a header now and then, for ever."""
    _drip(line, closing, b"HTTP/1.1 200 OK\r\nX-Long: ")


def drips_a_body(line: socket.socket, closing: threading.Event) -> None:
    """A failure whose explanation has no end."""
    _drip(line, closing, b"HTTP/1.1 500 No\r\nContent-Length: 999999999\r\n\r\n")


def endless_body(line: socket.socket, closing: threading.Event) -> None:
    """A failure with a body that never ends."""
    line.sendall(b"HTTP/1.1 500 No\r\n\r\n")
    while not closing.is_set():
        line.sendall(_CHUNK)


def endless_redirection(line: socket.socket, closing: threading.Event) -> None:
    """A redirection to itself, with a body that never ends."""
    line.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n")
    while not closing.is_set():
        line.sendall(_CHUNK)


@cache
def packed() -> bytes:
    """A body that unpacks to hundreds of times as much."""
    return gzip.compress(bytes(UNPACKED), compresslevel=1)


def packed_bomb(line: socket.socket, _: threading.Event) -> None:
    """A failure with such an explanation."""
    body = packed()
    line.sendall(b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def continues_for_ever(line: socket.socket, closing: threading.Event) -> None:
    """Says again and again that the client may go on."""
    while not closing.is_set():
        line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def rubbish(line: socket.socket, _: threading.Event) -> None:
    """No HTTP."""
    line.sendall(b"\xff\x00\xfe HTTP/9 \xff\r\n: \r\n\x00" * 100)


def strange_redirection(line: socket.socket, _: threading.Event) -> None:
    """A redirection to an address that is none."""
    line.sendall("HTTP/1.1 302 Found\r\nLocation: http://[::1/\xff\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))


def closes(_: socket.socket, __: threading.Event) -> None:
    """Hangs up at once."""


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        silent, drips_a_header, drips_a_body, endless_body, endless_redirection, packed_bomb, continues_for_ever,
        rubbish, strange_redirection, closes,
    )
}  # fmt: skip


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server with this behaviour, for the length of the block."""
    closing = threading.Event()
    threads: list[threading.Thread] = []

    def answer(line: socket.socket) -> None:
        with line, suppress(OSError):
            line.recv(65_536)
            behaviour(line, closing)

    def accept(listener: socket.socket) -> None:
        while not closing.is_set():
            with suppress(TimeoutError):
                line, _ = listener.accept()
                line.settimeout(1.0)
                threads.append(threading.Thread(target=answer, args=[line]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        acceptor = threading.Thread(target=accept, args=[listener])
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            closing.set()
            for thread in (acceptor, *threads):
                thread.join()
