"""What a terminal or a pipe shows of plans, of a run while it goes on, and of what it came to."""

from __future__ import annotations

import os
import pty
import re
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from refresh.catalog import BUILDERS, by_key
from refresh.faces.console import Progress, make_console, show_idle, show_plan, show_report
from refresh.options import Command, Request, builder_arguments, parse
from refresh.outcome import Outcome, Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import RunReport, StepReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresh.catalog import BuilderConfig

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
PROGRAM = ["python", "-m", "refresh.builder"]
ODD = "it [red]failed[/red] [/] [link=x]at[/link] :x: fe80:a:b:100::1 100 % {0} \\[bold]"
"""Text that terminals' markup and emoji names could be mistaken in."""


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that went to stdout since it was last asked; nothing may have gone to stderr."""

    def lines() -> list[str]:
        out, err = capsys.readouterr()
        assert err == ""
        return [line.rstrip() for line in out.splitlines()]

    return lines


def step(builder: BuilderConfig, *tasks: Task, skipped: tuple[Task, ...] = ()) -> Step:
    """A step as a plan holds it."""
    return Step(builder, tasks, skipped, tuple(builder_arguments(builder, Request(), [task.id for task in tasks])))


def plan_lines(shown: Callable[[], list[str]], *steps: Step) -> list[str]:
    """What a dry run shows of a plan."""
    show_plan(make_console(), Plan(steps, 3), PROGRAM)
    return shown()


def test_plan(shown: Callable[[], list[str]]) -> None:
    """Each step shows its command, its assets and why, each left-out asset too, and that nothing was written."""
    first = step(DAILY, Task(1, "append 1 day"), Task(52, "append 1 day"), Task(825, "build 9 days: not built yet"))
    second = step(EMAS, Task(1, "follows 1d bars"), skipped=(Task(52, "bars pending"),))
    assert plan_lines(shown, first, second, Step(BARS, (), (), ())) == [
        "1. 1d bars: 3 assets",
        "   python -m refresh.builder bars.1d --ids 1,52,825",
        "   append 1 day: id 1, 52",
        "   build 9 days: not built yet: id 825",
        "2. multi_tf EMAs: 1 asset",
        "   python -m refresh.builder emas.multi_tf --ids 1",
        "   follows 1d bars: id 1",
        "   skipping ID 52 (bars pending)",
        "3. multi_tf bars: up to date",
        "Dry run: nothing was written.",
    ]


def test_plan_commands_can_be_typed(shown: Callable[[], list[str]]) -> None:
    """A command that is shown means the same when a shell reads it."""
    request = Request(tfs=("7d", "it's odd"), full_rebuild=True)
    arguments = tuple(builder_arguments(BARS, request, [1]))
    lines = plan_lines(shown, Step(BARS, (Task(1, "asked"),), (), arguments))
    words = shlex.split(lines[1])
    assert words[:3] == PROGRAM
    assert parse(Command.BUILDER, words[3:]) == Request(builder=BARS.key, ids=(1,), tfs=request.tfs, full_rebuild=True)


def test_plan_with_many_assets(shown: Callable[[], list[str]]) -> None:
    """Of many assets the first are named and the rest is counted."""
    lines = plan_lines(shown, step(DAILY, *(Task(asset, "append 1 day") for asset in range(1, 5001))))
    assert lines[0] == "1. 1d bars: 5,000 assets"
    assert lines[2] == "   append 1 day: id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 4988 more"


def test_commonest_reason_comes_first(shown: Callable[[], list[str]]) -> None:
    """Reasons stand in the order of how many assets they move."""
    tasks = [Task(1, "b"), Task(2, "c"), Task(3, "a"), Task(4, "c")]
    assert plan_lines(shown, step(DAILY, *tasks))[2:5] == ["   c: id 2, 4", "   a: id 3", "   b: id 1"]


def test_notices(shown: Callable[[], list[str]]) -> None:
    """What is left as it is stands in every kind of answer."""
    notices = ("gone from the source, bars kept: id 7",)
    show_plan(make_console(), Plan((step(DAILY),), 1, notices), PROGRAM)
    show_idle(make_console(), Plan((), 1, notices), 12)
    show_report(make_console(), RunReport((), 1, 1.0, notices))
    assert shown().count(notices[0]) == 3


def test_nothing_to_do(shown: Callable[[], list[str]]) -> None:
    """A run with nothing to do says how much it looked at."""
    show_idle(make_console(), Plan((), 1), 1)
    show_idle(make_console(), Plan((), 5000), 12)
    assert shown() == [
        "Nothing to do: 1 asset up to date in 1 table.",
        "Nothing to do: 5,000 assets up to date in 12 tables.",
    ]


# While it runs


def watch(*outcomes: Outcome, quiet: bool = False, seconds: float = 3.21) -> None:
    """A step of the daily bars from its beginning to its end."""
    progress = Progress(make_console(), quiet=quiet)
    progress.begin(step(DAILY, *(Task(outcome.id, "append 1 day") for outcome in outcomes)), 1, 6)
    for outcome in outcomes:
        progress.outcome(outcome)
    progress.end(StepReport(DAILY, outcomes, seconds, launched=True))


def done(asset: int, rows: int = 1000, builder: BuilderConfig = DAILY, **notes: int) -> Outcome:
    """An asset that ended well."""
    return Outcome(builder.key, asset, Status.DONE, rows, 1.0, "append 1 day", notes=notes)


def failed(asset: int, error: str = "out of range", builder: BuilderConfig = DAILY) -> Outcome:
    """An asset that failed."""
    return Outcome(builder.key, asset, Status.FAILED, error=error)


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """A step says that it begins and what it wrote; what went wrong goes to stderr, one line an asset."""
    watch(done(1), done(52), failed(825))
    out, err = capsys.readouterr()
    assert out.splitlines() == ["[1/6] 1d bars: 3 assets ...", "      2,000 rows written (3.2s)"]
    assert err.splitlines() == ["ID 825 bars.1d: failed: out of range"]


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet leaves out everything but what went wrong."""
    watch(done(1), failed(825), quiet=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["ID 825 bars.1d: failed: out of range"]


def test_skipped_assets(capsys: pytest.CaptureFixture[str]) -> None:
    """Assets that were left out are told by what they miss, and why."""
    progress = Progress(make_console(), quiet=True)
    progress.outcome(Outcome(EMAS.key, 825, Status.SKIPPED, reason="bars failed"))
    progress.outcome(Outcome(BARS.key, 825, Status.SKIPPED, reason="1d bars failed"))
    assert capsys.readouterr().err.splitlines() == [
        "Skipping ID 825 EMAs (bars failed)",
        "Skipping ID 825 multi_tf bars (1d bars failed)",
    ]


def test_assets_that_were_not_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """However many they are, what became of their builder is said."""
    error = "the builder was ended by SIGKILL without reporting this asset"
    watch(*(Outcome(DAILY.key, asset, Status.NOT_REACHED, error=error) for asset in range(1, 101)), quiet=True)
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("ID 1") and error in line for line in lines[:1])
    assert "bars.1d" in lines[0]
    assert "not reached" in lines[0]


def test_idle_step_is_silent(shown: Callable[[], list[str]]) -> None:
    """A step with nothing to do says nothing while it runs."""
    progress = Progress(make_console(), quiet=False)
    progress.begin(step(DAILY), 1, 6)
    progress.end(StepReport(DAILY, (), 0.0, launched=False))
    assert shown() == []


# What it came to


def report_lines(
    shown: Callable[[], list[str]], *steps: StepReport, assets: int = 3, seconds: float = 4.5
) -> list[str]:
    """What is shown of a report."""
    show_report(make_console(), RunReport(steps, assets, seconds))
    return shown()


def test_summary(shown: Callable[[], list[str]]) -> None:
    """Each builder has its assets, rows, seconds and how they ended; the last line says that all is done."""
    lines = report_lines(
        shown,
        StepReport(DAILY, (done(1), done(52, 234_567)), 23.04, launched=True),
        StepReport(BARS, (), 0.0, launched=False, idle_because="no timeframe selected"),
    )
    assert [line.split() for line in lines[1:4]] == [
        ["1d", "bars", "2", "235,567", "23.0", "2", "done"],
        ["multi_tf", "bars", "no", "timeframe", "selected"],
        ["total", "3", "235,567", "4.5"],
    ]
    assert lines[4:] == ["Done: 235,567 rows written in 4.5s."]


def test_summary_of_a_failure(shown: Callable[[], list[str]]) -> None:
    """An asset that did not end well counts once, in whatever builders and ways it did not."""
    skipped = Outcome(EMAS.key, 825, Status.SKIPPED, reason="bars failed")
    unreached = Outcome(EMAS.key, 52, Status.NOT_REACHED, error="killed")
    lines = report_lines(
        shown,
        StepReport(DAILY, (done(1), failed(825)), 1.0, launched=True),
        StepReport(EMAS, (done(1, builder=EMAS), unreached, skipped), 1.0, launched=True),
    )
    assert lines[1].endswith("1 done, 1 failed")
    assert lines[2].endswith("1 done, 1 not reached, 1 skipped")
    assert lines[-1] == "Not complete: 2 assets of 3 (id 52, 825) failed, were skipped or were not reached."


def test_summary_of_repairs_and_rejects(shown: Callable[[], list[str]]) -> None:
    """What was found in the source is added up over all assets."""
    outcomes = (done(1, repaired_high=1200, null_ohlc=1), done(52, null_ohlc=2))
    lines = report_lines(shown, StepReport(DAILY, outcomes, 1.0, launched=True))
    assert "found in the source: null_ohlc 3, repaired_high 1,200" in lines


def test_no_repairs(shown: Callable[[], list[str]]) -> None:
    """Where nothing was found nothing is said of it."""
    lines = report_lines(shown, StepReport(DAILY, (done(1),), 1.0, launched=True))
    assert not any("found" in line for line in lines)


# Odd text and odd terminals


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets, colons and signs of the database's words are words, in every place where they are shown."""
    console = make_console()
    show_plan(console, Plan((step(DAILY, Task(1, ODD), skipped=(Task(2, ODD),)),), 2, (ODD,)), PROGRAM)
    watch(failed(1, ODD), Outcome(DAILY.key, 2, Status.SKIPPED, reason=ODD))
    watch(Outcome(DAILY.key, 3, Status.NOT_REACHED, error=ODD))
    show_report(console, RunReport((StepReport(DAILY, (), 0.0, launched=False, idle_because=ODD),), 1, 1.0, (ODD,)))
    out, err = capsys.readouterr()
    assert out.count(ODD) == 5
    assert err.count(ODD) == 3


def test_long_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line in a pipe is one line, however long, so that it can be searched."""
    error = "word " * 100 + "end"
    watch(failed(1, error))
    assert capsys.readouterr().err.splitlines() == [f"ID 1 bars.1d: failed: {error}"]


def test_pipe_has_no_colours(shown: Callable[[], list[str]]) -> None:
    """A pipe gets no escape codes."""
    assert "\x1b" not in "".join(report_lines(shown, StepReport(DAILY, (done(1),), 1.0, launched=True)))


def test_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 40 columns shows every number and every name whole."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    steps = [StepReport(builder, (done(1, 12_345_678),), 1234.5, launched=True) for builder in BUILDERS]
    reading, writing = pty.openpty()
    with os.fdopen(writing, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        console = make_console()
        assert console.width == 40
        show_report(console, RunReport(tuple(steps[:2]), 1, 1234.5))
        terminal.flush()
        text = re.sub(r"\x1b\[[\d;]*m", "", os.read(reading, 1 << 16).decode())
    os.close(reading)
    assert text.count("12,345,678") == 2
    assert text.count("1234.5") >= 3
    assert "1d bars" in text
    assert "multi_tf bars" in text
