"""What is shown of a run while it goes on: on a terminal, in a pipe, and quietly."""

from __future__ import annotations

import os
import pty
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import terminals
from rich.console import Console

from refresh.catalog import BUILDERS, by_key
from refresh.faces.console import make_console
from refresh.faces.progress import MANY_ASSETS, Lines, Live, Quiet, Tally, progress
from refresh.records import Outcome, Status
from refresh.run.launch import unlaunched
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresh.catalog import BuilderConfig
    from refresh.run.watch import Watcher

DAILY, BARS, CAL_US, EMAS, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.v2")
)
ODD = "it [red]failed[/red] [/] :x: {0}"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The seconds that it shows."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shell of the tests wishes for colours and terminals does not count."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which lines are let through."""
    clock = Clock()
    monkeypatch.setattr("refresh.faces.progress.time", SimpleNamespace(monotonic=clock))
    return clock


def step(builder: BuilderConfig, assets: int, *, seconds: float = 0.0, rows: int = 100) -> Step:
    """A step about the assets from 1 on."""
    tasks = tuple(Task(id, "append 1 day", rows=rows) for id in range(1, assets + 1))
    return Step(builder, tasks, (), (), estimated_seconds=seconds)


def done(id: int, builder: BuilderConfig = DAILY, rows: int = 245, seconds: float = 3.21) -> Outcome:
    """An asset that ended well."""
    return Outcome(builder.key, id, Status.DONE, rows, seconds, "append 1 day")


def failed(id: int, builder: BuilderConfig = DAILY, error: str = "out of range") -> Outcome:
    """An asset that failed."""
    return Outcome(builder.key, id, Status.FAILED, error=error)


def skipped(id: int, builder: BuilderConfig = EMAS, reason: str = "bars failed") -> Outcome:
    """An asset that was left out."""
    return Outcome(builder.key, id, Status.SKIPPED, reason=reason)


def unreached(id: int, builder: BuilderConfig = DAILY, error: str = "the builder was killed") -> Outcome:
    """An asset to which its builder never came."""
    return Outcome(builder.key, id, Status.NOT_REACHED, error=error)


def watch(shown: Watcher, planned: Step, *outcomes: Outcome, seconds: float = 3.21) -> None:
    """A step from its beginning to its end."""
    shown.begin(planned, 1, 10)
    for outcome in outcomes:
        shown.outcome(outcome)
    shown.end(StepReport(planned.builder, outcomes, seconds, launched=True))


def lines(*steps: Step, jobs: int = 1) -> Lines:
    """Plain lines of a plan."""
    return Lines(make_console(), make_console(error=True), Tally(Plan(steps, 3), jobs))


# Plain lines


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A step says what it is about, what became of each asset, what it wrote, and what is left of the run."""
    first = step(DAILY, 2, seconds=3.21)
    watch(lines(first, step(BARS, 2, seconds=480)), first, done(1), done(2, rows=1000, seconds=0.04))
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "[1/10] 1d bars: 2 assets, about 200 rows in 3 s",
        "Processing ID 1... 245 bars written (3.2s) [bars.1d]",
        "Processing ID 2... 1,000 bars written (0.0s) [bars.1d]",
        "1d bars: 1,245 rows written (3.2s); 1/2 builders complete, ~8 minutes remaining",
    ]
    assert err == ""


def test_progress_of_the_builders(capsys: pytest.CaptureFixture[str]) -> None:
    """After each step, the builders that are through are counted; after the last one, nothing remains."""
    steps = [step(builder, 1, seconds=60) for builder in BUILDERS]
    shown = lines(*steps)
    for one in steps:
        watch(shown, one, done(1, one.builder), seconds=60)
    ends = [line.split("; ")[1] for line in capsys.readouterr().out.splitlines() if "complete" in line]
    assert ends[:3] == [
        "1/10 builders complete, ~9 minutes remaining",
        "2/10 builders complete, ~8 minutes remaining",
        "3/10 builders complete, ~7 minutes remaining",
    ]
    assert ends[-1] == "10/10 builders complete"


def test_what_went_wrong_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Skipped and failed assets have a line each, unreached ones a line for each cause."""
    planned = step(DAILY, 5)
    outcomes = (failed(1), unreached(2), unreached(3), unreached(4, error="too late"), skipped(5, DAILY, "stale"))
    watch(lines(planned), planned, *outcomes)
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == ["1d bars: 0 rows written (3.2s); 1/1 builders complete"]
    assert err.splitlines() == [
        "ID 1 bars.1d: failed: out of range",
        "Skipping ID 5 1d bars (stale)",
        "ID 2, 3 bars.1d: not reached: the builder was killed",
        "ID 4 bars.1d: not reached: too late",
    ]


def test_steps_with_nothing_to_do_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that is not launched says nothing and is not among the builders that are counted."""
    idle, planned = step(BARS, 0), step(DAILY, 1)
    shown = lines(planned, idle)
    shown.begin(idle, 2, 10)
    shown.end(unlaunched(idle, ""))
    assert capsys.readouterr() == ("", "")
    watch(shown, planned, done(1))
    assert capsys.readouterr().out.splitlines()[-1].endswith("1/1 builders complete")


def test_words_of_builders_are_for_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What a builder says is not shown."""
    planned = step(DAILY, 1)
    for shown in (lines(planned), Quiet(make_console(error=True))):
        shown.words(planned, "hello")
    assert capsys.readouterr() == ("", "")


def processing(text: str) -> list[int]:
    """The assets that some lines name as done."""
    return [int(id) for id in re.findall(r"Processing ID (\d+)\.\.\.", text)]


def test_thousands_of_assets(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """Of many assets, one a second has a line."""
    planned = step(DAILY, 5000)
    shown = lines(planned)
    shown.begin(planned, 1, 10)
    for id in planned.ids:
        shown.outcome(done(id))
        clock.pass_(1 / 1024)
    assert processing(capsys.readouterr().out) == [1, 1025, 2049, 3073, 4097]


def test_thousands_of_assets_at_once(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """Of assets that end at the same time one has a line, and the sum is right."""
    planned = step(DAILY, 5000)
    watch(lines(planned), planned, *(done(id, rows=2) for id in planned.ids))
    out = capsys.readouterr().out
    assert clock.now == 1000.0
    assert processing(out) == [1]
    assert "10,000 rows written" in out


def test_every_failure_has_a_line(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """What goes wrong is told of however many assets there are."""
    planned = step(DAILY, 5000)
    watch(lines(planned), planned, done(1), *(failed(id) for id in planned.ids[1:]))
    assert len(capsys.readouterr().err.splitlines()) == 4999
    assert clock.now == 1000.0


@pytest.mark.parametrize(("assets", "told"), [(MANY_ASSETS - 1, MANY_ASSETS - 1), (MANY_ASSETS, 1)])
def test_few_and_many(capsys: pytest.CaptureFixture[str], clock: Clock, assets: int, told: int) -> None:
    """A few assets have a line each, however fast they end."""
    planned = step(DAILY, assets)
    watch(lines(planned), planned, *map(done, planned.ids))
    assert len(processing(capsys.readouterr().out)) == told
    assert clock.now == 1000.0


def test_long_and_odd_texts_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A text is shown as it is, in one line, however long."""
    error = "word " * 100 + ODD
    planned = step(DAILY, 3)
    watch(lines(planned), planned, failed(1, error=error), skipped(2, reason=ODD), unreached(3, error=error))
    assert capsys.readouterr().err.splitlines() == [
        f"ID 1 bars.1d: failed: {error}",
        f"Skipping ID 2 EMAs ({ODD}) [emas.multi_tf]",
        f"ID 3 bars.1d: not reached: {error}",
    ]


# Quietly


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet leaves out everything but what went wrong."""
    planned = step(DAILY, 3)
    with Quiet(make_console(error=True)) as shown:
        watch(shown, planned, done(1), failed(2), unreached(3))
        shown.outcome(skipped(2))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "ID 2 bars.1d: failed: out of range",
        "ID 3 bars.1d: not reached: the builder was killed",
        "Skipping ID 2 EMAs (bars failed) [emas.multi_tf]",
    ]


def test_unreached_assets_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """However many assets were not reached, they are one line for each cause."""
    report = StepReport(DAILY, tuple(unreached(id) for id in range(1, 101)), 1.0, launched=True)
    Quiet(make_console(error=True)).end(report)
    assert capsys.readouterr().err.splitlines() == [
        "ID 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 88 more bars.1d: not reached: the builder was killed"
    ]


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a live display, a pipe lines, and who wants quiet gets it on both."""
    monkeypatch.setenv("TERM", "xterm-256color")
    tally, errors = Tally(Plan((), 0), 1), make_console(error=True)
    reading, writing = pty.openpty()
    with os.fdopen(reading), os.fdopen(writing, "w") as screen:
        terminal, pipe = Console(file=screen), Console()
        assert type(progress(terminal, errors, tally, quiet=False)) is Live
        assert type(progress(pipe, errors, tally, quiet=False)) is Lines
        assert type(progress(terminal, errors, tally, quiet=True)) is Quiet
        assert type(progress(pipe, errors, tally, quiet=True)) is Quiet


# On a terminal


def on_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[Console], object]) -> str:
    """What a terminal without colours gets while stdout is one."""
    return terminals.on_terminal(monkeypatch, lambda: show(make_console()), LINES="40", NO_COLOR="1")


def screen(text: str) -> list[str]:
    """What stands on a terminal of endless height after some text, cursor movements and erasures included."""
    rows, row, column = [""], 0, 0
    for code, sign in re.findall(r"\x1b\[([\d;?]*[A-Za-z])|([^\x1b])", text):
        if code.endswith("A"):
            row = max(row - int(code[:-1] or 1), 0)
        elif code.endswith("K"):
            rows[row] = "" if code == "2K" else rows[row][:column]
        elif sign == "\r":
            column = 0
        elif sign == "\n":
            row += 1
            rows += [""] * (row == len(rows))
        elif sign:
            rows[row] = rows[row][:column].ljust(column) + sign + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows if line.strip()]


def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders at work are shown with their latest assets; in the end plain lines are all that stays."""
    first, second = step(DAILY, 3, seconds=60), step(BARS, 3, seconds=480)
    seen: list[str] = []

    def show(console: Console) -> None:
        tally = Tally(Plan((first, second), 3), 1)
        with Live(console, console, tally) as shown:
            shown.begin(first, 1, 2)
            for outcome in (done(1), done(2), failed(3, error=ODD)):
                shown.outcome(outcome)
            shown._display.refresh()
            shown.end(StepReport(DAILY, (done(1), done(2)), 3.21, launched=True))
            seen.append(tally.line())

    text = on_terminal(monkeypatch, show)
    assert seen[0].startswith("1/2 builders complete, ~")
    assert "[1/2] 1d bars" in text
    assert "3/3 ID 1, 2, 3" in text
    assert re.search(r"builders .* 0/2 complete, ~\d+ \w+ remaining", text)
    assert screen(text) == [f"ID 3 bars.1d: failed: {ODD}", "1d bars: 490 rows written (3.2s)"]


def test_live_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders that run side by side have a line each."""
    steps = (step(BARS, 2, seconds=60), step(CAL_US, 4, seconds=60))

    def show(console: Console) -> None:
        with Live(console, console, Tally(Plan(steps, 4), 2)) as shown:
            for place, one in enumerate(steps, 1):
                shown.begin(one, place, 2)
            shown.outcome(done(4, CAL_US))
            shown.outcome(done(2, BARS))
            shown._display.refresh()

    text = on_terminal(monkeypatch, show)
    assert re.search(r"\[1/2\] multi_tf bars .* 1/2 ID 2 ", text)
    assert re.search(r"\[2/2\] cal_us bars .* 1/4 ID 4 ", text)
    assert screen(text) == []


def test_live_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps with nothing to do leave no trace on a terminal."""

    def show(console: Console) -> None:
        idle = step(DAILY, 0)
        with Live(console, console, Tally(Plan((idle,), 0), 1)) as shown:
            shown.begin(idle, 1, 1)
            shown.end(unlaunched(idle, ""))

    assert screen(on_terminal(monkeypatch, show)) == []


def test_live_is_put_away_when_the_run_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error leaves the terminal as it was, with its cursor."""

    def broken(console: Console) -> None:
        planned = step(DAILY, 3)
        with Live(console, console, Tally(Plan((planned,), 3), 1)) as shown:
            shown.begin(planned, 1, 1)
            raise KeyboardInterrupt

    def show(console: Console) -> None:
        with pytest.raises(KeyboardInterrupt):
            broken(console)

    text = on_terminal(monkeypatch, show)
    assert screen(text) == []
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0


# How far it has come


def test_tally() -> None:
    """Builders with something to do are counted, and the rest is told by what is expected and what was seen."""
    clock = Clock()
    first, second, idle, third = (
        step(DAILY, 4, seconds=10),
        step(BARS, 10, seconds=20),
        step(CAL_US, 0),
        step(V2, 2, seconds=30),
    )
    tally = Tally(Plan((first, second, idle, third), 10), 1, clock)
    assert (tally.complete, tally.steps) == (0, 3)
    assert tally.seconds_left == pytest.approx(60)
    assert tally.line() == "0/3 builders complete, ~60 s remaining"

    tally.begin(first)
    clock.pass_(4)
    assert tally.seconds_left == pytest.approx(56)
    tally.outcome(done(1))
    tally.outcome(failed(2))
    assert tally.seconds_left == pytest.approx(4 + 20 + 30)
    clock.pass_(16)
    tally.end(StepReport(DAILY, (), 20.0, launched=True))
    assert tally.line() == "1/3 builders complete, ~2 minutes remaining"
    assert tally.seconds_left == pytest.approx(2 * 20 + 2 * 30)

    tally.begin(idle)
    tally.end(unlaunched(idle, ""))
    assert (tally.complete, tally.steps) == (1, 3)
    assert tally.seconds_left == pytest.approx(100)

    tally.begin(second)
    for id in range(1, 6):
        clock.pass_(1)
        tally.outcome(done(id, BARS))
    assert tally.seconds_left == pytest.approx(5 + 2 * 30)
    tally.end(StepReport(BARS, (), 20.0, launched=True))
    tally.end(StepReport(V2, (), 30.0, launched=True))
    assert tally.line() == "3/3 builders complete"
    assert tally.seconds_left == 0


def test_tally_of_a_step() -> None:
    """Of a step at work, the assets that ended, its rows and its three latest assets are known."""
    tally = Tally(Plan((step(DAILY, 5),), 5), 1, Clock())
    assert tally.outcome(done(1)) is None
    tally.begin(step(DAILY, 5))
    for id in range(1, 5):
        at_work = tally.outcome(done(id, rows=10))
    assert at_work is not None
    assert (at_work.ended, at_work.rows, at_work.latest) == (4, 40, [2, 3, 4])
    assert tally.outcome(skipped(5, DAILY)) is None
    assert tally.outcome(done(5, BARS)) is None
    assert at_work.ended == 4


def test_forced_colours_are_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe into which colours are forced still gets plain lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = progress(make_console(), make_console(error=True), Tally(Plan((), 0), 1), quiet=False)
    assert capsys.readouterr() == ("", "")
    assert type(shown) is Lines
