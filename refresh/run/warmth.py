"""Starts the builders of a worker, whose threads share a warm process as long as there is something to start."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from refresh.run.launcher import Launched, Launcher

SECONDS_IDLE = 30.0
"""How long a warm process is kept for the next builder."""


class Starter:
    """Starts builders in one environment, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launcher: Launcher | None = None
        self._environ: Mapping[str, str] = {}
        self._at_work = 0
        self._timer: threading.Timer | None = None

    def start(self, environ: Mapping[str, str], arguments: Sequence[str]) -> Launched:
        """Start a builder; ``ended`` has to be called once it has ended."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            if self._launcher is None or self._environ != environ:
                self._close()
                self._launcher, self._environ = Launcher(environ), dict(environ)
            launched = self._launcher.start(arguments)
            self._at_work += 1
            return launched

    def ended(self, launched: Launched) -> int | None:
        """The exit code of a builder that has ended. Nothing of it is kept."""
        with self._lock:
            code = launched.process.exit_code()
            launched.close()
            self._at_work -= 1
            if not self._at_work:
                self._timer = threading.Timer(SECONDS_IDLE, self._cool)
                self._timer.daemon = True
                self._timer.start()
        return code

    def _cool(self) -> None:
        with self._lock:
            if not self._at_work:
                self._close()

    def _close(self) -> None:
        """End the warm process. Builders that were forked from it go on, and only their exit codes are lost."""
        if self._launcher:
            self._launcher.close()
            self._launcher = None
