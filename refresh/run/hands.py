"""What moves parts between a run and the workers of a cluster, whatever the cluster is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Hands(Protocol):
    """What moves the parts. None of this waits."""

    def submit(self, key: str, worker: str, arguments: Sequence[str]) -> None:
        """Let a worker start a builder."""

    def forget(self, key: str) -> None:
        """Want nothing more of it; if it is still at work, it is stopped."""

    def send(self, key: str, worker: str, number: int) -> None:
        """Send a signal to a builder."""

    def aside(self, work: Callable[[], object], then: Callable[[], None]) -> None:
        """Do something that may take a while, then something else."""
