"""Requests to addresses that hold secrets. Neither an error nor a log shows any part of an address.

A request ends in time whatever the server does, and little of its answer is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from refresh.faces.answer import Answer
from refresh.faces.sending import Errand

SECONDS_TO_ANSWER = 10.0
"""The limit of a request in total, redirections included."""


class NoAnswerError(Exception):
    """There was no answer. The message says why."""


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
