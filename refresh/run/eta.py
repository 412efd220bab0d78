"""When a run will be through: its steps are played to the end as they would be started, at the pace seen so far."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from refresh.catalog import BuilderConfig
from refresh.run.plan import Plan

ENOUGH = 0.3
"""From this share of a step's assets on, its own pace tells more than its estimate."""


@dataclass(frozen=True, slots=True)
class Running:
    """A step at work: the seconds it has taken so far, and the share of its assets that is done."""

    seconds: float
    done: float


def seconds_left(
    plan: Plan, running: Mapping[BuilderConfig, Running], ended: Mapping[BuilderConfig, float], jobs: int
) -> float:
    """The seconds until the last step ends. ``ended``: the seconds that finished steps took."""
    pace = _pace(plan, ended)
    need = {step.builder: step.estimated_seconds * pace for step in plan.steps}
    clock = 0.0
    order = [step.builder for step in plan.steps]
    at_work = [(_left(need[builder], one), order.index(builder)) for builder, one in running.items()]
    heapq.heapify(at_work)
    through = set(ended)
    waiting = [builder for builder in order if builder not in through and builder not in running]
    while waiting or at_work:
        while len(at_work) < jobs and (builder := _next(plan, waiting, through)):
            waiting.remove(builder)
            heapq.heappush(at_work, (clock + need[builder], order.index(builder)))
        clock, place = heapq.heappop(at_work)
        through.add(order[place])
    return clock


def _pace(plan: Plan, ended: Mapping[BuilderConfig, float]) -> float:
    """How many times the estimate the finished steps took; 1 while nothing is known."""
    told = [step for step in plan.steps if step.estimated_seconds and ended.get(step.builder)]
    estimated = sum(step.estimated_seconds for step in told)
    taken = sum(ended[step.builder] for step in told)
    return taken / estimated if told else 1.0


def _left(need: float, one: Running) -> float:
    if one.done >= ENOUGH:
        return one.seconds * (1 - one.done) / one.done
    return max(need - one.seconds, 0.0)


def _next(plan: Plan, waiting: list[BuilderConfig], through: set[BuilderConfig]) -> BuilderConfig | None:
    """The step that would be started now."""
    for builder in waiting:
        needed = [step.builder for step in plan.steps if builder.reads(step.builder)]
        if all(one in through for one in needed):
            return builder
    return None
