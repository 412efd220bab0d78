"""The workers of a cluster: which there are, how many builders each may have, and which of them are of no use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

SECONDS_WITHOUT_WORKER = 10.0
"""How long parts wait for a worker to come, or to come back, once there is none."""


class Staff:
    """The workers by their address. ``lost``: what happened to the last one that went, in words."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.lost = ""
        self._useless: dict[str, str] = {}
        self._empty_since = time.monotonic()

    def update(self, slots: Mapping[str, int]) -> None:
        """There are these workers now."""
        if self.slots and not slots:
            self._empty_since = time.monotonic()
        self.slots = dict(slots)

    def remove(self, worker: str) -> None:
        """A worker is gone."""
        self.update({other: slots for other, slots in self.slots.items() if other != worker})

    def give_up(self, reason: str) -> None:
        """No worker will come any more."""
        self.slots, self.lost = {}, reason
        self._empty_since = time.monotonic() - SECONDS_WITHOUT_WORKER

    def refuse(self, worker: str, reason: str) -> None:
        """A worker can do nothing for this run; the reason names it."""
        self._useless[worker] = reason

    def forgive(self) -> None:
        """If every worker was of no use, the reason may have been what they all need: each gets another chance."""
        if not self.useful:
            self._useless.clear()

    def free(self, busy: Sequence[str]) -> str | None:
        """The worker with the most free slots, if any has one. ``busy``: the worker of each builder."""
        useful = self.useful
        best = max(useful, key=lambda worker: useful[worker] - busy.count(worker), default=None)
        return best if best is not None and useful[best] > busy.count(best) else None

    @property
    def useful(self) -> dict[str, int]:
        """The slots of the workers that can do something for this run, as far as is known."""
        return {worker: slots for worker, slots in self.slots.items() if worker not in self._useless}

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker is left that could do anything, and none has come for a while."""
        if self.slots:
            return not self.useful
        return time.monotonic() >= self._empty_since + SECONDS_WITHOUT_WORKER

    @property
    def despair(self) -> str:
        """Why that is so, in words."""
        reasons = [self._useless[worker] for worker in self.slots if worker in self._useless]
        reason = reasons[0] if reasons else self.lost
        return f"no worker is left: {reason}" if reason else "no worker is left"
