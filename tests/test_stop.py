"""Signals that ask this process to stop."""

from __future__ import annotations

import os
import signal
from itertools import product

import pytest

from refresh.stop import SIGNALS, Stop, TerminatedError, raising


def handlers() -> list[object]:
    """What SIGTERM and SIGINT do now."""
    return [signal.getsignal(one) for one in SIGNALS]


def test_nobody_asked() -> None:
    """Without a signal there is no reason to stop."""
    stop = Stop()
    with stop.listening():
        assert not stop()
        assert not stop.urgent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_once(number: int, code: int) -> None:
    """The first signal is a request, and names the exit code as a shell does."""
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), number)
        assert stop()
        assert not stop.urgent
    assert (stop.signal, stop.exit_code) == (number, code)


@pytest.mark.parametrize(("first", "second"), [*product(SIGNALS, SIGNALS)])
def test_asked_twice(first: int, second: int) -> None:
    """The second signal is urgent, whichever it is; the exit code is that of the first."""
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        assert stop.urgent
    assert (stop.signal, stop.exit_code) == (first, 128 + first)


def test_listening_ends() -> None:
    """Behind the block signals do what they did before, however it ended."""
    before = handlers()
    stop = Stop()
    with stop.listening():
        assert handlers() != before
    assert handlers() == before

    def fail() -> None:
        with stop.listening():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert handlers() == before


def test_stopping_in_turn() -> None:
    """A block inside a block hears the signal, and the outer one hears the next."""
    outer, inner = Stop(), Stop()
    with outer.listening():
        with inner.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert (inner(), outer()) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (inner.urgent, outer()) == (False, True)


def test_breaking_off() -> None:
    """SIGTERM breaks off a block that listens to nothing else, past everything that catches ordinary errors."""
    before = handlers()
    seen = []

    def work() -> None:
        with raising():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:  # noqa: BLE001 - what must not happen
                seen.append("caught")
            seen.append("went on")

    with pytest.raises(TerminatedError):
        work()
    assert seen == []
    assert handlers() == before


def test_stop_within_a_block_that_can_be_broken_off() -> None:
    """Whoever stops in order is not broken off."""
    stop = Stop()
    with raising():
        with stop.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
