"""What every builder of a run shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refresh.run.cluster import Cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The run's name and clock, and the environment with its secrets.

    ``end_sessions`` gets the number of a killed process, and of one on another machine the name of that machine; it
    ends what the process left running in the database. ``retries``: how often the work of a worker that is lost is
    tried on another one. ``cluster``: whose workers start the builders; ``None``: this machine does.
    """

    run_id: str
    now: datetime
    environ: Mapping[str, str] = field(repr=False)
    end_sessions: Callable[..., object] = lambda *_: None
    retries: int = 0
    cluster: Cluster | None = None

    @property
    def arguments(self) -> list[str]:
        """The arguments that tie a builder to its run."""
        return ["--run-id", self.run_id, "--now", self.now.isoformat()]
