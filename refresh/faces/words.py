"""The words in which every face tells of a run: one sentence for one fact, with the same numbers everywhere."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from refresh.catalog import by_key
from refresh.records import LedgerLine, Outcome, Status
from refresh.run.summary import StepSummary, Summary, Unfinished
from refresh.validate.finding import Validity
from refresh.wording import counted

SHOWN_ASSETS = 12
SHOWN_FINDINGS = 20


def ids(numbers: Sequence[int]) -> str:
    """The first of some ids, and how many more there are."""
    shown = ", ".join(map(str, numbers[:SHOWN_ASSETS]))
    return shown if len(numbers) <= SHOWN_ASSETS else f"{shown} and {len(numbers) - SHOWN_ASSETS:,} more"


def spoken(seconds: float) -> str:
    """A length of time as one says it, e.g. ``40 s``, ``8 minutes``, ``2.5 hours``."""
    for unit, length in (("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 1.5 * length:
            number = (
                f"{seconds / length:.1f}" if seconds < 10 * length and unit == "hour" else f"{seconds / length:.0f}"
            )
            return f"{number} {unit}s"
    return f"{max(seconds, 1):.0f} s"


def expected(rows: int, seconds: float) -> str:
    """What is expected, no more exact than it can be known."""
    return f"about {counted(int(float(f'{rows:.2g}')), 'row')} in {spoken(seconds)}"


def done(outcome: Outcome) -> str:
    """An asset that is done, e.g. ``Processing ID 1... 245 bars written (3.2s) [bars.1d]``."""
    rows = counted(outcome.rows, by_key(outcome.builder).group.noun)
    return f"Processing ID {outcome.id}... {rows} written ({outcome.seconds:.1f}s) [{outcome.builder}]"


def skipped(outcome: Outcome) -> str:
    """An asset that is left out, e.g. ``Skipping ID 825 EMAs (bars failed) [emas.cal]``."""
    group, name = outcome.builder.split(".")
    what = f"EMAs ({outcome.reason}) [{outcome.builder}]" if group == "emas" else f"{name} bars ({outcome.reason})"
    return f"Skipping ID {outcome.id} {what}"


def failed(outcome: Outcome) -> str:
    """An asset that failed."""
    return f"ID {outcome.id} {outcome.builder}: failed: {outcome.error}"


def result(step: StepSummary) -> str:
    """How the assets of a step ended."""
    if not step.counts:
        return step.idle_because
    return ", ".join(f"{number:,} {status}" for status, number in step.counts.items())


def details(summary: Summary) -> list[str]:
    """What a run found and what it left, a line each."""
    return [*_found(summary), *_not_done(summary), *_changes(summary), *summary.notices, *_validity(summary)]


def _found(summary: Summary) -> Iterator[str]:
    if not summary.idle:
        yield f"written: {counted(summary.bars, 'bar')}, {counted(summary.emas, 'EMA')}"
    if summary.missing_days:
        yield f"gaps: {counted(summary.missing_days, 'day')} without a bar"
    for what, numbers in (("repaired in the source", summary.repairs), ("refused from the source", summary.rejects)):
        if numbers:
            yield f"{what}: " + ", ".join(f"{name.removeprefix('repaired_')} {n:,}" for name, n in numbers.items())
    if summary.violations:
        yield f"EMA violations: {counted(summary.violations, 'asset')}"


def _not_done(summary: Summary) -> Iterator[str]:
    """Assets by builder and reason, failures first."""
    for status in (Status.FAILED, Status.NOT_REACHED, Status.SKIPPED):
        groups: dict[tuple[str, str, str], list[int]] = {}
        for one in summary.of(status):
            groups.setdefault((one.builder, one.why, still(one)), []).append(one.id)
        for (builder, why, since), assets in groups.items():
            yield f"{status.value}: {builder}, ID {ids(assets)}: {why}{since}"


def still(one: Unfinished) -> str:
    """Since when it has been so, where that is longer than this run."""
    return f" (still, since {one.since:%Y-%m-%d})" if one.since else ""


def _changes(summary: Summary) -> Iterator[str]:
    for restated in summary.restated:
        yield f"restated: {restatement(restated)}"
    groups: dict[str, list[int]] = {}
    for builder, id in summary.recovered:
        groups.setdefault(builder, []).append(id)
    for builder, assets in groups.items():
        yield f"recovered: {builder}, ID {ids(assets)}"


def restatement(one: LedgerLine) -> str:
    """One line of the ledger."""
    days = f"{one.first_day}" if one.first_day == one.last_day else f"{one.first_day} to {one.last_day}"
    return f"ID {one.id}, {days}, {counted(one.rows, 'row')}: {one.reason}"


def _validity(summary: Summary) -> Iterator[str]:
    if not summary.validity:
        return
    yield from findings(summary.validity, SHOWN_FINDINGS)
    if summary.validity.pending:
        yield f"not judged, as they are not up to date: ID {ids(summary.validity.pending)}"
    anew = summary.validity.recomputed
    judged = f"{summary.validity.judged:,} of {counted(summary.assets, 'asset')}"
    yield (
        f"validated: {judged} in {counted(summary.tables, 'table')}, {len(anew):,} computed anew"
        f"{f' (ID {ids(anew)})' if anew else ''}, in {summary.validity.seconds:.1f}s"
    )


def findings(validity: Validity, shown: int) -> list[str]:
    """The first findings, and how many more there are."""
    lines = [f"wrong: {finding.words}" for finding in validity.findings[:shown]]
    more = len(validity.findings) - shown
    return [*lines, f"wrong: {counted(more, 'finding')} more"] if more > 0 else lines


def verdict(summary: Summary) -> str:
    """How it ended, and what to type next."""
    if summary.validity and summary.validity.findings:
        wrong = summary.validity.findings
        tables = len({finding.table for finding in wrong})
        assets = sorted({finding.id for finding in wrong})
        return (
            f"Validation failed: {counted(len(wrong), 'finding')} in {counted(tables, 'table')}, ID {ids(assets)}. "
            f"Rebuild what is wrong with --full-rebuild --ids{_left(summary)}"
        )
    if summary.stopped_by is not None:
        name = signal.Signals(summary.stopped_by).name
        return (
            f"Stopped by {name} after {spoken(summary.seconds)}: {counted(summary.rows, 'row')} written{_left(summary)}"
        )
    if summary.unfinished:
        assets = summary.unfinished_ids
        of_all = f"{len(assets):,} of {counted(summary.assets, 'asset')}"
        return f"Not complete: {of_all} (ID {ids(assets)}) failed, skipped or not reached{_left(summary)}"
    if not summary.steps and summary.validity:
        valid = f"Valid: {counted(summary.validity.judged, 'asset')} in {counted(summary.tables, 'table')}."
        return valid if summary.validity.judged else "Nothing was judged: no asset is up to date. Refresh first."
    if summary.idle:
        return f"Nothing to do: {counted(summary.assets, 'asset')} up to date in {counted(summary.tables, 'table')}."
    return f"Done: {counted(summary.rows, 'row')} written in {summary.seconds:.1f}s."


def _left(summary: Summary) -> str:
    if not summary.next_command:
        return "."
    return f"; {spoken(summary.remaining_seconds)} of work left. Next: {summary.next_command}"
