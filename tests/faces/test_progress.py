"""A run while it goes on: in a pipe and quietly, and which of the ways is chosen."""

from __future__ import annotations

import os
import pty
import re
from types import SimpleNamespace

import pytest
from faces.events import BARS, DAILY, ODD, Clock, done, ended, failed, plan, skipped, step, unreached, watch
from rich.console import Console

from refresh.catalog import BUILDERS
from refresh.faces.console import make_console
from refresh.faces.progress import MANY_ASSETS, Lines, Live, Quiet, progress
from refresh.faces.tally import Tally
from refresh.run.launch import unlaunched
from refresh.run.plan import Step

pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that decides when the next line is due."""
    clock = Clock()
    monkeypatch.setattr("refresh.faces.progress.time", SimpleNamespace(monotonic=clock))
    return clock


def lines(*steps: Step, jobs: int = 1) -> Lines:
    """Plain lines of a plan."""
    return Lines(make_console(), make_console(error=True), Tally(plan(*steps), jobs))


def choice(console: Console, *, quiet: bool = False) -> type[object]:
    """The way to show a run that is chosen for a console."""
    with progress(console, make_console(error=True), Tally(plan(), 1), quiet=quiet) as shown:
        return type(shown)


# Plain lines


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A step has a line at its beginning, a line for each asset, and a line with its rows and the state of the run."""
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
    """After each step the complete builders are counted; after the last one nothing remains."""
    steps = [step(builder, 1, seconds=60) for builder in BUILDERS]
    shown = lines(*steps)
    for planned in steps:
        watch(shown, planned, done(1, planned.builder), seconds=60)
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
        "Skipping ID 5 bars (stale) [bars.1d]",
        "ID 2, 3 bars.1d: not reached: the builder was killed",
        "ID 4 bars.1d: not reached: too late",
    ]


def test_steps_with_nothing_to_do_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that is not launched has no line and is not counted among the builders."""
    idle, planned = step(BARS, 0), step(DAILY, 1)
    shown = lines(planned, idle)
    shown.begin(idle, 2, 10)
    shown.end(unlaunched(idle, ""))
    assert capsys.readouterr() == ("", "")
    watch(shown, planned, done(1))
    assert capsys.readouterr().out.splitlines()[-1].endswith("1/1 builders complete")


def test_output_of_builders_is_for_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The output of a builder is not shown."""
    planned = step(DAILY, 1)
    for shown in (lines(planned), Quiet(make_console(error=True))):
        shown.words(planned, "hello")
    assert capsys.readouterr() == ("", "")


def processed(text: str) -> list[int]:
    """The assets with a line of their own."""
    return [int(id) for id in re.findall(r"Processing ID (\d+)\.\.\.", text)]


def test_thousands_of_assets(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """If there are many assets, there is one line a second."""
    planned = step(DAILY, 5000)
    shown = lines(planned)
    shown.begin(planned, 1, 10)
    for id in planned.ids:
        shown.outcome(done(id))
        clock.advance(1 / 1024)
    assert processed(capsys.readouterr().out) == [1, 1025, 2049, 3073, 4097]


def test_thousands_of_assets_at_once(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """Many assets that end at the same time have one line, and the sum is right."""
    planned = step(DAILY, 5000)
    watch(lines(planned), planned, *(done(id, rows=2) for id in planned.ids))
    out = capsys.readouterr().out
    assert clock.now == 1000.0
    assert processed(out) == [1]
    assert "10,000 rows written" in out


def test_every_failure_has_a_line(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """Every failed asset has a line, even if there are many."""
    planned = step(DAILY, 5000)
    watch(lines(planned), planned, done(1), *(failed(id) for id in planned.ids[1:]))
    assert len(capsys.readouterr().err.splitlines()) == 4999
    assert clock.now == 1000.0


@pytest.mark.parametrize(("assets", "number"), [(MANY_ASSETS - 1, MANY_ASSETS - 1), (MANY_ASSETS, 1)])
def test_few_and_many(capsys: pytest.CaptureFixture[str], clock: Clock, assets: int, number: int) -> None:
    """A few assets have a line each, however fast they end."""
    planned = step(DAILY, assets)
    watch(lines(planned), planned, *map(done, planned.ids))
    assert len(processed(capsys.readouterr().out)) == number
    assert clock.now == 1000.0


def test_long_and_odd_texts_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A long text is shown unchanged in one line."""
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
    """A quiet run prints nothing but what went wrong."""
    planned = step(DAILY, 3)
    shown = Quiet(make_console(error=True))
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
    """Many assets that were not reached share a line for each cause."""
    Quiet(make_console(error=True)).end(ended(DAILY, *map(unreached, range(1, 101))))
    assert capsys.readouterr().err.splitlines() == [
        "ID 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 88 more bars.1d: not reached: the builder was killed"
    ]


# The choice


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a live display and a pipe gets lines; on both a quiet run is quiet."""
    monkeypatch.setenv("TERM", "xterm-256color")
    reading, writing = pty.openpty()
    with os.fdopen(reading), os.fdopen(writing, "w") as screen:
        terminal, pipe = Console(file=screen), Console()
        assert choice(terminal) is Live
        assert choice(pipe) is Lines
        assert choice(terminal, quiet=True) is Quiet
        assert choice(pipe, quiet=True) is Quiet


def test_forced_colours_are_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe that is forced to have colours still gets plain lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert choice(make_console()) is Lines
    assert capsys.readouterr() == ("", "")
