"""Requests to addresses that hold secrets. Neither an error nor a log shows any part of an address.

A request ends in time whatever the server does, and little of its answer is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from refresh.faces.sending import Errand
from refresh.wording import UNSEEN

SECONDS_TO_ANSWER = 10.0
"""The limit of a request in total, redirections included."""
_LONGEST_REASON = 200
_FIRST_ERROR = 400


class NoAnswerError(Exception):
    """There was no answer. The message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The status of an answer, the server's words for it, and the beginning of a body that explains a failure."""

    status: int
    reason: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status < _FIRST_ERROR

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


def presentable(text: object) -> str:
    """Words of a server on one short line, without anything that would move a terminal's cursor."""
    return re.sub(f"{UNSEEN.pattern}+", " ", str(text))[:_LONGEST_REASON]


def request(method: str, address: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
    """The answer to a request, whatever its status. ``path`` is appended to the path of the address.

    Raises ``NoAnswerError`` without any cause: errors of ``requests`` hold the address.
    """
    from refresh.faces.exchange import Attempt, problem  # noqa: PLC0415 - slow to import, for runs that send something

    attempt, seconds = Attempt(), SECONDS_TO_ANSWER
    errand = Errand(lambda: attempt.exchange(method, _extended(address, path), body, seconds))
    if not errand.wait(seconds):
        attempt.give_up()
        raise NoAnswerError(f"no answer within {seconds:.0f} s")
    try:
        answer = errand.result()
    except Exception as error:  # noqa: BLE001 - malformed addresses and answers raise anything
        raise NoAnswerError(problem(error, seconds)) from None
    if answer is None:
        raise NoAnswerError("no answer")
    return answer


def _extended(address: str, path: str) -> str:
    parts = urlsplit(address)
    segments = filter(None, [parts.path.rstrip("/"), path])
    return urlunsplit(parts._replace(path="/".join(segments)))
