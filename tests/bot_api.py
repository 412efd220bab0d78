"""A server on loopback that answers ``sendMessage`` as Telegram's Bot API does, and receives heartbeats."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"  # noqa: S105 - nobody's
CHAT = "-1001234567890"
HEARTBEAT = "/ping/eb095278-f28d-448d-87fb-7b75c171a6aa"
LONGEST = 4096
PATIENCE = 60.0
_TAG = re.compile(r"<(/?)(b|i|u|s|code|pre)>")
_STRAY = re.compile(r"[<>]|&(?!(?:lt|gt|amp|quot|#\d+);)")

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer to one request; ``is_silent``: no answer until the server closes."""

    status: int
    body: Body | str = ""
    is_silent: bool = False


SILENCE = Reply(status=0, is_silent=True)


def refusal(status: int, description: str, **parameters: Any) -> Reply:
    """An error in the words of the Bot API."""
    body: Body = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return Reply(status=status, body=body)


def plain(text: str) -> str:
    """What a reader sees of a message in HTML. Raises ``ValueError`` if Telegram would refuse it."""
    opened: list[str] = []
    for closing, name in _TAG.findall(text):
        if not closing:
            opened.append(name)
        elif not opened or opened.pop() != name:
            raise ValueError(f"unexpected end tag {name}")
    without = _TAG.sub("", text)
    if opened or _STRAY.search(without):
        raise ValueError("unclosed tag or unescaped sign")
    return html.unescape(without)


@dataclass(kw_only=True, slots=True)
class Bot:
    """What the server received. It gives all ``replies`` before it answers by itself."""

    url: str
    replies: deque[Reply] = field(default_factory=deque)
    tries: list[float] = field(default_factory=list)
    """The time of each attempt to send a message."""
    messages: list[Body] = field(default_factory=list)
    """The messages that it accepted."""
    beats: list[str] = field(default_factory=list)
    """The heartbeats: what is appended to the address, which is nothing for a success."""
    posts: list[Body] = field(default_factory=list)
    """Whatever was posted to another address."""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def environ(self) -> dict[str, str]:
        """Settings that send everything here."""
        return {"HEARTBEAT_URL": f"{self.url}{HEARTBEAT}", **self.telegram}

    @property
    def telegram(self) -> dict[str, str]:
        """Settings that send messages here."""
        return {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT, "TELEGRAM_API_URL": self.url}

    @property
    def texts(self) -> list[str]:
        """The messages as a reader sees them."""
        return [plain(message["text"]) for message in self.messages]

    @property
    def sounds(self) -> list[bool]:
        """Whether each message made a sound."""
        return [not message.get("disable_notification") for message in self.messages]

    def receive(self, path: str, body: Body) -> Reply:
        """Answer a post."""
        if not path.startswith("/bot"):
            self.posts.append(body)
            return self._next_reply() or Reply(status=200)
        self.tries.append(time.monotonic())
        reply = self._next_reply() or _answer(path, body)
        if reply.status == 200:
            self.messages.append(body)
        return reply

    def _next_reply(self) -> Reply | None:
        return self.replies.popleft() if self.replies else None


def _answer(path: str, body: Body) -> Reply:
    """What Telegram would answer to a message."""
    if path != f"/bot{TOKEN}/sendMessage":
        return refusal(401, "Unauthorized")
    if str(body.get("chat_id")) != CHAT:
        return refusal(400, "Bad Request: chat not found")
    try:
        shown = plain(body["text"]) if body.get("parse_mode") == "HTML" else body["text"]
    except ValueError as error:
        return refusal(400, f"Bad Request: can't parse entities: {error}")
    if not shown.strip():
        return refusal(400, "Bad Request: message text is empty")
    if len(shown) > LONGEST:
        return refusal(400, "Bad Request: message is too long")
    message = {"message_id": 1, "chat": {"id": int(CHAT)}, "text": shown}
    return Reply(status=200, body={"ok": True, "result": message})


class _Server(ThreadingHTTPServer):
    bot: Bot

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up needs no answer."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """A message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.server.bot.receive(self.path, json.loads(body)))

    def do_GET(self) -> None:
        """A heartbeat."""
        self.server.bot.beats.append(self.path.removeprefix(HEARTBEAT).lstrip("/"))
        self._answer(Reply(status=200, body="OK"))

    def _answer(self, reply: Reply) -> None:
        if reply.is_silent:
            self.server.bot.closing.wait(PATIENCE)
            return
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        data = text.encode()
        with suppress(OSError):
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Bot]:
    """The server, for the length of the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = False
        server.bot = Bot(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.bot
        finally:
            server.bot.closing.set()
            server.shutdown()
            thread.join(PATIENCE)
