"""Requests to servers that behave badly: each ends in time, and its error is one of ours."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest
from evil_services import BEHAVIOURS, UNPACKED, Behaviour, packed, serving
from waiting import eventually

from refresh.faces import exchange, web
from refresh.faces.answer import Answer

BODIES = {"GET": None, "POST": {"text": "x"}}
pytestmark = pytest.mark.usefixtures("direct")


def outcome(method: str, address: str) -> tuple[str, Answer | None]:
    """The problem or the answer of a request."""
    try:
        return "", web.request(method, address, "start", BODIES[method])
    except web.NoAnswerError as error:
        return str(error), None


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_limit_of_a_request(behaviour: Behaviour, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server does, there is an answer or an error in time, and no thread goes on."""
    monkeypatch.setattr(web, "SECONDS_TO_ANSWER", 1.0)
    before = threading.active_count()
    with serving(behaviour) as address:
        during = threading.active_count()
        started = time.monotonic()
        problem, answer = outcome(method, address)
        assert answer is None or not answer.ok
        assert answer is None or len(answer.body) <= exchange.LONGEST_ANSWER
        assert "127.0.0.1" not in problem
        assert time.monotonic() - started < 5.0
        assert during > before
    assert eventually(lambda: threading.active_count() <= before)


def test_redirections_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirections are counted, and the body of none is read."""
    monkeypatch.setattr(web, "SECONDS_TO_ANSWER", 30.0)
    with (
        serving(BEHAVIOURS["endless_redirection"]) as address,
        pytest.raises(web.NoAnswerError, match="TooManyRedirects"),
    ):
        web.request("GET", address, "start")


def test_memory_of_a_packed_answer() -> None:
    """Of an answer that unpacks to very much, no more is unpacked than is kept."""
    packed()  # so that the server, which is in this process, unpacks nothing meanwhile
    with serving(BEHAVIOURS["packed_bomb"]) as address:
        tracemalloc.start()
        answer = web.request("GET", address, "start")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (answer.status, len(answer.body)) == (500, exchange.LONGEST_ANSWER)
    assert peak < UNPACKED / 10


def test_given_up_before_it_is_connected() -> None:
    """An attempt that was given up while it looked for the server sends nothing when it finds it."""
    attempt = exchange.Attempt()
    attempt.give_up()
    with pytest.raises(ConnectionAbortedError):
        attempt.connected(None)
