"""The result of a run, as the one value that console, log, JSON, alerts and page all report from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from refresh.due.decision import RETRIED
from refresh.records import MISSING_DAYS, REPAIRS, VIOLATIONS, LedgerLine, Status
from refresh.run.plan import Plan
from refresh.run.report import RunReport, StepReport
from refresh.validate.finding import Validity

CORRUPT_SHARE = 0.1
"""If at least this share of the assets has wrong values, the database counts as corrupt."""


class Severity(IntEnum):
    """How urgently a person should look at a run."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSummary:
    """One builder: the rows it wrote, the seconds it took, and the number of its assets by how they ended."""

    builder: str
    title: str
    rows: int
    seconds: float
    counts: Mapping[str, int]
    idle_because: str

    @property
    def assets(self) -> int:
        """The number of its assets."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """One asset that a builder did not finish, and why. ``since``: when earlier runs first left it unfinished."""

    builder: str
    id: int
    status: Status
    why: str
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run: its name, what it wrote and noticed, what is not done, and what to type next.

    ``remaining_seconds``: the estimate for the unfinished work. ``recovered``: (builder, asset) pairs that failed last
    time and are done now. ``known_notices``: those of the run before.
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
        """The number of rows written."""
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
        return {name: count for name, count in sorted(self.notes.items()) if name not in others}

    @property
    def missing_days(self) -> int:
        """The number of days without a bar, between bars that were built."""
        return self.notes.get(MISSING_DAYS, 0)

    @property
    def violations(self) -> int:
        """The number of assets with EMAs that broke a law that must hold."""
        return self.notes.get(VIOLATIONS, 0)

    @property
    def unfinished_ids(self) -> list[int]:
        """The assets that are not done in every table."""
        return sorted({asset.id for asset in self.unfinished})

    def of(self, status: Status) -> list[Unfinished]:
        """The unfinished assets with this status."""
        return [asset for asset in self.unfinished if asset.status is status]

    @property
    def severity(self) -> Severity:
        """How urgently a person should look at this run."""
        wrong = {finding.id for finding in self.validity.findings} if self.validity else set()
        if len(wrong) > 1 and len(wrong) >= CORRUPT_SHARE * self.assets:
            return Severity.CRITICAL
        is_void = self.validity is not None and self.validity.is_void
        if self.unfinished or wrong or is_void:
            return Severity.ERROR
        if self.restated or self.notices or self.rejects:
            return Severity.WARNING
        return Severity.INFO


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What only the database knows about a run: what was restated, and since when unfinished assets have failed.

    ``failing_since``: by builder key and asset, for assets that earlier runs left as well. ``known_notices``: those of
    the run before.
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
    """The summary of a run. ``resume``: the command that resumes it. Wrong values decide the exit code."""
    unfinished = _unfinished(report, facts)
    summary = Summary(
        run_id=run_id,
        command=command,
        started_at=started_at,
        seconds=report.seconds,
        exit_code=validity.exit_code_after(report.exit_code) if validity else report.exit_code,
        assets=report.assets,
        tables=sum(len(step.builder.legs) for step in report.steps),
        unfinished=unfinished,
        restated=facts.restated,
        notices=report.notices,
        next_command=resume if unfinished else None,
        stopped_by=report.stopped_by,
        validity=validity,
        known_notices=facts.known_notices,
    )
    return _with_work(summary, plan, report)


def _with_work(summary: Summary, plan: Plan, report: RunReport) -> Summary:
    """The summary with what the builders did, and what they still have to do."""
    rows = report.rows_by_group
    return replace(
        summary,
        steps=tuple(_step(step) for step in report.steps),
        recovered=_recovered(report),
        notes=dict(sorted(report.notes.items())),
        bars=rows["bars"],
        emas=rows["emas"],
        remaining_seconds=_remaining_seconds(plan, report),
    )


def _step(report: StepReport) -> StepSummary:
    counts = Counter(outcome.status.value for outcome in report.outcomes)
    return StepSummary(
        builder=report.builder.key,
        title=report.builder.title,
        rows=report.rows,
        seconds=report.seconds,
        counts=dict(sorted(counts.items())),
        idle_because=report.idle_because,
    )


def _unfinished(report: RunReport, facts: Facts) -> tuple[Unfinished, ...]:
    unfinished: list[Unfinished] = []
    for step in report.steps:
        for outcome in sorted(step.unfinished, key=lambda outcome: outcome.id):
            asset = Unfinished(
                builder=outcome.builder,
                id=outcome.id,
                status=outcome.status,
                why=outcome.error or outcome.reason,
                since=facts.failing_since.get((outcome.builder, outcome.id)),
            )
            unfinished.append(asset)
    return tuple(unfinished)


def _recovered(report: RunReport) -> tuple[tuple[str, int], ...]:
    recovered: list[tuple[str, int]] = []
    for step in report.steps:
        done = step.of(Status.DONE)
        recovered += [(outcome.builder, outcome.id) for outcome in done if outcome.reason.startswith(RETRIED)]
    return tuple(recovered)


def _remaining_seconds(plan: Plan, report: RunReport) -> float:
    """The estimates of all steps, each in proportion to the assets that are not done."""
    unfinished = {step.builder: step.unfinished_ids for step in report.steps}
    seconds = 0.0
    for step in plan.steps:
        remaining = unfinished.get(step.builder, set()).intersection(step.ids)
        if remaining:
            seconds += step.estimated_seconds * len(remaining) / len(step.tasks)
    return seconds
