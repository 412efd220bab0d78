"""Messages between a run and its warm process, over a real pair of sockets."""

from __future__ import annotations

import os
import resource
import sys

import pytest

from refresh import forks
from refresh.forks import Answer, Ended, Order, Refusal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packets are those of Linux")


def test_order_carries_descriptors() -> None:
    """What arrives are copies, that work when the originals are closed; arguments arrive as any bytes they were."""
    reader, writer = os.pipe()
    ours, theirs = forks.pair()
    arguments = ["bars.1d", "--ids", "1,2", "ü", os.fsdecode(b"\xff")]
    with ours, theirs:
        forks.send(ours, Order(arguments=arguments, channel=writer, output=writer))
        os.close(writer)
        order = forks.receive(theirs)
    assert isinstance(order, Order)
    assert order.arguments == arguments
    assert order.channel != order.output
    for descriptor in (order.channel, order.output):
        os.write(descriptor, b".")
        os.close(descriptor)
    assert os.read(reader, 9) == b".."
    os.close(reader)


@pytest.mark.parametrize("message", [Ended(pid=7, code=-9), Refusal(error="no memory")])
def test_messages_arrive_whole_and_in_order(message: forks.Message) -> None:
    """Each is one packet."""
    ours, theirs = forks.pair()
    with ours, theirs:
        for _ in range(3):
            forks.send(theirs, message)
        assert [forks.receive(ours) for _ in range(3)] == [message] * 3


def test_answer_carries_one_descriptor() -> None:
    """It is not inherited by programs that are started."""
    ours, theirs = forks.pair()
    with ours, theirs:
        forks.send(theirs, Answer(pid=os.getpid(), end=theirs.fileno()))
        answer = forks.receive(ours)
    assert isinstance(answer, Answer)
    assert not os.get_inheritable(answer.end)
    os.close(answer.end)


def test_the_other_side_is_gone() -> None:
    """What was sent before is still received; then there is nothing, also if it left without reading everything."""
    ours, theirs = forks.pair()
    with ours:
        forks.send(theirs, Ended(pid=7, code=0))
        forks.send(ours, Refusal(error="never read"))
        theirs.close()
        received = [forks.receive(ours) for _ in range(3)]
        assert received[-1] is None
        with pytest.raises(BrokenPipeError):
            forks.send(ours, Refusal(error="too late"))


def test_no_room_for_descriptors() -> None:
    """Where files are used up, that is an error, and no descriptor is left open."""
    ours, theirs = forks.pair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ours, theirs:
        forks.send(ours, Order(arguments=[], channel=ours.fileno(), output=ours.fileno()))
        last = os.dup(0)  # the one after it fits, a second one does not
        os.close(last)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                forks.receive(theirs)
            assert os.dup(0) == last
        finally:
            os.close(last)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
