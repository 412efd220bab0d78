"""The result of a run, as the one value that console, log, JSON, alerts and page all report from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from refresh.catalog import Group
from refresh.due.decision import RETRIED
from refresh.errors import ExitCode
from refresh.records import MISSING_DAYS, REPAIRS, VIOLATIONS, LedgerLine, Outcome, Status
from refresh.run.plan import Plan
from refresh.run.report import RunReport, StepReport
from refresh.validate.finding import Validity

CORRUPT_SHARE = 0.1
"""From this share of the assets on, wrong values are more than a few assets' trouble."""


class Severity(IntEnum):
    """How much a run wants to be noticed."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSummary:
    """One builder: what it wrote, how long it took, and how many assets ended how."""

    builder: str
    title: str
    rows: int
    seconds: float
    counts: Mapping[str, int]
    idle_because: str

    @property
    def assets(self) -> int:
        """How many assets it was about."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """One asset that a builder did not do, and why; ``since``: it has been so in earlier runs already."""

    builder: str
    id: int
    status: Status
    why: str
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run: its name, what it wrote, what it found, what is not done, and what to type next.

    ``remaining_seconds``: what the unfinished work is expected to take. ``recovered``: (builder, asset) pairs that
    failed last time and are done now. ``known_notices``: those of the run before.
    """

    run_id: str
    command: str
    started_at: datetime
    seconds: float
    exit_code: int
    assets: int
    tables: int
    steps: tuple[StepSummary, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    recovered: tuple[tuple[str, int], ...] = ()
    restated: tuple[LedgerLine, ...] = ()
    notices: tuple[str, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    bars: int = 0
    emas: int = 0
    remaining_seconds: float = 0.0
    next_command: str | None = None
    stopped_by: int | None = None
    validity: Validity | None = None
    known_notices: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows written."""
        return self.bars + self.emas

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not any(step.counts for step in self.steps)

    @property
    def repairs(self) -> dict[str, int]:
        """Repaired fields, by kind."""
        return {name: self.notes[name] for name in REPAIRS if name in self.notes}

    @property
    def rejects(self) -> dict[str, int]:
        """Refused source rows, by reason."""
        others = {*REPAIRS, MISSING_DAYS, VIOLATIONS}
        return {name: number for name, number in sorted(self.notes.items()) if name not in others}

    @property
    def missing_days(self) -> int:
        """Days without a bar, between bars that were built."""
        return self.notes.get(MISSING_DAYS, 0)

    @property
    def violations(self) -> int:
        """Assets whose EMAs broke a law that must hold."""
        return self.notes.get(VIOLATIONS, 0)

    @property
    def unfinished_ids(self) -> list[int]:
        """The assets that are not done in every table."""
        return sorted({one.id for one in self.unfinished})

    def of(self, status: Status) -> list[Unfinished]:
        """What ended in one of the ways that are not done."""
        return [one for one in self.unfinished if one.status is status]

    @property
    def severity(self) -> Severity:
        """How much the run wants to be noticed."""
        wrong = {finding.id for finding in self.validity.findings} if self.validity else set()
        if len(wrong) > 1 and len(wrong) >= CORRUPT_SHARE * self.assets:
            return Severity.CRITICAL
        if self.unfinished or wrong:
            return Severity.ERROR
        return Severity.WARNING if self.restated or self.notices or self.rejects else Severity.INFO


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What only the database knows about a run: what was restated, and since when unfinished work has been so.

    ``failing_since``: by builder key and asset, where earlier runs left it as well. ``known_notices``: those of the run
    before.
    """

    restated: tuple[LedgerLine, ...] = ()
    failing_since: Mapping[tuple[str, int], datetime] = field(default_factory=dict)
    known_notices: tuple[str, ...] = ()


def summarise(
    plan: Plan,
    report: RunReport,
    facts: Facts,
    *,
    run_id: str,
    command: str,
    started_at: datetime,
    resume: str,
    validity: Validity | None = None,
) -> Summary:
    """The summary of a run. ``resume`` is the command that resumes what is left.

    Wrong values decide the exit code, whatever else there was.
    """
    unfinished = _unfinished(report, facts)
    is_invalid = validity is not None and bool(validity.findings)
    return Summary(
        run_id=run_id,
        command=command,
        started_at=started_at,
        seconds=report.seconds,
        exit_code=ExitCode.INVALID if is_invalid else report.exit_code,
        assets=report.assets,
        tables=sum(len(step.builder.legs) for step in report.steps),
        steps=tuple(_step(step) for step in report.steps),
        unfinished=unfinished,
        recovered=_recovered(report),
        restated=facts.restated,
        notices=report.notices,
        notes=dict(sorted(report.notes.items())),
        bars=report.rows_of(Group.BARS),
        emas=report.rows_of(Group.EMAS),
        remaining_seconds=_remaining(plan, report),
        next_command=resume if unfinished else None,
        stopped_by=report.stopped_by,
        validity=validity,
        known_notices=facts.known_notices,
    )


def _step(step: StepReport) -> StepSummary:
    counts = Counter(outcome.status.value for outcome in step.outcomes)
    return StepSummary(
        builder=step.builder.key,
        title=step.builder.title,
        rows=step.rows,
        seconds=step.seconds,
        counts=dict(sorted(counts.items())),
        idle_because=step.idle_because,
    )


def _unfinished(report: RunReport, facts: Facts) -> tuple[Unfinished, ...]:
    unfinished: list[Unfinished] = []
    for step in report.steps:
        for outcome in sorted(step.unfinished, key=lambda outcome: outcome.id):
            since = facts.failing_since.get((outcome.builder, outcome.id))
            unfinished.append(
                Unfinished(
                    builder=outcome.builder, id=outcome.id, status=outcome.status, why=_why(outcome), since=since
                )
            )
    return tuple(unfinished)


def _why(outcome: Outcome) -> str:
    if outcome.status is Status.SKIPPED:
        return outcome.reason
    return outcome.error or outcome.reason


def _recovered(report: RunReport) -> tuple[tuple[str, int], ...]:
    recovered: list[tuple[str, int]] = []
    for step in report.steps:
        done = step.of(Status.DONE)
        recovered += [(outcome.builder, outcome.id) for outcome in done if outcome.reason.startswith(RETRIED)]
    return tuple(recovered)


def _remaining(plan: Plan, report: RunReport) -> float:
    """The expected seconds of the share of each step that is not done."""
    left = {step.builder: {outcome.id for outcome in step.unfinished} for step in report.steps}
    return sum(
        step.estimated_seconds * sum(task.id in left.get(step.builder, ()) for task in step.tasks) / len(step.tasks)
        for step in plan.steps
        if step.tasks
    )
