"""A run while it goes on: plain lines, or on a terminal a live display below them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from refresh.faces import words
from refresh.faces.tally import RunningStep, Tally
from refresh.records import Outcome, Status
from refresh.run.plan import Step
from refresh.run.report import StepReport
from refresh.run.watch import Watcher
from refresh.wording import counted, listed, shown_ids

MANY_ASSETS = 50
"""The number of assets from which on a line for every asset would hide everything else."""
SECONDS_BETWEEN_LINES = 1.0
_SHORTEST_TIME = 0.1
"""Seconds; over a shorter time a rate says nothing."""


class Lines:
    """Plain lines. What went wrong goes to stderr."""

    def __init__(self, console: Console, errors: Console, tally: Tally) -> None:
        self.console, self.errors, self.tally = console, errors, tally
        self._next_line = 0.0

    def begin(self, step: Step, position: int, steps: int) -> None:
        """Announce a step that has something to do."""
        self.tally.begin(step)
        if step.tasks:
            expected = words.expected(step.estimated_rows, step.estimated_seconds)
            assets = counted(len(step.tasks), "asset")
            self.console.print(f"[{position}/{steps}] {step.builder.title}: {assets}, {expected}")

    def outcome(self, outcome: Outcome) -> None:
        """Print an asset: always if it failed or was skipped, at most once a second if a step has many."""
        running = self.tally.outcome(outcome)
        _print_problem(self.errors, outcome)
        if running and outcome.status is Status.DONE and self._is_due(len(running.step.tasks)):
            self.console.print(words.done(outcome))

    def _is_due(self, assets: int) -> bool:
        now = time.monotonic()
        if assets >= MANY_ASSETS and now < self._next_line:
            return False
        self._next_line = now + SECONDS_BETWEEN_LINES
        return True

    def words(self, step: Step, line: str) -> None:
        """The output of builders is for the log."""

    def end(self, report: StepReport) -> None:
        """Print the rows of a step, the assets that it did not reach, and the state of the run."""
        self.tally.end(report)
        _print_unreached(self.errors, report)
        if report.launched:
            self.console.print(f"{_written(report)}; {self.tally.line()}")


class Quiet:
    """Nothing but what went wrong."""

    def __init__(self, errors: Console) -> None:
        self.errors = errors

    def begin(self, step: Step, position: int, steps: int) -> None:
        """Print nothing."""

    def outcome(self, outcome: Outcome) -> None:
        """Print an asset that failed or was skipped."""
        _print_problem(self.errors, outcome)

    def words(self, step: Step, line: str) -> None:
        """Print nothing."""

    def end(self, report: StepReport) -> None:
        """Print the assets that a step did not reach."""
        _print_unreached(self.errors, report)


class Live(Lines):
    """On a terminal: the builders at work, below the lines of those that have ended."""

    def __init__(self, console: Console, errors: Console, tally: Tally) -> None:
        super().__init__(console, errors, tally)
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._run = self._display.add_task("builders", total=tally.steps, more="")

    def __enter__(self) -> Self:
        with suppress(RuntimeError):  # the system has no thread left for it: lines are printed all the same
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def begin(self, step: Step, position: int, steps: int) -> None:
        """Add the step to those at work."""
        self.tally.begin(step)
        if step.tasks:
            title = f"[{position}/{steps}] {step.builder.title}"
            task = self._display.add_task(title, total=len(step.tasks), more="")
            self._tasks[step.builder.key] = task
        self._refresh()

    def outcome(self, outcome: Outcome) -> None:
        """Count the asset; print it if it failed or was skipped."""
        running = self.tally.outcome(outcome)
        _print_problem(self.errors, outcome)
        if running:
            task = self._tasks[outcome.builder]
            self._display.update(task, completed=running.ended, more=_pace(running))
        self._refresh()

    def end(self, report: StepReport) -> None:
        """Replace the step by a line with its rows."""
        if report.builder.key in self._tasks:
            self._display.remove_task(self._tasks.pop(report.builder.key))
        self.tally.end(report)
        _print_unreached(self.errors, report)
        if report.launched:
            self.console.print(_written(report))
        self._refresh()

    def _refresh(self) -> None:
        remaining = f"complete, ~{words.spoken(self.tally.seconds_left)} remaining"
        self._display.update(self._run, completed=self.tally.complete, more=remaining)


def _pace(running: RunningStep) -> str:
    seconds = max(time.monotonic() - running.began, _SHORTEST_TIME)
    return f"ID {listed(running.latest)}  {running.rows / seconds:,.0f} rows/s"


def _written(report: StepReport) -> str:
    return f"{report.builder.title}: {counted(report.rows, 'row')} written ({report.seconds:.1f}s)"


def _print_problem(errors: Console, outcome: Outcome) -> None:
    if outcome.status is Status.SKIPPED:
        errors.print(words.skipped(outcome))
    elif outcome.status is Status.FAILED:
        errors.print(words.failed(outcome))


def _print_unreached(errors: Console, report: StepReport) -> None:
    groups = words.grouped((str(outcome.error), outcome.id) for outcome in report.of(Status.NOT_REACHED))
    for error, ids in groups.items():
        errors.print(f"ID {shown_ids(ids)} {report.builder.key}: not reached: {error}")


@contextmanager
def progress(console: Console, errors: Console, tally: Tally, *, quiet: bool) -> Iterator[Watcher]:
    """Show a run in the way that fits the output."""
    if quiet:
        yield Quiet(errors)
    elif not console.file.isatty() or console.is_dumb_terminal:
        yield Lines(console, errors, tally)
    else:
        same_screen = errors.file.isatty()  # there, only the display's own console knows how to print above it
        with Live(console, console if same_screen else errors, tally) as live:
            yield live
