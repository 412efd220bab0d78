"""Request + catalogue + survey -> the steps of a run, each asset with its reason. A plan is a value.

Refuses to know the database, and how a step is started.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from refresh.catalog import BuilderConfig
from refresh.due.decision import Action, Due, Survey
from refresh.options.arguments import builder_arguments, builder_options, id_arguments
from refresh.options.request import Request
from refresh.records import PastStep
from refresh.run.estimate import seconds_needed
from refresh.wording import listed

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One asset in one step and the reason: about ``rows`` rows, computed from ``days`` days of input.

    ``has_followers``: steps that read from this one have to process the asset as well. Otherwise it is removed from all
    tables.
    """

    id: int
    reason: str
    days: int = 0
    rows: int = 0
    has_followers: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One builder: the assets that it processes or skips, its arguments, and the seconds it will take.

    ``options``: the arguments without the assets.
    """

    builder: BuilderConfig
    tasks: tuple[Task, ...] = ()
    skipped: tuple[Task, ...] = ()
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    idle_because: str = "up to date"
    estimated_seconds: float = 0.0

    @property
    def ids(self) -> list[int]:
        """The assets that the step processes."""
        return [task.id for task in self.tasks]

    def arguments_for(self, ids: Sequence[int]) -> list[str]:
        """The arguments of a builder that processes only some of the assets."""
        return [self.builder.key, *id_arguments(ids), *self.options]

    @property
    def idle(self) -> str:
        """Why there is nothing to launch."""
        return "all that is due is skipped" if self.skipped else self.idle_because

    @property
    def estimated_rows(self) -> int:
        """About how many rows the step computes."""
        return sum(task.rows for task in self.tasks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All steps in their order, the number of assets, and notices for the user."""

    steps: tuple[Step, ...]
    assets: int
    notices: tuple[str, ...] = ()

    @property
    def estimated_seconds(self) -> float:
        """The seconds that all steps will take, one after another."""
        return sum(step.estimated_seconds for step in self.steps)


def make_plan(
    builders: Sequence[BuilderConfig],
    request: Request,
    survey: Survey,
    *,
    past: Mapping[str, Sequence[PastStep]] | None = None,
    only: Mapping[str, frozenset[int]] | None = None,
) -> Plan:
    """The steps of a run. An asset that a step rewrites is due in every step that reads from it.

    ``past``: earlier steps by builder key, for estimates. ``only``: the assets by builder key that a resumed run left.
    """
    steps: list[Step] = []
    for builder in builders:
        remaining = None if only is None else only.get(builder.key, frozenset())
        gone = frozenset(task.id for step in steps for task in step.tasks if not task.has_followers)
        inputs = inputs_of(builder, steps)
        step = _step(builder, request, survey, inputs=inputs, remaining=remaining, gone=gone)
        if step.tasks:
            earlier = past.get(builder.key, ()) if past else ()
            step = replace(step, estimated_seconds=seconds_needed(step.estimated_rows, earlier))
        steps.append(step)
    return Plan(steps=tuple(steps), assets=len(survey.ids), notices=survey.notices)


def inputs_of(builder: BuilderConfig, steps: Iterable[Step]) -> list[Step]:
    """The steps that write what a builder reads."""
    return [step for step in steps if builder.reads(step.builder)]


def first_ready(steps: Sequence[Step], waiting: Iterable[Step], finished: Collection[BuilderConfig]) -> Step | None:
    """The first waiting step whose inputs are finished. Inputs outside ``steps`` count as finished."""
    for step in waiting:
        if all(needed.builder in finished for needed in inputs_of(step.builder, steps)):
            return step
    return None


def _step(
    builder: BuilderConfig,
    request: Request,
    survey: Survey,
    *,
    inputs: list[Step],
    remaining: frozenset[int] | None,
    gone: frozenset[int],
) -> Step:
    """The step of a builder, for the ``remaining`` assets only (``None``: all), and not for those that are ``gone``."""
    if builder.key in survey.unselected:
        return Step(builder=builder, idle_because="no timeframe selected")
    withheld = _among(remaining, _withheld(builder, survey, inputs))
    due = _among(remaining, _tasks(builder, survey, inputs))
    ids = [id for id in sorted(due) if id not in withheld and id not in gone]
    is_everything = request.ids is None and len(ids) == len(survey.ids)
    return Step(
        builder=builder,
        tasks=tuple(due[id] for id in ids),
        skipped=_skipped(_among(withheld.keys() - gone, withheld)),
        arguments=tuple(builder_arguments(builder, request, None if is_everything else ids)),
        options=tuple(builder_options(builder, request)),
    )


def _among(ids: Collection[int] | None, by_id: Mapping[int, Value]) -> Mapping[int, Value]:
    """The part that concerns these assets (``None``: all)."""
    if ids is None:
        return by_id
    return {id: value for id, value in by_id.items() if id in ids}


def _tasks(builder: BuilderConfig, survey: Survey, inputs: Sequence[Step]) -> dict[int, Task]:
    """What is due in a builder by itself, and what follows from its inputs."""
    dues: dict[int, list[Due]] = {}
    for due in survey.dues.get(builder.key, ()):
        dues.setdefault(due.id, []).append(due)
    tasks = {id: _task(id, dues_of_asset) for id, dues_of_asset in dues.items()}
    series = survey.series.get(builder.key, 1)
    for step in inputs:
        for task in step.tasks:
            if task.has_followers and task.id not in tasks:
                reason = f"follows {step.builder.title}"
                tasks[task.id] = Task(id=task.id, reason=reason, days=task.days, rows=task.days * series)
    return tasks


def _task(id: int, dues: Sequence[Due]) -> Task:
    reasons = dict.fromkeys(due.reason for due in dues)
    return Task(
        id=id,
        reason=listed(reasons),
        days=max(due.days for due in dues),
        rows=sum(due.days * max(len(due.series), 1) for due in dues),
        has_followers=all(due.action is not Action.PRUNE for due in dues),
    )


def _withheld(builder: BuilderConfig, survey: Survey, inputs: Sequence[Step]) -> dict[int, str]:
    """The assets whose inputs are not ready, and will not be made ready by an earlier step, with the reason."""
    reasons = dict(survey.stale.get(builder.key, {}))
    for id in survey.pending.get(builder.key, ()):
        reasons[id] = "bars pending: run the bar builders first"
    for step in inputs:
        for id in step.ids:
            reasons.pop(id, None)
    return reasons


def _skipped(reasons: Mapping[int, str]) -> tuple[Task, ...]:
    return tuple(Task(id=id, reason=reason) for id, reason in sorted(reasons.items()))


def without(step: Step, lost: Mapping[int, str], request: Request) -> Step:
    """The step without the assets that are lost, which it skips for the reason given."""
    skipped = _skipped(_among(set(step.ids), lost))
    if not skipped:
        return step
    tasks = tuple(task for task in step.tasks if task.id not in lost)
    arguments = builder_arguments(step.builder, request, [task.id for task in tasks])
    return replace(step, tasks=tasks, skipped=(*step.skipped, *skipped), arguments=tuple(arguments))


def lost_inputs(builder: BuilderConfig, unfinished: Mapping[BuilderConfig, Collection[int]]) -> dict[int, str]:
    """The assets that another builder, whose table this one reads, did not finish, with the reason in words."""
    reasons: dict[int, str] = {}
    for other, ids in unfinished.items():
        if builder.reads(other):
            reasons |= dict.fromkeys(ids, f"{builder.calls(other)} failed")
    return reasons
