"""One warm process per run, from which builders are forked: it has imported what each of them would have to import.

It has one thread, no connection, and no descriptor that a builder must not inherit; otherwise it ends, and builders
are started in another way. It ends with the process that started it. What a builder does, it does not know.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import numpy.char
import numpy.ma  # noqa: F401 - like numpy.char, loaded only once it is used

from refresh import forks
from refresh.builder import title
from refresh.builder.__main__ import run
from refresh.forks import Answer, Ended, Order, Refusal
from refresh.stop import SIGNALS

STANDARD = {0, 1, 2}


def main(descriptor: int) -> None:
    """Fork a builder for each order that arrives on a descriptor. Returns in none of them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # it ends with the run, and loses no signal to a new builder
    title.show(sys.orig_argv[:-2])
    gc.freeze()  # what is imported stays: no builder's collector has to look at it, and to copy its pages
    with socket.socket(fileno=descriptor) as line:
        order = _Parent(line).serve() if _may_fork(descriptor) else None
    if order:
        _become_builder(order)
        os._exit(run(sys.argv[1:]))  # without taking apart what was imported


def _may_fork(descriptor: int) -> bool:
    """Whether nothing would be shared, e.g. what a ``sitecustomize`` has begun."""
    threads = list(Path("/proc/self/task").iterdir())
    listed = list(Path("/proc/self/fd").iterdir())  # with the descriptor of the list itself, which is closed now
    descriptors = {int(path.name) for path in listed if path.exists()}
    return len(threads) == 1 and descriptors <= STANDARD | {descriptor}


class _Parent:
    """The parent of the builders: ``ends`` has the descriptor of each that is alive, and its number."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._ends: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(line, select.POLLIN)

    def serve(self) -> Order | None:
        """Fork a child per order, and report its end. Returns the order in the child, ``None`` once nobody listens."""
        with suppress(BrokenPipeError):
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor in self._ends:
                        self._report(descriptor)
                        continue
                    order = forks.receive(self._line)
                    if not isinstance(order, Order):
                        return None
                    if self._fork(order):
                        return order
        return None

    def _report(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        pid, status = os.waitpid(self._ends.pop(descriptor), 0)
        forks.send(self._line, Ended(pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _fork(self, order: Order) -> bool:
        """Fork, and answer in the parent. Returns whether this is the child."""
        try:
            pid = os.fork()
        except OSError as error:
            forks.send(self._line, Refusal(error=str(error)))
            pid = None
        of_others = tuple(self._ends) if pid == 0 else (order.channel, order.output)
        for descriptor in of_others:
            os.close(descriptor)
        if pid:
            self._answer(pid)
        return pid == 0

    def _answer(self, pid: int) -> None:
        os.setpgid(pid, pid)  # before anybody can send a signal to the group
        end = os.pidfd_open(pid)
        self._ends[end] = pid
        self._poll.register(end, select.POLLIN)
        forks.send(self._line, Answer(pid=pid, end=end))


def _become_builder(order: Order) -> None:
    """Take the streams, the group, the name and the arguments of a builder that was started by itself."""
    os.setpgid(0, 0)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(order.output, stream)
    os.close(order.output)
    sys.argv[1:] = [*order.arguments, "--outcomes-fd", str(order.channel)]
    title.show([sys.orig_argv[0], "-m", "refresh.builder", *sys.argv[1:]])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


if __name__ == "__main__":
    main(int(sys.argv[1]))
