"""Plans, reports and the state of one asset as lines and tables of a terminal or a pipe."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from refresh.due.standing import Standing, TableStanding
from refresh.faces import words
from refresh.outlet import Stream
from refresh.run.plan import Plan, Step
from refresh.run.summary import StepSummary, Summary
from refresh.wording import counted, escaped, shown_ids

PIPE_WIDTH = 120
TABLE_WIDTH = 60
"""What numbers and names need; a narrower terminal breaks the lines itself."""


class _Console(Console):
    """Prints every text on one line, and what would move the cursor as an escape."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text of ours or of others, as it is drawn."""
        return super().render_str(escaped(text), **options)


def make_console(*, error: bool = False) -> Console:
    """A console as wide as the terminal; 120 columns where there is none."""
    stream = sys.stderr if error else sys.stdout
    if isinstance(stream, Stream):
        stream = cast("TextIO", stream.canvas())
    return _console(stream, None if stream.isatty() else PIPE_WIDTH)


def _console(stream: IO[str], width: int | None) -> Console:
    """A console that adds nothing to texts."""
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def show_plan(console: Console, plan: Plan, command: Sequence[str]) -> None:
    """The steps in order: the command of each, its assets with their reasons, and estimates."""
    for number, step in enumerate(plan.steps, 1):
        console.print(f"{number}. {_headline(step)}")
        if step.tasks:
            console.print(f"   {shlex.join([*command, *step.arguments])}")
        for line in _reasons(step):
            console.print(f"   {line}")
    _show_notices(console, plan.notices)
    if any(step.tasks for step in plan.steps):
        rows = sum(step.estimated_rows for step in plan.steps)
        console.print(f"In total: {words.expected(rows, plan.estimated_seconds)}.")
    console.print("Dry run: nothing was written.")


def _headline(step: Step) -> str:
    if not step.tasks:
        return f"{step.builder.title}: {step.idle}"
    expected = words.expected(step.estimated_rows, step.estimated_seconds)
    return f"{step.builder.title}: {counted(len(step.tasks), 'asset')}, {expected}"


def _reasons(step: Step) -> Iterator[str]:
    """Assets by reason, the most common reason first."""
    groups = words.grouped((task.reason, task.id) for task in step.tasks)
    for reason, ids in sorted(groups.items(), key=_most_common_first):
        yield f"{reason}: id {shown_ids(ids)}"
    for task in step.skipped:
        yield f"skipping ID {task.id} ({task.reason})"


def _most_common_first(group: tuple[str, Sequence[int]]) -> tuple[int, str]:
    reason, ids = group
    return -len(ids), reason


def show_summary(console: Console, summary: Summary) -> None:
    """Rows and seconds per builder, what the run noticed, what is not done, and how it ended."""
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
        table.add_row(step.title, *_cells(step), words.result(step))
    table.add_row("total", f"{summary.assets:,}", f"{summary.rows:,}", f"{summary.seconds:.1f}", "", style="bold")
    return table


def _cells(step: StepSummary) -> tuple[str, str, str]:
    if not step.counts:
        return "", "", ""
    return f"{step.assets:,}", f"{step.rows:,}", f"{step.seconds:.1f}"


def _show_notices(console: Console, notices: Sequence[str]) -> None:
    for notice in notices:
        console.print(notice)


def show_standing(console: Console, state: Standing, plan: Plan) -> None:
    """One asset: where the source and each table end, what the next run would do and why, and the last failures."""
    console.print(f"asset {state.id}: {_source_line(state)}")
    _console(console.file, max(console.width, PIPE_WIDTH)).print(_standing_table(state, plan))
    for failure in state.failures:
        console.print(f"{failure.builder}, {failure.failed_at:%Y-%m-%d %H:%M} UTC: {failure.error}")
    _show_notices(console, plan.notices)


def _standing_table(state: Standing, plan: Plan) -> Table:
    steps = {step.builder.key: step for step in plan.steps}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("table", overflow="fold")
    table.add_column("through", overflow="fold")
    table.add_column("lag", justify="right", overflow="fold")
    table.add_column("missing days", justify="right", overflow="fold")
    table.add_column("next run", overflow="fold")
    for row in state.tables:
        through = _date(row.through) if row.through else "not built"
        missing = "" if row.missing_days is None else f"{row.missing_days:,}"
        next_run = _next_run(steps[row.builder], row)
        table.add_row(row.table, through, _lag(state, row), missing, next_run)
    return table


def _source_line(state: Standing) -> str:
    if state.first is None or state.last is None:
        return "no prices in the source"
    line = f"{state.rows:,} prices from {_date(state.first)} to {_date(state.last)}"
    if state.rejected:
        line += f", {state.rejected:,} of them refused"
    if not state.calendar.is_always_open:
        line += f"; calendar {state.calendar_name}"
    return line


def _date(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"


def _lag(state: Standing, table: TableStanding) -> str:
    if state.last is None or table.through is None:
        return ""
    days = state.calendar.elapsed(table.through, state.last).days
    return counted(days, "day") if days > 0 else "none"


def _next_run(step: Step, table: TableStanding) -> str:
    for task in step.tasks:
        return task.reason
    for task in step.skipped:
        return f"skip ({task.reason})"
    if table.dirty_from:
        return f"revise from {_date(table.dirty_from)}"
    return f"nothing: {step.idle_because}"
