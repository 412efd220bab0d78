"""Request + catalogue + state tables -> the steps of a run, each asset with its reason. A plan is a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from refresh.catalog import BuilderConfig
from refresh.due.decision import Action, Due, Survey
from refresh.options.arguments import builder_arguments
from refresh.options.request import Request
from refresh.records import PastStep
from refresh.run.estimate import seconds_needed


@dataclass(frozen=True, slots=True)
class Task:
    """One asset in one step, why, and about how many rows that is.

    ``days`` of input are read; ``follows``: steps that depend on this one have to follow.
    """

    id: int
    reason: str
    days: int = 0
    rows: int = 0
    follows: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One builder process: what it works on, what it leaves out, the arguments that start it, and what it will take."""

    builder: BuilderConfig
    tasks: tuple[Task, ...]
    skipped: tuple[Task, ...]
    arguments: tuple[str, ...]
    idle_because: str = "up to date"
    estimated_seconds: float = 0.0

    @property
    def ids(self) -> list[int]:
        """The assets that the step works on."""
        return [task.id for task in self.tasks]

    @property
    def idle(self) -> str:
        """Why there is nothing to launch."""
        return "all that is due is skipped" if self.skipped else self.idle_because

    @property
    def estimated_rows(self) -> int:
        """About how many rows the step computes."""
        return sum(task.rows for task in self.tasks)


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

    @property
    def estimated_seconds(self) -> float:
        """What all steps will take, one after another."""
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
        if builder.key in survey.unselected:
            steps.append(Step(builder, (), (), (), idle_because="no timeframe selected"))
            continue
        tasks = _tasks(builder, survey, steps)
        if only is not None:
            tasks = tuple(task for task in tasks if task.id in only.get(builder.key, ()))
        withheld = _withheld(builder, survey, steps, only.get(builder.key, frozenset()) if only is not None else None)
        kept = tuple(task for task in tasks if task.id not in withheld)
        skipped = tuple(Task(id, reason) for id, reason in sorted(withheld.items()))
        step = Step(builder, kept, skipped, _arguments(builder, request, kept, survey.ids))
        seconds = seconds_needed(step.estimated_rows, (past or {}).get(builder.key, ())) if kept else 0.0
        steps.append(replace(step, estimated_seconds=seconds))
    return Plan(tuple(steps), len(survey.ids), survey.notices)


def _arguments(builder: BuilderConfig, request: Request, tasks: Sequence[Task], ids: Sequence[int]) -> tuple[str, ...]:
    asked = None if request.ids is None and len(tasks) == len(ids) else [task.id for task in tasks]
    return tuple(builder_arguments(builder, request, asked))


def _tasks(builder: BuilderConfig, survey: Survey, before: Sequence[Step]) -> tuple[Task, ...]:
    """What is due by itself, and what follows from earlier steps."""
    dues: dict[int, list[Due]] = {}
    for due in survey.dues.get(builder.key, ()):
        dues.setdefault(due.id, []).append(due)
    tasks = {id: _task(id, each) for id, each in dues.items()}
    for step in before:
        if builder.reads(step.builder):
            for task in step.tasks:
                if task.follows:
                    rows = task.days * survey.series.get(builder.key, 1)
                    tasks.setdefault(task.id, Task(task.id, f"follows {step.builder.title}", task.days, rows))
    return tuple(tasks[id] for id in sorted(tasks))


def _task(id: int, dues: Sequence[Due]) -> Task:
    return Task(
        id,
        ", ".join(dict.fromkeys(due.reason for due in dues)),
        max(due.days for due in dues),
        sum(due.days * max(len(due.series), 1) for due in dues),
        follows=not any(due.action is Action.PRUNE for due in dues),
    )


def _withheld(
    builder: BuilderConfig, survey: Survey, before: Sequence[Step], among: frozenset[int] | None
) -> dict[int, str]:
    """The assets whose inputs are not ready and are not made ready by an earlier step, and why."""
    reasons = dict(survey.stale.get(builder.key, {}))
    reasons |= dict.fromkeys(survey.pending.get(builder.key, ()), "bars pending: run the bar builders first")
    return {
        id: reason
        for id, reason in reasons.items()
        if not _feeds(before, builder, id) and (among is None or id in among)
    }


def _feeds(steps: Sequence[Step], builder: BuilderConfig, id: int) -> bool:
    return any(builder.reads(step.builder) and id in step.ids for step in steps)


def without(step: Step, lost: Mapping[int, str], request: Request) -> Step:
    """The step without some of its assets, which it skips for the reason given."""
    broken = {task.id: lost[task.id] for task in step.tasks if task.id in lost}
    if not broken:
        return step
    kept = tuple(task for task in step.tasks if task.id not in broken)
    skipped = tuple(Task(id, reason) for id, reason in sorted(broken.items()))
    arguments = tuple(builder_arguments(step.builder, request, [task.id for task in kept]))
    return replace(step, tasks=kept, skipped=(*step.skipped, *skipped), arguments=arguments)


def lost_inputs(builder: BuilderConfig, unfinished: Mapping[BuilderConfig, set[int]]) -> dict[int, str]:
    """The assets that did not get through a step that the builder reads from, and how to say so."""
    reasons: dict[int, str] = {}
    for cause, ids in unfinished.items():
        if builder.reads(cause):
            reasons |= dict.fromkeys(ids, f"{builder.calls(cause)} failed")
    return reasons
