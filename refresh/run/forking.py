"""Builders that are forked from one warm process, which has imported what they need. What that is, is not known here.

If the warm process is killed, its builders go on, and only their exit codes are lost.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from refresh import forks
from refresh.forks import Answer, Ended, Message, Order, Refusal
from refresh.run.process import CannotStartProcessError, Ends, OwnProcess, start_python

SECONDS_TO_ANSWER = 30.0
"""How long the warm process may take to import everything and to fork. It is killed if it takes longer."""
ROOM = 4_000
"""The characters of a builder's arguments that a list of processes can show."""
_WARM = (sys.executable, "-m", "refresh.builder.warm")


class _Forked(OwnProcess):
    """A builder that was forked. Its descriptor can be read once it has ended."""

    def __init__(self, answer: Answer, code: Callable[[int], int | None]) -> None:
        self.pid = answer.pid
        self._end, self._code = answer.end, code
        self._poll = select.poll()
        self._poll.register(answer.end, select.POLLIN)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._poll.poll(0)

    def exit_code(self) -> int | None:
        """What the warm process knows of its end."""
        return self._code(self.pid)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._end)


class _Warm:
    """The warm process at the other end of a line."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._line, theirs = forks.pair()
        self._line.settimeout(SECONDS_TO_ANSWER)
        self._codes: dict[int, int] = {}
        command = [*_WARM, str(theirs.fileno()), " " * ROOM]
        try:
            self._process = start_python(command, environ, theirs.fileno())
        except BaseException:
            self._line.close()
            raise
        finally:
            theirs.close()

    def fork(self, order: Order) -> Answer:
        """Have a builder forked. Raises ``OSError`` if that is not possible."""
        forks.send(self._line, order)
        while (message := self._receive()) is not None:
            if isinstance(message, Refusal):
                raise OSError(message.error)
            if isinstance(message, Answer):
                self._codes.pop(message.pid, None)  # of an earlier process with this number
                return message
        raise BrokenPipeError

    def code(self, pid: int) -> int | None:
        """The exit code of a builder that has ended; ``None`` if this process is gone."""
        while pid not in self._codes:
            if self._receive() is None:
                return None
        return self._codes[pid]

    def _receive(self) -> Message | None:
        """The next message; if it is about an end, that is noted. ``None`` if the process is gone, or has to be."""
        try:
            message = forks.receive(self._line)
        except TimeoutError:
            self._process.kill()
            return None
        if isinstance(message, Ended):
            self._codes[message.pid] = message.code
        return message

    def close(self) -> None:
        """End the process, which has nothing to finish."""
        self._process.kill()
        self._process.wait()
        self._line.close()


class Forks:
    """Builders that are forked. The warm process is started for the first of them, or as soon as that is expected."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._warm: _Warm | None = None

    def prepare(self) -> None:
        """Let the warm process begin to import."""
        with suppress(OSError):
            self._started()

    def start(self, arguments: Sequence[str], ends: Ends) -> OwnProcess:
        """Fork a builder with these arguments; raises ``CannotStartProcessError``."""
        order = Order(arguments=arguments, channel=ends.channel, output=ends.output)
        try:
            warm = self._started()
            answer = warm.fork(order)
        except OSError as error:
            raise CannotStartProcessError from error
        return _Forked(answer, warm.code)

    def _started(self) -> _Warm:
        self._warm = self._warm or _Warm(self._environ)
        return self._warm

    def close(self) -> None:
        """End the warm process."""
        if self._warm:
            self._warm.close()
