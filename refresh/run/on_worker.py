"""One part of a step on the machine of a worker: starts the builder, and sends back what it writes while it works.

This is all that a worker of a cluster runs. Nothing secret comes with a part: the address of the database is read from
the worker's own environment. The builder ends with its worker, because its channel does.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from refresh.installation import VERSION
from refresh.run.process import Process
from refresh.run.warmth import Starter

TOPIC = "daily-refresh"
"""The name under which workers write, and runs read."""
SECONDS_BETWEEN_MESSAGES = 0.1
SECONDS_TO_STOP = 10.0
"""How long a builder whose run is gone may go on with the batch that it is committing."""
LONGEST = 1 << 16
"""The bytes of a message, but for a line that is longer."""

_starters: defaultdict[str, Starter] = defaultdict(Starter)
"""What starts the builders of each database, by the variable that names it: each has a warm process of its own."""
_running: dict[str, Process] = {}
"""The builders of this worker, by the key of their task."""

Send = Callable[[dict[str, Any]], None]


def build(key: str, arguments: Sequence[str], variable: str, version: str) -> None:
    """The task: have one part built. What becomes of it is told in messages, of which the last is how it ended."""
    from distributed import get_worker  # noqa: PLC0415 - only a worker has it

    worker = get_worker()

    def send(message: dict[str, Any]) -> None:
        worker.log_event(TOPIC, {"key": key, **message})

    name = _plain(str(worker.name))
    if version != VERSION:
        told = f"it has daily-refresh {VERSION}, and the run has {version}; install the same version there"
        send({"refused": told, "by": name})
        return
    if not os.environ.get(variable):
        send({"lacks": variable, "by": name})
        return
    arguments = [*arguments, "--worker", name]
    _Part(key, send, lambda: _is_wanted(worker, key), variable).run(name, arguments, _environment(variable))


def send_signal(key: str, number: int) -> None:
    """Send a signal to a builder and all that it has started, if it has not ended yet."""
    process = _running.get(key)
    if process and process.is_running:
        process.send(number)


def _plain(name: str) -> str:
    """The name of a worker as a builder may be given it: one that nobody named is called after its address."""
    return re.sub(r"[^\w.:-]", "_", name.rpartition("://")[2])


def _environment(variable: str) -> Mapping[str, str]:
    """What the builder sees: the worker's variables, but no settings. Those of the run are among its arguments."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFRESH_")}
    settings = {"REFRESH_CONFIG": os.devnull, "REFRESH_DB_VARIABLE": variable}
    return {**kept, **settings, "TARGET_DB_URL": os.environ[variable]}


def _is_wanted(worker: Any, key: str) -> bool:
    """Whether the run still waits for the task: its scheduler cancels what a run that is gone has asked for."""
    task = worker.state.tasks.get(key)
    return worker.status.name in {"running", "paused"} and task is not None and task.state == "executing"


class _Part:
    """A builder, and the messages about it."""

    def __init__(self, key: str, send: Send, is_wanted: Callable[[], bool], variable: str) -> None:
        self._key, self._send, self._is_wanted, self._variable = key, send, is_wanted, variable
        self._selector = selectors.DefaultSelector()
        self._lines = {"outcomes": b"", "output": b""}
        self._flushed = time.monotonic()
        self._stopped_at: float | None = None

    def run(self, worker: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start the builder, and stay until it has ended and everything is told."""
        starter = _starters[self._variable]
        launched = starter.start(environ, arguments)
        _running[self._key] = launched.process
        try:
            self._send({"began": launched.process.pid, "host": socket.gethostname(), "by": worker})
            self._selector.register(launched.channel, selectors.EVENT_READ, "outcomes")
            self._selector.register(launched.output, selectors.EVENT_READ, "output")
            self._follow(launched.process)
        finally:
            _running.pop(self._key, None)
            self._selector.close()
            code = starter.ended(launched)
        if self._stopped_at is None:  # otherwise the run is gone, or this worker is about to be
            self._send({"ended": code})

    def _follow(self, process: Process) -> None:
        while self._selector.get_map() or process.is_running:
            if not self._is_wanted():
                self._stop(process)
            if self._selector.get_map():
                self._receive()
            else:
                time.sleep(SECONDS_BETWEEN_MESSAGES / 10)
            if time.monotonic() - self._flushed > SECONDS_BETWEEN_MESSAGES:
                self._flush()
        if self._lines["output"]:
            self._lines["output"] += b"\n"
        self._flush()

    def _receive(self) -> None:
        for chosen, _ in self._selector.select(SECONDS_BETWEEN_MESSAGES):
            data = os.read(chosen.fd, LONGEST)
            if not data:
                self._selector.unregister(chosen.fileobj)
            self._lines[chosen.data] += data
            if len(self._lines[chosen.data]) > LONGEST:
                self._flush()

    def _flush(self) -> None:
        """Send the lines that are complete; the parts of a step share their streams, and must not mix within a line."""
        self._flushed = time.monotonic()
        complete = {}
        for stream, data in self._lines.items():
            whole, end, self._lines[stream] = data.rpartition(b"\n")
            if end:
                complete[stream] = whole + end
        if complete:
            self._send(complete)

    def _stop(self, process: Process) -> None:
        """Ask the builder to stop, and kill it if it does not."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            with suppress(ProcessLookupError):
                process.send(signal.SIGTERM)
        elif time.monotonic() > self._stopped_at + SECONDS_TO_STOP:
            with suppress(ProcessLookupError):
                process.send(signal.SIGKILL)
