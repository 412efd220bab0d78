"""The plan, the progress and the report as lines and tables of a terminal or a pipe."""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import IO

from rich.console import Console
from rich.table import Table

from refresh.core.standing import Standing, TableStanding
from refresh.outcome import Outcome, Status
from refresh.run.plan import Plan, Step
from refresh.run.report import RunReport, StepReport

SHOWN_ASSETS = 12
PIPE_WIDTH = 120
TABLE_WIDTH = 60
"""What numbers and names need; a narrower terminal breaks the lines itself."""


def make_console(*, error: bool = False) -> Console:
    """A console as wide as the terminal; 120 columns where there is none."""
    stream = sys.stderr if error else sys.stdout
    return _console(stream, None if stream.isatty() else PIPE_WIDTH)


def _console(stream: IO[str], width: int | None) -> Console:
    """A console that prints texts as they are."""
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def show_plan(console: Console, plan: Plan, command: list[str]) -> None:
    """The steps in order: the command of each, its assets and why."""
    program = shlex.join(command)
    for place, step in enumerate(plan.steps, 1):
        console.print(f"{place}. {_headline(step)}")
        if step.tasks:
            console.print(f"   {program} {shlex.join(step.arguments)}")
        for line in _reasons(step):
            console.print(f"   {line}")
    _show_notices(console, plan.notices)
    if not plan.idle:
        console.print(f"In all {_expected(sum(step.estimated_rows for step in plan.steps), plan.estimated_seconds)}.")
    console.print("Dry run: nothing was written.")


def _headline(step: Step) -> str:
    if not step.tasks:
        return f"{step.builder.title}: {step.idle_because}"
    return f"{step.builder.title}: {_assets(len(step.tasks))}, {_expected(step.estimated_rows, step.estimated_seconds)}"


def _expected(rows: int, seconds: float) -> str:
    """What is expected, no more exact than it can be known."""
    return f"about {_round(rows):,} rows in {spoken(seconds)}"


def _round(number: int) -> int:
    """The number to two digits."""
    return int(float(f"{number:.2g}"))


def spoken(seconds: float) -> str:
    """A length of time as one says it, e.g. ``40 s``, ``8 minutes``, ``2.5 hours``."""
    for unit, length in (("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 1.5 * length:
            number = (
                f"{seconds / length:.1f}" if seconds < 10 * length and unit == "hour" else f"{seconds / length:.0f}"
            )
            return f"{number} {unit}s"
    return f"{max(seconds, 1):.0f} s"


def _reasons(step: Step) -> list[str]:
    """Assets grouped by reason, the most common reason first."""
    groups: dict[str, list[int]] = {}
    for task in step.tasks:
        groups.setdefault(task.reason, []).append(task.id)
    lines = [
        f"{reason}: id {_ids(ids)}"
        for reason, ids in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    ]
    return lines + [f"skipping ID {task.id} ({task.reason})" for task in step.skipped]


def _ids(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:SHOWN_ASSETS]))
    return shown if len(ids) <= SHOWN_ASSETS else f"{shown} and {len(ids) - SHOWN_ASSETS} more"


def _assets(number: int) -> str:
    return f"{number:,} asset{'s'[: number != 1]}"


class Progress:
    """A line per builder as it runs, and a line per asset that did not end well."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        """``quiet`` leaves out everything but what went wrong."""
        self._console = console
        self._errors = make_console(error=True)
        self._quiet = quiet

    def begin(self, step: Step, place: int, steps: int) -> None:
        """Announce a step that has something to do."""
        if step.tasks and not self._quiet:
            self._console.print(f"[{place}/{steps}] {_headline(step)} ...")

    def outcome(self, outcome: Outcome) -> None:
        """Tell of an asset that was skipped or failed."""
        name = outcome.builder.split(".")
        what = "EMAs" if name[0] == "emas" else f"{name[1]} bars"
        if outcome.status is Status.SKIPPED:
            self._errors.print(f"Skipping ID {outcome.id} {what} ({outcome.reason})")
        elif outcome.status is Status.FAILED:
            self._errors.print(
                f"ID {outcome.id} {outcome.builder}: {outcome.status.value}: {outcome.error}", markup=False
            )

    def end(self, report: StepReport) -> None:
        """Say what a step wrote, and what it did not reach."""
        silent: dict[str, list[int]] = {}
        for outcome in report.of(Status.NOT_REACHED):
            silent.setdefault(str(outcome.error), []).append(outcome.id)
        for error, ids in silent.items():
            self._errors.print(f"ID {_ids(ids)} {report.builder.key}: not reached: {error}")
        if report.launched and not self._quiet:
            done = f"{report.builder.title}: {report.rows:,} rows written ({report.seconds:.1f}s)"
            self._console.print(f"      {done}")

    def words(self, step: Step, line: str) -> None:
        """What builders say is for the log."""


def show_report(console: Console, report: RunReport) -> None:
    """Rows and seconds per builder, what was repaired and refused, and how it ended."""
    _console(console.file, max(console.width, TABLE_WIDTH)).print(_table(report))
    notes = sum((step.notes for step in report.steps), Counter[str]())
    if notes:
        console.print("found in the source: " + ", ".join(f"{name} {n:,}" for name, n in sorted(notes.items())))
    _show_notices(console, report.notices)
    console.print(_verdict(report))


def _table(report: RunReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("builder", no_wrap=True)
    for name in ("assets", "rows", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for step in report.steps:
        cells = (f"{len(step.outcomes):,}", f"{step.rows:,}", f"{step.seconds:.1f}") if step.outcomes else ("", "", "")
        table.add_row(step.builder.title, *cells, _result(step))
    table.add_row("total", f"{report.assets:,}", f"{report.rows:,}", f"{report.seconds:.1f}", "", style="bold")
    return table


def _result(step: StepReport) -> str:
    if not step.outcomes:
        return step.idle_because
    counts = Counter(outcome.status.value for outcome in step.outcomes)
    return ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))


def _verdict(report: RunReport) -> str:
    unfinished = {outcome.id for step in report.steps for outcome in step.unfinished}
    if report.stopped_by is not None:
        name = signal.Signals(report.stopped_by).name
        return f"Stopped by {name}: {report.rows:,} rows written; go on with --resume, or with the next run."
    if unfinished:
        named = f"{_assets(len(unfinished))} of {report.assets:,} (id {_ids(sorted(unfinished))})"
        return f"Not complete: {named} failed, skipped or not reached. Mend the cause and go on with --resume."
    return f"Done: {report.rows:,} rows written in {report.seconds:.1f}s."


def _show_notices(console: Console, notices: Sequence[str]) -> None:
    for notice in notices:
        console.print(notice)


def show_idle(console: Console, plan: Plan, tables: int) -> None:
    """Nothing was due."""
    _show_notices(console, plan.notices)
    console.print(f"Nothing to do: {_assets(plan.assets)} up to date in {tables} table{'s'[: tables != 1]}.")


def show_standing(console: Console, known: Standing, plan: Plan) -> None:
    """One asset: where the source and each table stand, what a run would do and why, and what went wrong last."""
    console.print(f"asset {known.id}: {_source_line(known)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("table", "through", "lag", "missing days", "a run would"):
        table.add_column(name, justify="right" if name in {"lag", "missing days"} else "left", overflow="fold")
    steps = {step.builder.key: step for step in plan.steps}
    for one in known.tables:
        missing = "" if one.missing_days is None else f"{one.missing_days:,}"
        table.add_row(one.table, _date(one.through), _lag(known, one), missing, _next(steps[one.builder], one))
    _console(console.file, max(console.width, PIPE_WIDTH)).print(table)
    for failure in known.failures:
        console.print(f"{failure.builder}, {failure.at:%Y-%m-%d %H:%M} UTC: {failure.error}")
    _show_notices(console, plan.notices)


def _source_line(known: Standing) -> str:
    if known.first is None or known.last is None:
        return "no prices in the source"
    refused = f", {known.rejected:,} of them refused" if known.rejected else ""
    return f"{known.rows:,} prices from {_date(known.first)} to {_date(known.last)}{refused}"


def _date(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d}" if time else "nothing"


def _lag(known: Standing, table: TableStanding) -> str:
    if known.last is None or table.through is None:
        return ""
    days = (known.last - table.through).days
    return f"{days:,} day{'s'[: days != 1]}" if days > 0 else "none"


def _next(step: Step, table: TableStanding) -> str:
    for task in step.tasks:
        return task.reason
    for task in step.skipped:
        return f"skip it ({task.reason})"
    if table.dirty_from:
        return f"revise from {_date(table.dirty_from)}"
    return f"do nothing: {step.idle_because}"
