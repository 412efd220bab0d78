"""Signals that ask this process to stop, really sent."""

from __future__ import annotations

import os
import signal
from itertools import product

import pytest

from refresh.stop import SIGNALS, Stop, TerminatedError, raising


def handlers() -> list[object]:
    """The current handlers of the signals that stop."""
    return [signal.getsignal(number) for number in SIGNALS]


def test_no_signal() -> None:
    """Without a signal no stop is requested, and the exit code is not that of a stop."""
    stop = Stop()
    with stop.listening():
        assert not stop.requested
        assert not stop.urgent
    assert (stop.signal, stop.exit_code) == (None, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_first_signal(number: int, code: int) -> None:
    """The first signal requests a stop; the exit code is the one that a shell reports."""
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), number)
        assert stop.requested
        assert not stop.urgent
    assert (stop.signal, stop.exit_code) == (number, code)


@pytest.mark.parametrize(("first", "second"), [*product(SIGNALS, SIGNALS)])
def test_second_signal(first: int, second: int) -> None:
    """A second signal of either kind is urgent; the exit code is that of the first."""
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        assert stop.urgent
    assert (stop.signal, stop.exit_code) == (first, 128 + first)


def test_listening_ends() -> None:
    """After the block, even if it failed, the previous handlers are back."""
    previous = handlers()
    stop = Stop()
    with stop.listening():
        assert handlers() != previous
    assert handlers() == previous

    def fail() -> None:
        with stop.listening():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert handlers() == previous


def test_nested_blocks() -> None:
    """The inner block receives the signals that arrive within it, and the outer block the later ones."""
    outer, inner = Stop(), Stop()
    with outer.listening():
        with inner.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert (inner.requested, outer.requested) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (inner.urgent, outer.requested) == (False, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_termination_ends_the_block(number: signal.Signals, code: int) -> None:
    """The signal ends a block without another handler, and is not caught as an ordinary error."""
    previous = handlers()
    seen = []

    def work() -> None:
        with raising():
            try:
                os.kill(os.getpid(), number)
            except Exception:  # noqa: BLE001 - this must not happen
                seen.append("caught")
            seen.append("went on")

    with pytest.raises(TerminatedError, match=f"stopped by {number.name}") as stopped:
        work()
    assert stopped.value.exit_code == code
    assert seen == []
    assert handlers() == previous


def test_stop_within_a_block_that_termination_ends() -> None:
    """A process that stops gracefully is not ended by the same signal."""
    stop = Stop()
    with raising():
        with stop.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested


def test_ignored_hangup_stays_ignored() -> None:
    """What ``nohup`` started goes on when the terminal is closed, and hears the other signals."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Stop()
        with raising(), stop.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.signal, stop.urgent) == (signal.SIGTERM, False)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
