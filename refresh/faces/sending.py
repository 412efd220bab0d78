"""Sending in threads of their own, so that a run never waits for a service, and its end only a limited time.

What is sent, this module does not know. Whatever a service answers or an address raises becomes a line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from refresh.wording import listed

SECONDS_TO_SEND = 60.0
"""The limit of everything that is sent at the end of a run, in total."""
SECONDS_AFTER_A_SIGNAL = 5.0
"""The same for a run that a signal has stopped."""
_SECONDS_BETWEEN_LOOKS = 0.05

Say = Callable[[str], None]
Result = TypeVar("Result")


class Errand(Generic[Result]):
    """Work in a thread of its own, which dies with the process. If the system has none left, it is done at once."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_over = False
        try:
            self._thread.start()
        except RuntimeError:
            self._run()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - the thread's own way to print it could show an address
            self._error = error
        self._is_over = True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the work. Returns whether it has ended."""
        if not self._is_over:
            self._thread.join(seconds)
        return self._is_over

    def result(self) -> Result | None:
        """The result of work that has ended. Raises what the work raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Courier:
    """Sends side by side; what has the same name is sent one after another. ``say`` gets a line per failure."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._errands: list[tuple[str, Errand[None]]] = []
        self._is_over = False

    def send(self, name: str, act: Callable[[], str | None]) -> None:
        """Begin to send. ``act`` returns the problem, if there is one; raising is one too."""
        earlier = [errand for other, errand in self._errands if other == name]

        def work() -> None:
            for errand in earlier:
                errand.wait()
            problem = _problem(act)
            if problem and not self._is_over:
                self._say(f"{name} not sent: {problem}")

        self._errands.append((name, Errand(work)))

    def finish(self, seconds: float, is_interrupted: Callable[[], bool]) -> None:
        """Wait for everything, but not longer than this and not once it is interrupted; say what is not sent."""
        deadline = time.monotonic() + seconds
        while (left := self._unsent()) and time.monotonic() < deadline and not is_interrupted():
            left[0][1].wait(_SECONDS_BETWEEN_LOOKS)
        if not left:
            return
        self._is_over = True
        why = "stopped by a signal" if is_interrupted() else f"no end after {seconds:.0f} s"
        self._say(f"not sent: {listed(dict.fromkeys(name for name, _ in left))} ({why})")

    def _unsent(self) -> list[tuple[str, Errand[None]]]:
        return [(name, errand) for name, errand in self._errands if not errand.wait(0.0)]


def _problem(act: Callable[[], str | None]) -> str | None:
    try:
        return act()
    except BaseException as error:  # noqa: BLE001 - libraries raise anything, and their messages hold addresses
        return type(error).__name__
