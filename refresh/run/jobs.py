"""What is handed out: a step as a job, a part of it, and an attempt of some worker at that part."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from refresh.run.context import RunContext
from refresh.run.feed import Feed
from refresh.run.plan import Step, Task
from refresh.run.unreached import unreached


@dataclass(kw_only=True, slots=True, eq=False)
class Part:
    """Assets of a step that have no outcome yet, and how often their worker was lost."""

    tasks: dict[int, Task]
    losses: int = 0

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Self:
        """A part that has been handed to nobody."""
        return cls(tasks={task.id: task for task in tasks})


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """A step that is handed out. ``channel`` and ``output``: where what builders write goes, by way of the feed."""

    step: Step
    run: RunContext
    channel: int
    output: int
    feed: Feed
    waiting: list[Part] = field(default_factory=list)
    held: int = 0
    is_cut: bool = False
    is_stopping: bool = False
    killed_at: float | None = None

    def is_overdue(self, seconds: float) -> bool:
        """Whether it should have ended, because it was killed so long ago."""
        return self.killed_at is not None and time.monotonic() > self.killed_at + seconds

    def unreached(self, part: Part, reason: str) -> None:
        """Report what is left of a part. Once the step is stopped, whoever stopped it says why."""
        if not self.is_stopping:
            outcomes = unreached(self.step, part.tasks.values(), reason)
            self.feed.put(self.channel, "".join(f"{outcome.line()}\n" for outcome in outcomes).encode())


@dataclass(kw_only=True, slots=True, eq=False)
class Attempt:
    """A part in the hands of a worker. ``pid`` and ``host`` are known once its builder has begun."""

    job: Job
    part: Part
    worker: str
    name: str = ""
    pid: int | None = None
    host: str = ""
    last_line: str = ""

    @property
    def place(self) -> str:
        """The worker, in words."""
        return f"worker {self.name} at {self.worker}" if self.name else f"worker {self.worker}"
