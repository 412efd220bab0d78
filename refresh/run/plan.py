"""Request + catalogue + state tables -> the steps of a run, each asset with its reason. A plan is a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from refresh.catalog import BuilderConfig, Group
from refresh.core.span import Action, Due, Survey
from refresh.options import Request, builder_arguments


@dataclass(frozen=True, slots=True)
class Task:
    """One asset in one step, and why. ``follows``: steps that depend on this one have to follow."""

    id: int
    reason: str
    follows: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One builder process: what it works on, what it leaves out, and the arguments that start it."""

    builder: BuilderConfig
    tasks: tuple[Task, ...]
    skipped: tuple[Task, ...]
    arguments: tuple[str, ...]
    idle_because: str = "up to date"

    @property
    def ids(self) -> list[int]:
        """The assets that the step works on."""
        return [task.id for task in self.tasks]


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps in their order, how many assets the run is about, and what a user should know besides."""

    steps: tuple[Step, ...]
    assets: int
    notices: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not any(step.tasks or step.skipped for step in self.steps)


def make_plan(builders: Sequence[BuilderConfig], request: Request, survey: Survey) -> Plan:
    """The steps of a run. An asset that a step rewrites is due in every step that reads from it."""
    steps: list[Step] = []
    for builder in builders:
        if builder.key in survey.unselected:
            steps.append(Step(builder, (), (), (), idle_because="no timeframe selected"))
            continue
        tasks = _tasks(builder, survey.dues.get(builder.key, ()), steps)
        reached = {task.id for task in tasks}
        waiting = [id for id in survey.pending.get(builder.key, ()) if not _feeds(steps, builder, id)]
        skipped = tuple(Task(id, "bars pending: run the bar builders first") for id in waiting)
        kept = tuple(task for task in tasks if task.id in reached - set(waiting))
        steps.append(_step(builder, kept, skipped, request, survey.ids))
    return Plan(tuple(steps), len(survey.ids), survey.notices)


def _step(
    builder: BuilderConfig, tasks: tuple[Task, ...], skipped: tuple[Task, ...], request: Request, ids: Sequence[int]
) -> Step:
    asked = None if request.ids is None and len(tasks) == len(ids) else [task.id for task in tasks]
    return Step(builder, tasks, skipped, tuple(builder_arguments(builder, request, asked)))


def _tasks(builder: BuilderConfig, dues: Sequence[Due], before: Sequence[Step]) -> tuple[Task, ...]:
    reasons: dict[int, list[str]] = {}
    for due in dues:
        reasons.setdefault(due.id, []).append(due.reason)
    pruned = {due.id for due in dues if due.action is Action.PRUNE}
    for step in before:
        if depends(builder, step.builder):
            for task in step.tasks:
                if task.follows:
                    reasons.setdefault(task.id, [f"follows {step.builder.title}"])
    return tuple(Task(id, ", ".join(dict.fromkeys(reasons[id])), id not in pruned) for id in sorted(reasons))


def _feeds(steps: Sequence[Step], builder: BuilderConfig, id: int) -> bool:
    return any(depends(builder, step.builder) and id in step.ids for step in steps)


def depends(builder: BuilderConfig, other: BuilderConfig) -> bool:
    """Whether a builder reads a table that the other writes."""
    return any(leg.target in builder.inputs for leg in other.legs)


def without(step: Step, failed: Mapping[BuilderConfig, set[int]], request: Request) -> Step:
    """The step without the assets that failed in a step it depends on."""
    broken = {
        task.id: cause
        for cause in failed
        if depends(step.builder, cause)
        for task in step.tasks
        if task.id in failed[cause]
    }
    if not broken:
        return step
    kept = tuple(task for task in step.tasks if task.id not in broken)
    lost = tuple(Task(id, _because(step.builder, cause)) for id, cause in sorted(broken.items()))
    arguments = tuple(builder_arguments(step.builder, request, [task.id for task in kept]))
    return replace(step, tasks=kept, skipped=(*step.skipped, *lost), arguments=arguments)


def _because(builder: BuilderConfig, cause: BuilderConfig) -> str:
    return "bars failed" if builder.group is Group.EMAS else f"{cause.title} failed"
