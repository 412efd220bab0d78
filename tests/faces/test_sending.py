"""The courier: side by side, in order where it matters, in limited time, and without any error."""

from __future__ import annotations

import threading
import time

import pytest

from refresh.faces.sending import Courier


def never() -> bool:
    """No signal arrives."""
    return False


def test_same_name_in_order_others_side_by_side() -> None:
    """A second heartbeat waits for the first one; a message does not."""
    first_may_end, done, said = threading.Event(), list[str](), list[str]()
    courier = Courier(said.append)

    def first() -> None:
        first_may_end.wait(60.0)
        done.append("start")

    def message() -> None:
        done.append("message")
        first_may_end.set()

    courier.send("heartbeat", first)
    courier.send("heartbeat", lambda: done.append("end"))
    courier.send("message", message)
    courier.finish(60.0, never)
    assert (done, said) == (["message", "start", "end"], [])


@pytest.mark.parametrize(("is_interrupted", "why"), [(False, "no end after 1 s"), (True, "stopped by a signal")])
def test_what_does_not_end(*, is_interrupted: bool, why: str) -> None:
    """After the limit in total, or a signal, one line names what is not sent; what ends later says nothing more."""
    may_end, said = threading.Event(), list[str]()
    courier = Courier(said.append)

    def hang() -> str:
        may_end.wait(60.0)
        return "too late"

    for name in ("heartbeat", "heartbeat", "message"):
        courier.send(name, hang)
    started = time.monotonic()
    courier.finish(1.0, lambda: is_interrupted)
    assert time.monotonic() - started < 5.0
    line = f"not sent: heartbeat, message ({why})"
    assert said == [line]
    may_end.set()
    courier.finish(60.0, never)
    assert said == [line]


@pytest.mark.parametrize("error", [UnicodeError, RecursionError, SystemExit, KeyError, AttributeError])
def test_whatever_is_raised(error: type[BaseException]) -> None:
    """An error has a line with its kind and without its words, and does not stop what follows."""
    said, done = list[str](), list[str]()
    courier = Courier(said.append)

    def fail() -> None:
        raise error("https://secret.example/token")

    courier.send("heartbeat", fail)
    courier.send("heartbeat", lambda: done.append("end"))
    courier.finish(60.0, never)
    assert done == ["end"]
    assert said == [f"heartbeat not sent: {error.__name__}"]


def test_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, whoever sends waits, and everything is sent."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    sent, said = list[str](), list[str]()
    courier = Courier(said.append)
    courier.send("first", lambda: sent.append("first"))
    courier.send("second", lambda: "refused")
    courier.finish(1.0, lambda: False)
    assert (sent, said) == (["first"], ["second not sent: refused"])
