"""The plan, the progress and the report as lines and tables of a terminal or a pipe."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import IO

from rich.console import Console
from rich.table import Table

from refresh.due.standing import Standing, TableStanding
from refresh.faces import words
from refresh.run.plan import Plan, Step
from refresh.run.summary import Summary
from refresh.wording import counted

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
    if any(step.tasks for step in plan.steps):
        rows = sum(step.estimated_rows for step in plan.steps)
        console.print(f"In all {words.expected(rows, plan.estimated_seconds)}.")
    console.print("Dry run: nothing was written.")


def _headline(step: Step) -> str:
    if not step.tasks:
        return f"{step.builder.title}: {step.idle}"
    expected = words.expected(step.estimated_rows, step.estimated_seconds)
    return f"{step.builder.title}: {counted(len(step.tasks), 'asset')}, {expected}"


def _reasons(step: Step) -> list[str]:
    """Assets grouped by reason, the most common reason first."""
    groups: dict[str, list[int]] = {}
    for task in step.tasks:
        groups.setdefault(task.reason, []).append(task.id)
    lines = [
        f"{reason}: id {words.ids(ids)}"
        for reason, ids in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    ]
    return lines + [f"skipping ID {task.id} ({task.reason})" for task in step.skipped]


def show_summary(console: Console, summary: Summary) -> None:
    """Rows and seconds per builder, what was found and what is not done, and how it ended."""
    if not summary.idle:
        _console(console.file, max(console.width, TABLE_WIDTH)).print(_table(summary))
    for line in words.details(summary):
        console.print(line)
    console.print(words.verdict(summary))


def _table(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("builder", no_wrap=True)
    for name in ("assets", "rows", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for step in summary.steps:
        cells = (f"{step.assets:,}", f"{step.rows:,}", f"{step.seconds:.1f}") if step.counts else ("", "", "")
        table.add_row(step.title, *cells, words.result(step))
    table.add_row("total", f"{summary.assets:,}", f"{summary.rows:,}", f"{summary.seconds:.1f}", "", style="bold")
    return table


def _show_notices(console: Console, notices: Sequence[str]) -> None:
    for notice in notices:
        console.print(notice)


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
        console.print(f"{failure.builder}, {failure.failed_at:%Y-%m-%d %H:%M} UTC: {failure.error}")
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
