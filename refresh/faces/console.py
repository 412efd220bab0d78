"""The plan, the progress and the report as lines and tables of a terminal or a pipe."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table

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
    console.print("Dry run: nothing was written.")


def _headline(step: Step) -> str:
    if not step.tasks:
        return f"{step.builder.title}: {step.idle_because}"
    return f"{step.builder.title}: {_assets(len(step.tasks))}"


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
            console_line = f"      {report.rows:,} rows written ({report.seconds:.1f}s)"
            self._console.print(console_line)


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
    if unfinished:
        named = f"{_assets(len(unfinished))} of {report.assets:,} (id {_ids(sorted(unfinished))})"
        return f"Not complete: {named} failed, were skipped or were not reached."
    return f"Done: {report.rows:,} rows written in {report.seconds:.1f}s."


def _show_notices(console: Console, notices: Sequence[str]) -> None:
    for notice in notices:
        console.print(notice)


def show_idle(console: Console, plan: Plan, tables: int) -> None:
    """Nothing was due."""
    _show_notices(console, plan.notices)
    console.print(f"Nothing to do: {_assets(plan.assets)} up to date in {tables} table{'s'[: tables != 1]}.")
