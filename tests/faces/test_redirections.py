"""Services that send a request elsewhere, or are not who they say they are: what they learn, and what is said."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from bot_api import CHAT, TOKEN

from refresh.faces import telegram, web

pytestmark = pytest.mark.usefixtures("direct")


class _Server(HTTPServer):
    """Gives every request the same answer. ``received``: the path and the headers of each."""

    received: list[tuple[str, Message]]
    status: int
    location: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Note the request and answer."""
        self.server.received.append((self.path, self.headers))
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Set-Cookie", "remembered=yes")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name is that of http.server


@contextmanager
def serving(status: int = 200, location: str = "") -> Iterator[_Server]:
    """A server for the length of the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.received, server.status, server.location = [], status, location
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def with_user(address: str) -> str:
    """The address with a user and a password in it."""
    return address.replace("://", "://me:hush@")


def test_another_server_learns_nothing() -> None:
    """It gets the path that the first one named, and no password, path or cookie of that one."""
    with serving() as other, serving(302, f"{other.url}/elsewhere") as first:
        assert web.request("GET", with_user(f"{first.url}/ping/secret"), "start").status == 200
    ((path, headers),) = first.received
    assert path == "/ping/secret/start"
    assert headers["Authorization"].startswith("Basic ")
    ((path, headers),) = other.received
    assert path == "/elsewhere"
    assert not {"authorization", "cookie", "referer"}.intersection(name.lower() for name in headers)


def test_passwords_for_other_programs_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``~/.netrc`` has for a server is sent neither there nor where a redirection leads."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    with serving() as other, serving(302, f"{other.url}/internal") as first:
        web.request("GET", first.url, "start")
    assert len(first.received + other.received) == 2
    for _, headers in first.received + other.received:
        assert "Authorization" not in headers


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "data:,x"])
def test_only_addresses_of_the_web(target: str) -> None:
    """A redirection to a file, or to a service of another kind, is followed nowhere."""
    with serving(302, target) as server, pytest.raises(web.NoAnswerError, match="InvalidSchema"):
        web.request("GET", server.url, "start")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_message_goes_to_nobody_else(status: int) -> None:
    """A message is not sent where a redirection leads, and is reported as not sent."""
    with serving() as other, serving(status, other.url) as server:
        chat = telegram.Chat(id=CHAT, token=TOKEN, server=server.url)
        problem = telegram.send(chat, "text", is_silent=True)
    assert (len(server.received), other.received) == (1, [])
    assert str(problem).startswith(f"HTTP {status}: ")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine that nobody has signed, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


def test_certificate_of_a_stranger(certificate: tuple[Path, Path]) -> None:
    """Whoever takes the place of a service without its certificate receives nothing of a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        address = server.url.replace("http:", "https:")
        with pytest.raises(web.NoAnswerError, match="no connection"):
            web.request("GET", f"{address}/ping/secret", "start")
    assert server.received == []
