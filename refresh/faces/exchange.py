"""One request and its redirections by ``requests``, which another thread can give up at any moment."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from refresh.faces.answer import Answer, presentable

REDIRECTS = 5
LONGEST_ANSWER = 65_536
"""The bytes that are read of an answer."""

logging.getLogger("urllib3").propagate = False  # it logs addresses


class Attempt:
    """One request, which another thread can give up: nothing is sent or received after that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given_up = False
        self._sockets: list[socket.socket] = []

    def exchange(self, method: str, address: str, body: Mapping[str, Any] | None, seconds: float) -> Answer:
        """The answer to a request, which this thread waits for."""
        _current.attempt = self
        try:
            return _exchange(method, address, body, seconds)
        finally:
            self.close()

    def connected(self, connection: socket.socket | None) -> None:
        """Note a connection. Raises ``ConnectionAbortedError`` if it comes too late."""
        with self._lock:
            if self._is_given_up:
                raise ConnectionAbortedError
            if connection is not None:
                self._sockets.append(connection)

    def give_up(self) -> None:
        """Wake and end the thread that waits for the server."""
        with self._lock:
            self._is_given_up = True
            for connection in self._sockets:
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, which the other thread uses
                except OSError:
                    continue

    def close(self) -> None:
        """Close every connection, in the thread that used it: after errors the libraries leave some open."""
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()


_current = threading.local()
"""The attempt of a thread."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _current.attempt.connected(self.sock)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _current.attempt.connected(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Connects so that an attempt can be given up."""

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **keywords: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **keywords)
        _watch(manager)
        return manager


class _OfAddress(AuthBase):
    """The user and the password that an address itself has. Those of ``~/.netrc`` are not for where a service leads."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        user, password = get_auth_from_url(r.url or "")
        return HTTPBasicAuth(user, password)(r) if user or password else r


class _Session(requests.Session):
    """Follows no redirection: it would read the body of one to its end, which may never come."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _OfAddress()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the name is that of requests
        return None


def _watch(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def _exchange(method: str, address: str, body: Mapping[str, Any] | None, seconds: float) -> Answer:
    """Send the request, and follow the redirections of one that has no body."""
    with _Session() as session:
        for _ in range(REDIRECTS + 1):
            with session.request(method, address, json=body, timeout=seconds, stream=True) as reply:
                target = reply.headers.get("Location")
                if body or not (reply.is_redirect and target):
                    return _answer(reply)
            address = requests.compat.urljoin(address, target)
        raise requests.TooManyRedirects


def _answer(reply: requests.Response) -> Answer:
    body = b"" if reply.ok else reply.raw.read(LONGEST_ANSWER, decode_content=True)
    return Answer(status=reply.status_code, reason=presentable(reply.reason), body=body)


def problem(error: Exception, seconds: float) -> str:
    """Why there was no answer, without the address that an error of ``requests`` holds."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {seconds:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
