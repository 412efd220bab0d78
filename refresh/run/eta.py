"""When a run will end: plays its steps to the end in the order in which they would start, at the pace seen up to now.

Knows neither clock nor process: the caller passes the progress of the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from refresh.catalog import BuilderConfig
from refresh.run.plan import Plan, first_ready

ENOUGH = 0.3
"""From this share of a step's assets on, its own pace is a better guide than its estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A step at work: the seconds since its start, and the share of its assets that is finished, from 0 to 1."""

    seconds: float
    share: float


def seconds_left(
    plan: Plan, running: Mapping[BuilderConfig, Running], ended: Mapping[BuilderConfig, float], jobs: int
) -> float:
    """The seconds until the last step ends. ``ended``: the seconds that finished steps took."""
    pace = _pace(plan, ended)
    needed = {step.builder: step.estimated_seconds * pace for step in plan.steps}
    ends = {builder: _left(needed[builder], step) for builder, step in running.items()}
    waiting = [step for step in plan.steps if step.builder not in ended and step.builder not in running]
    finished = set(ended)
    clock = 0.0
    while waiting or ends:
        while len(ends) < jobs and (ready := first_ready(plan.steps, waiting, finished)):
            waiting.remove(ready)
            ends[ready.builder] = clock + needed[ready.builder]
        at_work = [step.builder for step in plan.steps if step.builder in ends]
        first = min(at_work, key=ends.__getitem__)
        clock = ends.pop(first)
        finished.add(first)
    return clock


def _pace(plan: Plan, ended: Mapping[BuilderConfig, float]) -> float:
    """How many times their estimate the finished steps took; 1 while there is nothing to compare."""
    estimated = taken = 0.0
    for step in plan.steps:
        seconds = ended.get(step.builder)
        if seconds and step.estimated_seconds:
            estimated += step.estimated_seconds
            taken += seconds
    return taken / estimated if estimated else 1.0


def _left(needed: float, step: Running) -> float:
    if step.share >= ENOUGH:
        return step.seconds * (1 - step.share) / step.share
    return max(needed - step.seconds, 0.0)
