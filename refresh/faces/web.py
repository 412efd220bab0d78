"""Requests to addresses that hold secrets. Neither an error nor a log shows any part of an address."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError

SECONDS_TO_ANSWER = 10.0
_FAILURES = (requests.RequestException, HTTPError, ValueError)  # malformed addresses raise the last two

logging.getLogger("urllib3").propagate = False  # it logs addresses


class NoAnswerError(Exception):
    """There was no answer. The message says why."""


def request(method: str, address: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
    """The answer to a request, whatever its status. ``path`` is appended to the path of the address.

    Raises ``NoAnswerError`` without any cause: errors of ``requests`` hold the address.
    """
    try:
        return requests.request(method, _extended(address, path), json=body, timeout=SECONDS_TO_ANSWER)
    except _FAILURES as error:
        raise NoAnswerError(_problem(error)) from None


def _extended(address: str, path: str) -> str:
    parts = urlsplit(address)
    segments = filter(None, [parts.path.rstrip("/"), path])
    return urlunsplit(parts._replace(path="/".join(segments)))


def _problem(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {SECONDS_TO_ANSWER:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
