"""Builders on the workers of a cluster, which look to the run like builders of this machine.

What the run sees of a step are the same two streams and the same signals; behind them the step is cut into parts.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from refresh.errors import CannotStartError
from refresh.run.context import RunContext
from refresh.run.feed import Feed
from refresh.run.jobs import Job
from refresh.run.launcher import Launched
from refresh.run.plan import Step

LOCAL = "local:"
SECONDS_TO_START = 60.0
"""How long workers of this machine may take to start; a part of them is enough then."""
_WAY_OUT = "python -m pip install 'daily-refresh[cluster]'"


class _Remote:
    """The builders of a step as one process."""

    def __init__(self, scheduler: Any, job: Job) -> None:
        self._scheduler, self._job = scheduler, job

    @property
    def pid(self) -> None:
        """Each builder has its own."""

    @property
    def is_running(self) -> bool:
        """Whether there is still something to do, or to tell."""
        return not self._job.feed.is_closed

    def exit_code(self) -> int | None:
        """Nobody knows one: each builder has had its own."""
        return None

    def send(self, number: int) -> None:
        """Send a signal to all builders."""
        with suppress(OSError):
            self._scheduler.call(self._scheduler.handout.stop, self._job, number)

    @property
    def left_behind(self) -> None:
        """What a builder has left was ended when it ended."""

    def close(self) -> None:
        """Nothing is kept."""


class Cluster:
    """Starts the builders of a run on workers. ``slots``: how many of them there are at once."""

    def __init__(self, where: str, environ: Mapping[str, str], variable: str) -> None:
        """``where``: the address of a scheduler, or ``local:N``. ``variable``: names the database on workers.

        Raises ``CannotStartError`` if the package is not installed, or no scheduler answers.
        """
        if find_spec("distributed") is None:
            raise CannotStartError(f"--cluster {where}: the package distributed is not installed: {_WAY_OUT}")
        self._where, self._environ, self._variable = where, environ, variable
        self._scheduler: Any = None
        self._local = int(where.removeprefix(LOCAL)) if where.startswith(LOCAL) else 0
        self.slots = self._local or self._connect()

    def _connect(self) -> int:
        try:
            return int(self._started().ready.result())
        except Exception as error:  # noqa: BLE001 - Dask raises anything
            raise CannotStartError(
                f"--cluster {self._where}: {error}; start a scheduler there with dask scheduler, or correct the address"
            ) from None

    def _started(self) -> Any:
        if self._scheduler is None:
            from refresh.run import local_workers, scheduler  # noqa: PLC0415 - only runs on a cluster need Dask

            if self._local:
                opening = partial(local_workers.opened, number=self._local, environ=self._environ)
                self._scheduler = scheduler.Scheduler(
                    opening, "TARGET_DB_URL", workers=self._local, seconds=SECONDS_TO_START
                )
            else:
                self._scheduler = scheduler.Scheduler(self._address, self._variable)
        return self._scheduler

    async def _address(self, _: object) -> str:
        return self._where

    def prepare(self) -> None:
        """Let workers of this machine start."""
        self._started()

    def launch(self, step: Step, run: RunContext) -> Launched:
        """Hand out a step. Raises ``OSError`` if that is not possible."""
        scheduler = self._started()
        try:
            scheduler.ready.result()
        except Exception as error:
            raise OSError(f"--cluster {self._where}: {error}") from error
        with ExitStack() as opened:
            channel, their_channel = socket.socketpair()
            opened.callback(channel.close)
            opened.callback(their_channel.close)
            output, their_output = os.pipe()
            opened.pop_all()
        feed = Feed([their_channel.fileno(), their_output])
        job = Job(step=step, run=run, channel=their_channel.detach(), output=their_output, feed=feed)
        scheduler.call(scheduler.handout.add, job)
        return Launched(process=_Remote(scheduler, job), channel=channel, output=output)

    def close(self) -> None:
        """Let go of the workers, and end those of this machine."""
        if self._scheduler:
            self._scheduler.close()
