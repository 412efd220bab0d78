"""A run while it goes on: plain lines, or on a terminal a live display below them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from refresh.catalog import BuilderConfig
from refresh.faces import words
from refresh.records import Outcome, Status
from refresh.run.eta import Running, seconds_left
from refresh.run.plan import Plan, Step
from refresh.run.report import StepReport
from refresh.wording import counted

MANY_ASSETS = 50
"""From so many assets on, a line for each would drown everything else."""
SECONDS_BETWEEN_LINES = 1.0


@dataclass(slots=True)
class _AtWork:
    """A step going on."""

    step: Step
    began: float
    ended: int = 0
    rows: int = 0
    latest: list[int] = field(default_factory=list)

    def running(self, now: float) -> Running:
        """How far it has come."""
        return Running(now - self.began, self.ended / len(self.step.tasks))


class Tally:
    """How far a run has come, told by its events."""

    def __init__(self, plan: Plan, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._jobs, self._clock = plan, jobs, clock
        self.at_work: dict[BuilderConfig, _AtWork] = {}
        self.ended: dict[BuilderConfig, float] = {}

    @property
    def steps(self) -> int:
        """How many builders have something to do."""
        return sum(bool(step.tasks) for step in self.plan.steps)

    @property
    def complete(self) -> int:
        """How many of them are through."""
        return sum(bool(step.tasks) for step in self.plan.steps if step.builder in self.ended)

    @property
    def seconds_left(self) -> float:
        """What the rest will take."""
        now = self._clock()
        running = {builder: one.running(now) for builder, one in self.at_work.items()}
        return seconds_left(self.plan, running, self.ended, self._jobs)

    def begin(self, step: Step) -> None:
        """A step is about to start."""
        if step.tasks:
            self.at_work[step.builder] = _AtWork(step, self._clock())

    def outcome(self, outcome: Outcome) -> _AtWork | None:
        """The step that an outcome belongs to, with it counted."""
        for builder, one in self.at_work.items():
            if builder.key == outcome.builder and outcome.status is not Status.SKIPPED:
                one.ended += 1
                one.rows += outcome.rows
                one.latest = [*one.latest, outcome.id][-3:]
                return one
        return None

    def end(self, report: StepReport) -> None:
        """A step is through."""
        self.at_work.pop(report.builder, None)
        self.ended[report.builder] = report.seconds

    def line(self) -> str:
        """Where the run stands, e.g. ``3/6 builders complete, ~8 minutes remaining``."""
        left = f", ~{words.spoken(self.seconds_left)} remaining" if self.complete < self.steps else ""
        return f"{self.complete}/{self.steps} builders complete{left}"


class Lines:
    """Plain lines; what went wrong goes to stderr."""

    def __init__(self, console: Console, errors: Console, tally: Tally) -> None:
        self.console, self.errors, self.tally = console, errors, tally
        self._next_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def begin(self, step: Step, place: int, steps: int) -> None:
        """Announce a step that has something to do."""
        self.tally.begin(step)
        if step.tasks:
            what = words.expected(step.estimated_rows, step.estimated_seconds)
            assets = counted(len(step.tasks), "asset")
            self.console.print(f"[{place}/{steps}] {step.builder.title}: {assets}, {what}")

    def outcome(self, outcome: Outcome) -> None:
        """Tell of an asset; where there are many, of one a second, unless it did not end well."""
        at_work = self.tally.outcome(outcome)
        tell(self.errors, outcome)
        if outcome.status is Status.DONE and at_work and self._may_tell(len(at_work.step.tasks)):
            self.console.print(words.done(outcome))

    def _may_tell(self, assets: int) -> bool:
        now = time.monotonic()
        if assets >= MANY_ASSETS and now < self._next_line:
            return False
        self._next_line = now + SECONDS_BETWEEN_LINES
        return True

    def words(self, step: Step, line: str) -> None:
        """What builders say is for the log."""

    def end(self, report: StepReport) -> None:
        """Say what a step wrote, whom it did not reach, and where the run stands."""
        self.tally.end(report)
        tell_unreached(self.errors, report)
        if report.launched:
            done = f"{report.builder.title}: {counted(report.rows, 'row')} written ({report.seconds:.1f}s)"
            self.console.print(f"{done}; {self.tally.line()}")


class Quiet:
    """Nothing but what went wrong."""

    def __init__(self, errors: Console) -> None:
        self.errors = errors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def begin(self, step: Step, place: int, steps: int) -> None:
        """No word."""

    def outcome(self, outcome: Outcome) -> None:
        """Tell of an asset that did not end well."""
        tell(self.errors, outcome)

    def words(self, step: Step, line: str) -> None:
        """No word."""

    def end(self, report: StepReport) -> None:
        """Tell of whom a step did not reach."""
        tell_unreached(self.errors, report)


class Live(Lines):
    """On a terminal: the builders at work, below the lines of what is through."""

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
        self._whole: TaskID | None = None

    def __enter__(self) -> Self:
        self._display.start()
        self._whole = self._display.add_task("builders", total=self.tally.steps, more="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def begin(self, step: Step, place: int, steps: int) -> None:
        """Show the step among those at work."""
        self.tally.begin(step)
        if step.tasks:
            task = self._display.add_task(f"[{place}/{steps}] {step.builder.title}", total=len(step.tasks), more="")
            self._tasks[step.builder.key] = task
        self._refresh()

    def outcome(self, outcome: Outcome) -> None:
        """Count the asset; tell of it if it did not end well."""
        at_work = self.tally.outcome(outcome)
        tell(self.errors, outcome)
        if at_work:
            rate = at_work.rows / max(time.monotonic() - at_work.began, 0.1)
            more = f"ID {', '.join(map(str, at_work.latest))}  {rate:,.0f} rows/s"
            self._display.update(self._tasks[outcome.builder], completed=at_work.ended, more=more)
        self._refresh()

    def end(self, report: StepReport) -> None:
        """Turn the step into a line of what it wrote."""
        if report.builder.key in self._tasks:
            self._display.remove_task(self._tasks.pop(report.builder.key))
        self.tally.end(report)
        tell_unreached(self.errors, report)
        if report.launched:
            rows = counted(report.rows, "row")
            self.console.print(f"{report.builder.title}: {rows} written ({report.seconds:.1f}s)")
        self._refresh()

    def _refresh(self) -> None:
        if self._whole is not None:
            left = f"~{words.spoken(self.tally.seconds_left)} remaining"
            self._display.update(self._whole, completed=self.tally.complete, more=f"complete, {left}")


def tell(errors: Console, outcome: Outcome) -> None:
    """Tell of an asset that was skipped or failed."""
    if outcome.status is Status.SKIPPED:
        errors.print(words.skipped(outcome))
    elif outcome.status is Status.FAILED:
        errors.print(words.failed(outcome))


def tell_unreached(errors: Console, report: StepReport) -> None:
    """Tell of whom a step did not reach."""
    silent: dict[str, list[int]] = {}
    for outcome in report.of(Status.NOT_REACHED):
        silent.setdefault(str(outcome.error), []).append(outcome.id)
    for error, ids in silent.items():
        errors.print(f"ID {words.ids(ids)} {report.builder.key}: not reached: {error}")


def progress(console: Console, errors: Console, tally: Tally, *, quiet: bool) -> Quiet | Lines:
    """The way to show a run that fits where it is shown."""
    if quiet:
        return Quiet(errors)
    if not console.file.isatty() or console.is_dumb_terminal:
        return Lines(console, errors, tally)
    same_screen = errors.file.isatty()  # there, only the display's own console knows how to print above it
    return Live(console, console if same_screen else errors, tally)
