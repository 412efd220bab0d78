"""Messages on their way to Telegram: how a text is cut, what is sent again, and what no error and no log shows."""

from __future__ import annotations

import html
import math
import time

import pytest
from bot_api import CHAT, LONGEST, SILENCE, TOKEN, Bot, Reply, plain, refusal

from refresh.faces.telegram import Chat, message, send

pytestmark = pytest.mark.usefixtures("direct")

WRONG = {
    "wrong text": (refusal(400, "Bad Request: chat not found"), "HTTP 400: Bad Request: chat not found"),
    "wrong token": (refusal(401, "Unauthorized"), "HTTP 401: Unauthorized"),
    "blocked": (
        refusal(403, "Forbidden: bot was blocked by the user"),
        "HTTP 403: Forbidden: bot was blocked by the user",
    ),
    "no JSON": (Reply(status=404, body="<html>nothing here"), "HTTP 404: Not Found"),
    "other JSON": (Reply(status=400, body="[1]"), "HTTP 400: Bad Request"),
}
BUSY = {
    "too many": refusal(429, "Too Many Requests: retry after 0", retry_after=0),
    "too many, for long": refusal(429, "Too Many Requests: retry after 3600", retry_after=3600),
    "too many, no time": Reply(status=429, body="slow down"),
    "strange time": refusal(429, "Too Many Requests", retry_after="soon"),
    "no time": refusal(429, "Too Many Requests", retry_after=math.nan),
    "true": refusal(429, "Too Many Requests", retry_after=True),
    "brackets": Reply(status=429, body="[" * 200_000),
    "server error": refusal(500, "Internal Server Error"),
    "gateway": Reply(status=502, body="<html>Bad Gateway"),
}
LINES = ("failed: ID 52: close < 0",)


def deliver(address: str, headline: str = "Not complete", lines: tuple[str, ...] = LINES) -> str | None:
    """Send a message to an address. Returns the problem, which never contains the token."""
    chat = Chat(id=CHAT, token=TOKEN, server=address)
    problem = send(chat, message("❌", headline, lines), is_silent=False)
    assert TOKEN not in str(problem)
    return problem


# The text


def test_message(bot: Bot) -> None:
    """A message names the chat, is HTML with escaped signs, and shows no preview."""
    lines = ("failed: ID 52: a < b & c > d", "&lt; stays")
    assert deliver(bot.url, 'Not done: <1> & "x"', lines) is None
    assert bot.messages == [
        {
            "chat_id": CHAT,
            "text": '❌ <b>Not done: &lt;1&gt; &amp; "x"</b>\nfailed: ID 52: a &lt; b &amp; c &gt; d\n&amp;lt; stays',
            "parse_mode": "HTML",
            "disable_web_page_preview": True,
            "disable_notification": False,
        }
    ]
    assert bot.texts == ['❌ Not done: <1> & "x"\nfailed: ID 52: a < b & c > d\n&lt; stays']


def test_silent_message(bot: Bot) -> None:
    """A silent message makes no sound."""
    send(Chat(id=CHAT, token=TOKEN, server=bot.url), "x", is_silent=True)
    assert bot.sounds == [False]


def test_cut_between_lines(bot: Bot) -> None:
    """Of too many lines as many as fit are sent whole, and the others are counted."""
    lines = tuple(f"failed: ID {n}: a < b & c > d" for n in range(500))
    assert deliver(bot.url, "Not complete", lines) is None
    (sent,) = bot.messages
    _, *shown, last = bot.texts[0].split("\n")
    assert shown == list(lines[: len(shown)])
    assert last == f"… and {500 - len(shown)} more lines"
    following = html.escape(lines[len(shown)], quote=False)
    assert LONGEST - len(following) - len("\n") - 1 <= len(sent["text"]) <= LONGEST


def test_one_line_too_many() -> None:
    """A text of exactly the greatest length is whole; with one more character its last line is counted."""
    lines = ("a" * 1000, "b" * 1000, "c" * 1000)
    rest = LONGEST - len(message("✅", "x", lines)) - 1
    whole = message("✅", "x", (*lines, "d" * (rest - 100), "e" * 99))
    assert len(whole) == LONGEST
    assert whole.endswith("e")
    cut = message("✅", "x", (*lines, "d" * (rest - 100), "e" * 100))
    assert cut.endswith("d\n… and 1 more line")


def test_one_enormous_line(bot: Bot) -> None:
    """A line that would fill the message is shortened, and the next one is still sent."""
    assert deliver(bot.url, "Not complete", ("x" * 100_000, "recovered: ID 7")) is None
    (received,) = bot.texts
    _, long, last = received.split("\n")
    assert long.rstrip("…") == "x" * (len(long) - 1)
    assert last == "recovered: ID 7"


@pytest.mark.parametrize("before", range(1010, 1030))
@pytest.mark.parametrize("sign", ["&", "<", ">", "x"])
def test_never_cut_within_an_entity(before: int, sign: str) -> None:
    """Wherever a long line is cut, the rest is readable."""
    cut = message("❌", "x", ("y" * before + sign * 100,))
    shown = plain(cut).split("\n")[1]
    assert shown.endswith("…")
    assert ("y" * before + sign * 100).startswith(shown.removesuffix("…"))


@pytest.mark.parametrize("length", range(1005, 1030))
@pytest.mark.parametrize("sign", ["&", "x"])
def test_never_cut_within_a_tag(length: int, sign: str) -> None:
    """Wherever a long headline is cut, it stays bold to its end and readable."""
    headline = sign + "x" * (length - 1)
    bold, other = message("🚨", headline, ("why",)).split("\n")
    assert bold.startswith("🚨 <b>")
    assert bold.endswith("</b>")
    shown = plain(bold).removeprefix("🚨 ")
    assert headline.startswith(shown.removesuffix("…"))
    assert other == "why"


# Attempts


@pytest.mark.parametrize("reply", BUSY.values(), ids=BUSY)
def test_sent_again(bot: Bot, reply: Reply) -> None:
    """A message is sent again to a service that is busy, or broken for a moment."""
    bot.replies += [reply, reply]
    assert deliver(bot.url) is None
    assert (len(bot.tries), len(bot.messages)) == (3, 1)


def test_requested_pause(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause is the one that the reply asks for."""
    monkeypatch.setattr("refresh.faces.telegram.LONGEST_PAUSE", 60.0)
    bot.replies.append(BUSY["too many"])
    bot.replies.append(refusal(429, "Too Many Requests: retry after 3", retry_after=3))
    assert deliver(bot.url) is None
    first, second, third = bot.tries
    assert third - second >= 3.0 > second - first
    assert len(bot.messages) == 1


def test_negative_pause(bot: Bot) -> None:
    """A pause that makes no sense is no pause."""
    bot.replies.append(refusal(429, "Too Many Requests: retry after -1", retry_after=-1))
    assert deliver(bot.url) is None
    assert len(bot.messages) == 1


def test_last_attempt(bot: Bot) -> None:
    """After some attempts the message is given up."""
    bot.replies += [BUSY["server error"]] * 10
    assert deliver(bot.url) == "HTTP 500"
    assert (len(bot.tries), bot.messages) == (4, [])


def test_never_answers(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the message and never answers holds up nobody for ever."""
    monkeypatch.setattr("refresh.faces.web.SECONDS_TO_ANSWER", 0.4)
    bot.replies += [SILENCE] * 10
    assert deliver(bot.url) == "no answer within 0 s"
    assert len(bot.tries) == 4


def test_refused_connection(dead: str) -> None:
    """The problem of a dead server does not contain its address."""
    assert deliver(dead) == "no connection"


@pytest.mark.parametrize(("reply", "problem"), WRONG.values(), ids=WRONG)
def test_not_sent_again(bot: Bot, reply: Reply, problem: str) -> None:
    """A wrong message is sent once, and the problem is in the service's own words."""
    bot.replies.append(reply)
    assert deliver(bot.url) == problem
    assert len(bot.tries) == 1


def test_words_of_a_service(bot: Bot) -> None:
    """Words of a service are shown on one short line, without what would move a cursor and without the token."""
    bot.replies.append(refusal(400, f"\x1b[2J{TOKEN}\u202e\n{'x' * 1000}"))
    assert deliver(bot.url) == f"HTTP 400: {' [2J*** ' + 'x' * 1000:.200}"


# Secrets


@pytest.mark.parametrize("reply", [None, SILENCE, *BUSY.values(), *(reply for reply, _ in WRONG.values())])
def test_no_token_in_a_log(bot: Bot, reply: Reply | None, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    """Whatever the answer is, no log shows the token, not even the most talkative one."""
    monkeypatch.setattr("refresh.faces.web.SECONDS_TO_ANSWER", 0.2 if reply is SILENCE else 10.0)
    bot.replies += [reply] * 4 if reply else []
    deliver(bot.url)
    assert bot.tries
    assert not [line for line in logged if TOKEN in line]


def test_no_token_of_a_dead_server_in_a_log(dead: str, logged: list[str]) -> None:
    """No log shows the token that a dead server would have received."""
    assert deliver(dead) == "no connection"
    assert not [line for line in logged if TOKEN in line]


def test_no_token_in_a_repr() -> None:
    """A chat can be printed without its token and its server, whose address may hold a password."""
    assert repr(Chat(id=CHAT, token=TOKEN, server="http://user:password@proxy")) == f"Chat(id='{CHAT}')"


def test_pause_that_is_too_long(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause after which the time for everything would be over is not begun."""
    monkeypatch.setattr("refresh.faces.telegram.LONGEST_PAUSE", 60.0)
    bot.replies.append(BUSY["too many, for long"])
    started = time.monotonic()
    assert deliver(bot.url) == "HTTP 429"
    assert time.monotonic() - started < 30.0
    assert len(bot.tries) == 1


@pytest.mark.parametrize("pause", [math.inf, 10**400, 1e308])
def test_endless_pause(bot: Bot, monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    """However long the pause is that a service asks for, the message is given up in time and in words."""
    monkeypatch.setattr("refresh.faces.telegram.LONGEST_PAUSE", 60.0)
    bot.replies.append(refusal(429, "Too Many Requests", retry_after=pause))
    assert deliver(bot.url) == "HTTP 429"
    assert len(bot.tries) == 1


def test_refusal_that_repeats_the_address(bot: Bot) -> None:
    """Words of the server are shown on one line, without the token and without codes for a terminal."""
    bot.replies.append(refusal(404, f"no such path\n\x1b[2J/bot{TOKEN}/sendMessage"))
    assert deliver(bot.url) == "HTTP 404: no such path [2J/bot***/sendMessage"
