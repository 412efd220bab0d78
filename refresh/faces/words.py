"""The sentences about a run that all faces share: each fact has one sentence, with the same numbers everywhere.

Knows no terminal, file or channel.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from refresh.catalog import by_key
from refresh.records import LedgerLine, Outcome, Status
from refresh.run.summary import StepSummary, Summary, Unfinished
from refresh.validate.finding import Finding, Validity
from refresh.wording import SHOWN_IDS, counted, listed, shown_ids

SHOWN_FINDINGS = 20
WORST_FIRST = (Status.FAILED, Status.NOT_REACHED, Status.SKIPPED)
_MINUTE, _HOUR = 60.0, 3600.0

Key = TypeVar("Key")


def spoken(seconds: float) -> str:
    """A length of time as people say it, e.g. ``40 s``, ``8 minutes``, ``2.5 hours``."""
    if seconds >= 10 * _HOUR:
        return f"{seconds / _HOUR:.0f} hours"
    if seconds >= 1.5 * _HOUR:
        return f"{seconds / _HOUR:.1f} hours"
    if seconds >= 1.5 * _MINUTE:
        return f"{seconds / _MINUTE:.0f} minutes"
    return f"{max(seconds, 1):.0f} s"


def expected(rows: int, seconds: float) -> str:
    """An estimate, with two digits of the rows."""
    rounded = int(float(f"{rows:.2g}"))
    return f"about {counted(rounded, 'row')} in {spoken(seconds)}"


def grouped(pairs: Iterable[tuple[Key, int]]) -> dict[Key, list[int]]:
    """Ids by what they have in common, in the order of the pairs."""
    groups: dict[Key, list[int]] = {}
    for key, id in pairs:
        groups.setdefault(key, []).append(id)
    return groups


def done(outcome: Outcome) -> str:
    """An asset that is done, e.g. ``Processing ID 1... 245 bars written (3.2s) [bars.1d]``."""
    rows = counted(outcome.rows, _noun(outcome))
    return f"Processing ID {outcome.id}... {rows} written ({outcome.seconds:.1f}s) [{outcome.builder}]"


def skipped(outcome: Outcome) -> str:
    """An asset that is skipped, e.g. ``Skipping ID 825 EMAs (bars failed) [emas.cal]``."""
    return f"Skipping ID {outcome.id} {_noun(outcome)}s ({outcome.reason}) [{outcome.builder}]"


def _noun(outcome: Outcome) -> str:
    return by_key(outcome.builder).group.noun


def failed(outcome: Outcome) -> str:
    """An asset that failed."""
    return f"ID {outcome.id} {outcome.builder}: failed: {outcome.error}"


def result(step: StepSummary) -> str:
    """How the assets of a step ended."""
    if not step.counts:
        return step.idle_because
    return listed(f"{number:,} {status}" for status, number in step.counts.items())


def runs_alone(start: str, groups: Iterable[Mapping[str, Any]]) -> str:
    """Runs of single builders, e.g. ``since then 14 runs of single builders: 1 failed, 2 without an end``."""
    total: Counter[str] = Counter()
    for group in groups:
        total.update({name: group[name] for name in ("number", "failed", "unended")})
    noun = "run of a single builder" if total["number"] == 1 else "runs of single builders"
    ends = f"{total['failed']:,} failed"
    if total["unended"]:
        ends += f", {total['unended']:,} without an end"
    return f"{start} {total['number']:,} {noun}: {ends}"


def details(summary: Summary) -> list[str]:
    """What a run wrote and noticed, and what it did not do, a line each."""
    return [*_results(summary), *_unfinished(summary), *_changes(summary), *summary.notices, *_validation(summary)]


def _results(summary: Summary) -> Iterator[str]:
    if not summary.idle:
        yield f"written: {counted(summary.bars, 'bar')}, {counted(summary.emas, 'EMA')}"
    if summary.missing_days:
        yield f"gaps: {counted(summary.missing_days, 'day')} without a bar"
    if summary.repairs:
        repairs = {name.removeprefix("repaired_"): number for name, number in summary.repairs.items()}
        yield f"repaired source values: {_by_name(repairs)}"
    yield from refused(summary)
    if summary.violations:
        yield f"EMA violations: {counted(summary.violations, 'asset')}"


def refused(summary: Summary) -> Iterator[str]:
    """The refused rows of the source by reason, if there are any."""
    if summary.rejects:
        yield f"refused source rows: {_by_name(summary.rejects)}"


def _by_name(numbers: Mapping[str, int]) -> str:
    return listed(f"{name} {number:,}" for name, number in numbers.items())


def _unfinished(summary: Summary) -> Iterator[str]:
    """Assets by builder and reason, failures first."""
    for status in WORST_FIRST:
        groups = grouped(((entry.builder, reason(entry)), entry.id) for entry in summary.of(status))
        for (builder, why), ids in groups.items():
            yield f"{status.value}: {builder}, ID {shown_ids(ids)}: {why}"


def reason(unfinished: Unfinished) -> str:
    """Why an asset is not done, and since when if earlier runs left it as well."""
    if unfinished.since is None:
        return unfinished.why
    return f"{unfinished.why} (since {unfinished.since:%Y-%m-%d})"


def _changes(summary: Summary) -> Iterator[str]:
    for line in summary.restated:
        yield f"restated: {restatement(line)}"
    for builder, ids in grouped(summary.recovered).items():
        yield f"recovered: {builder}, ID {shown_ids(ids)}"


def restatement(line: LedgerLine) -> str:
    """One line of the ledger."""
    days = f"{line.first_day}"
    if line.last_day != line.first_day:
        days = f"{line.first_day} to {line.last_day}"
    return f"ID {line.id}, {days}, {counted(line.rows, 'row')}: {line.reason}"


def _validation(summary: Summary) -> Iterator[str]:
    validity = summary.validity
    if validity is None:
        return
    yield from findings(validity, SHOWN_FINDINGS)
    yield from unjudged(validity)
    judged = f"{validity.judged:,} of {counted(summary.assets, 'asset')} in {counted(summary.tables, 'table')}"
    recomputed = f"{len(validity.recomputed):,} recomputed"
    if validity.recomputed:
        recomputed += f" (ID {shown_ids(validity.recomputed)})"
    yield f"validated: {judged}, {recomputed}, in {validity.seconds:.1f}s"


def unjudged(validity: Validity) -> Iterator[str]:
    """What was not validated, and why."""
    if validity.pending:
        yield f"not validated because not up to date: ID {shown_ids(validity.pending)}"
    elif validity.is_void:
        yield "not validated: there is no asset to judge"


def findings(validity: Validity, limit: int) -> list[str]:
    """The first findings, and the number of all others."""
    lines = [f"wrong: {finding.words}" for finding in validity.findings[:limit]]
    more = len(validity.findings) - limit
    if more > 0:
        lines.append(f"wrong: {counted(more, 'more finding')}")
    return lines


def verdict(summary: Summary) -> str:
    """How a run ended, and what to type next."""
    validity = summary.validity
    if validity and validity.findings:
        return _invalid(summary, validity.findings)
    if summary.stopped_by is not None:
        name = signal.Signals(summary.stopped_by).name
        rows = counted(summary.rows, "row")
        return f"Stopped by {name} after {spoken(summary.seconds)}: {rows} written{_left(summary) or '.'}"
    if summary.unfinished:
        return _incomplete(summary)
    if validity and (validity.is_void or not summary.steps):
        return _judged(summary, validity)
    if summary.idle:
        return f"Nothing to do: {counted(summary.assets, 'asset')} up to date in {counted(summary.tables, 'table')}."
    return f"Done: {counted(summary.rows, 'row')} written in {summary.seconds:.1f}s."


def _invalid(summary: Summary, wrong: tuple[Finding, ...]) -> str:
    """Ends with what to type: nothing follows the ids directly that must not be copied with them."""
    tables = {finding.table for finding in wrong}
    ids = sorted({finding.id for finding in wrong})
    number = f"{counted(len(wrong), 'finding')} in {counted(len(tables), 'table')}"
    flags = f"--full-rebuild --ids {','.join(map(str, ids[:SHOWN_IDS]))}"
    more = len(ids) - SHOWN_IDS
    if more > 0:
        flags += f" first, then {counted(more, 'more asset')}"
    return f"Validation failed: {number}, ID {shown_ids(ids)}. Rebuild what is wrong with {flags}{_left(summary)}"


def _incomplete(summary: Summary) -> str:
    ids = summary.unfinished_ids
    number = f"{len(ids):,} of {counted(summary.assets, 'asset')}"
    return f"Not complete: {number} (ID {shown_ids(ids)}) failed, skipped or not reached{_left(summary) or '.'}"


def _judged(summary: Summary, validity: Validity) -> str:
    """The result of a validation that found nothing wrong; one that judged nothing is no success."""
    if validity.judged:
        return f"Valid: {counted(validity.judged, 'asset')} in {counted(summary.tables, 'table')}."
    return void(validity)


def void(validity: Validity) -> str:
    """Why a validation judged nothing, and what to do."""
    if not validity.pending:
        return "Nothing was validated: the source has no asset to judge."
    waiting = f"{counted(len(validity.pending), 'asset')} (ID {shown_ids(validity.pending)})"
    return f"Nothing was validated: no asset is up to date, {waiting} wait to be refreshed. Run a refresh first."


def _left(summary: Summary) -> str:
    if not summary.next_command:
        return ""
    return f"; {spoken(summary.remaining_seconds)} of work left. Next: {summary.next_command}"
