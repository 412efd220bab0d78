"""Messages to a chat of Telegram by its Bot API: HTML of a limited length, sent again while the service is busy.

Knows no run and no severity.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

from refresh.faces import web
from refresh.faces.answer import Answer, presentable
from refresh.faces.sending import SECONDS_TO_SEND
from refresh.wording import counted, escaped

SERVER = "https://api.telegram.org"
LONGEST_TEXT = 4096
"""Characters of one message of the Bot API."""
LONGEST_LINE = LONGEST_TEXT // 4
ATTEMPTS = 4
LONGEST_PAUSE = 60.0
_TOO_MANY, _SERVER_ERROR = 429, 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """A chat, and the bot that writes to it."""

    id: str
    token: str = field(repr=False)
    server: str = field(default=SERVER, repr=False)


def message(mark: str, headline: str, lines: Sequence[str]) -> str:
    """A text as HTML: a bold headline after a mark, and the lines that fit."""
    first, *others = (_shortened(html.escape(escaped(line), quote=False)) for line in (headline, *lines))
    return _cut([f"{mark} <b>{first}</b>", *others])


def _shortened(line: str) -> str:
    """A line that would fill the message, cut before an entity and never within."""
    if len(line) <= LONGEST_LINE:
        return line
    start = line[:LONGEST_LINE]
    head, ampersand, entity = start.rpartition("&")
    if ampersand and ";" not in entity:
        start = head
    return f"{start}…"


def _cut(lines: Sequence[str]) -> str:
    """As many whole lines as fit, and the number of all others."""
    whole = "\n".join(lines)
    number = len(lines)
    while len(whole) > LONGEST_TEXT:
        number -= 1
        more = counted(len(lines) - number, "more line")
        whole = "\n".join([*lines[:number], f"… and {more}"])
    return whole


class _BusyError(Exception):
    """The message may be taken later, after ``pause`` seconds if the service names a pause."""

    def __init__(self, problem: str, pause: float | None = None) -> None:
        super().__init__(problem)
        self.pause = pause


def send(chat: Chat, text: str, *, is_silent: bool) -> str | None:
    """Send a message of HTML. Returns the problem that is left after all attempts, if there is one.

    No pause is begun after which ``SECONDS_TO_SEND`` would be over.
    """
    body = {
        "chat_id": chat.id,
        "text": text,
        "parse_mode": "HTML",
        "disable_web_page_preview": True,
        "disable_notification": is_silent,
    }
    is_busy = retry_if_exception_type(_BusyError)
    stop = stop_after_attempt(ATTEMPTS) | stop_before_delay(SECONDS_TO_SEND)
    attempts = Retrying(stop=stop, wait=_pause, retry=is_busy, reraise=True)
    try:
        return attempts(_post, chat, body)
    except _BusyError as error:
        return str(error)


def _pause(state: RetryCallState) -> float:
    """The seconds that the service asks for; without a wish 1, 2 and 4."""
    pause = 2.0 ** (state.attempt_number - 1)
    error = state.outcome and state.outcome.exception()
    if isinstance(error, _BusyError) and error.pause is not None:
        pause = error.pause
    return min(pause, LONGEST_PAUSE)


def _post(chat: Chat, body: Mapping[str, Any]) -> str | None:
    """One attempt. Returns the service's objection, if it has one; raises ``_BusyError``."""
    try:
        reply = web.request("POST", chat.server, f"bot{chat.token}/sendMessage", body)
    except web.NoAnswerError as error:
        raise _BusyError(str(error)) from None
    if reply.ok:
        return None
    problem = f"HTTP {reply.status}"
    if reply.status == _TOO_MANY or reply.status >= _SERVER_ERROR:
        raise _BusyError(problem, _retry_after(reply))
    description = str(reply.document().get("description", reply.reason))
    return f"{problem}: {presentable(description.replace(chat.token, '***'))}"


def _retry_after(reply: Answer) -> float | None:
    parameters = reply.document().get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(seconds, float) and math.isnan(seconds):
        return None
    if not isinstance(seconds, int | float):
        return None
    return min(max(seconds, 0), LONGEST_PAUSE)
