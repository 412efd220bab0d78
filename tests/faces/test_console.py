"""What a terminal or a pipe shows of plans, of one asset, and of what a run came to."""

from __future__ import annotations

import re
import shlex
import signal
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from terminals import on_terminal

from refresh.catalog import BUILDERS, by_key
from refresh.due.standing import Failure, Standing, TableStanding
from refresh.records_story import Restated
from refresh.faces.console import make_console, show_plan, show_standing, show_summary
from refresh.options.request import Command, Request, builder_arguments, parse
from refresh.records import Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.summary import StepSummary, Summary, Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresh.catalog import BuilderConfig

DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
PROGRAM = ["python", "-m", "refresh.builder"]
RESUME = "python run_daily_refresh.py --all --resume"
ODD = "it [red]failed[/red] [/] [link=x]at[/link] :x: :smile: fe80:a:b:100::1 100 % {0} \\[bold]"
"""Text that terminals' markup and emoji names could be mistaken in."""
FIRST = StepSummary("bars.1d", "1d bars", 235_567, 23.04, {"done": 2}, "")
UNSELECTED = StepSummary("bars.multi_tf", "multi_tf bars", 0, 0.0, {}, "no timeframe selected")
DONE = Summary("r1", "run", datetime(2026, 3, 2, 4, tzinfo=UTC), 24.5, 0, 2, 12, (FIRST, UNSELECTED), bars=235_567)


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shell of the tests wishes for colours and terminals does not count."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that went to stdout since it was last asked; nothing may have gone to stderr."""

    def lines() -> list[str]:
        out, err = capsys.readouterr()
        assert err == ""
        return [line.rstrip() for line in out.splitlines()]

    return lines


def plain(text: str) -> str:
    """Text of a terminal without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n")


def step(builder: BuilderConfig, *tasks: Task, skipped: tuple[Task, ...] = (), seconds: float = 0.6) -> Step:
    """A step as a plan holds it."""
    arguments = tuple(builder_arguments(builder, Request(), [task.id for task in tasks]))
    return Step(builder, tasks, skipped, arguments, estimated_seconds=seconds)


def plan_lines(shown: Callable[[], list[str]], *steps: Step) -> list[str]:
    """What a dry run shows of a plan."""
    show_plan(make_console(), Plan(steps, 3), PROGRAM)
    return shown()


# The plan


def test_plan(shown: Callable[[], list[str]]) -> None:
    """Each step shows what it is expected to take, its command, its assets and why, and who is left out."""
    first = step(
        DAILY,
        Task(1, "append 1 day", rows=1),
        Task(52, "append 1 day", rows=1),
        Task(825, "build 3,456 days: not built yet", rows=3456),
    )
    second = step(EMAS, Task(1, "follows 1d bars", rows=1200), skipped=(Task(52, "bars pending"),), seconds=479.4)
    assert plan_lines(shown, first, second, Step(BARS, (), (), ())) == [
        "1. 1d bars: 3 assets, about 3,500 rows in 1 s",
        "   python -m refresh.builder bars.1d --ids 1,52,825",
        "   append 1 day: id 1, 52",
        "   build 3,456 days: not built yet: id 825",
        "2. multi_tf EMAs: 1 asset, about 1,200 rows in 8 minutes",
        "   python -m refresh.builder emas.multi_tf --ids 1",
        "   follows 1d bars: id 1",
        "   skipping ID 52 (bars pending)",
        "3. multi_tf bars: up to date",
        "In all about 4,700 rows in 8 minutes.",
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
    lines = plan_lines(shown, step(DAILY, *(Task(asset, "append 1 day", rows=1) for asset in range(1, 5001))))
    assert lines[0] == "1. 1d bars: 5,000 assets, about 5,000 rows in 1 s"
    assert lines[2] == "   append 1 day: id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 4,988 more"


def test_commonest_reason_comes_first(shown: Callable[[], list[str]]) -> None:
    """Reasons stand in the order of how many assets they move."""
    tasks = [Task(1, "b"), Task(2, "c"), Task(3, "a"), Task(4, "c")]
    assert plan_lines(shown, step(DAILY, *tasks))[2:5] == ["   c: id 2, 4", "   a: id 3", "   b: id 1"]


def test_plan_with_nothing_to_do(shown: Callable[[], list[str]]) -> None:
    """An idle plan expects nothing."""
    unselected = Step(BARS, (), (), (), idle_because="no timeframe selected")
    assert plan_lines(shown, Step(DAILY, (), (), ()), unselected) == [
        "1. 1d bars: up to date",
        "2. multi_tf bars: no timeframe selected",
        "Dry run: nothing was written.",
    ]


def test_notices(shown: Callable[[], list[str]]) -> None:
    """What is left as it is stands in every kind of answer."""
    notice = "gone from the source, bars kept: id 7"
    show_plan(make_console(), Plan((step(DAILY),), 1, (notice,)), PROGRAM)
    show_summary(make_console(), replace(DONE, notices=(notice,)))
    show_summary(make_console(), replace(DONE, steps=(UNSELECTED,), notices=(notice,)))
    show_standing(make_console(), standing(), Plan((), 1, (notice,)))
    assert shown().count(notice) == 4


# What it came to


def summary_lines(shown: Callable[[], list[str]], **changes: Any) -> list[str]:
    """What is shown of a run that wrote 235,567 daily bars, but for some changes."""
    show_summary(make_console(), replace(DONE, **changes))
    return shown()


def test_summary(shown: Callable[[], list[str]]) -> None:
    """Each builder has its assets, rows, seconds and how they ended; the last line says that all is done."""
    assert summary_lines(shown) == [
        "builder        assets     rows  seconds  result",
        "1d bars             2  235,567     23.0  2 done",
        "multi_tf bars                            no timeframe selected",
        "total               2  235,567     24.5",
        "written: 235,567 bars, 0 EMAs",
        "Done: 235,567 rows written in 24.5s.",
    ]


def test_summary_of_a_failure(shown: Callable[[], list[str]]) -> None:
    """Details stand below the table, and what to type next comes last."""
    not_complete = "Not complete: 2 of 3 assets (ID 52, 825) failed, skipped or not reached"
    emas = StepSummary("emas.multi_tf", "multi_tf EMAs", 0, 1.0, {"done": 1, "not reached": 1, "skipped": 1}, "")
    lines = summary_lines(
        shown,
        exit_code=1,
        assets=3,
        steps=(replace(FIRST, counts={"done": 2, "failed": 1}), emas),
        unfinished=(
            Unfinished("bars.1d", 825, Status.FAILED, "out of range", datetime(2026, 2, 27, tzinfo=UTC)),
            Unfinished("emas.multi_tf", 52, Status.NOT_REACHED, "killed"),
            Unfinished("emas.multi_tf", 825, Status.SKIPPED, "bars failed"),
        ),
        recovered=(("bars.1d", 1),),
        restated=(Restated(1, date(2026, 2, 1), date(2026, 2, 1), 1, 10.0, 11.0, "1 row changed"),),
        notes={"null_ohlc": 3, "repaired_high": 1200, "missing_days": 1},
        remaining_seconds=480.0,
        next_command=RESUME,
    )
    assert [line.split() for line in lines[1:4]] == [
        ["1d", "bars", "3", "235,567", "23.0", "2", "done,", "1", "failed"],
        ["multi_tf", "EMAs", "3", "0", "1.0", "1", "done,", "1", "not", "reached,", "1", "skipped"],
        ["total", "3", "235,567", "24.5"],
    ]
    assert lines[4:] == [
        "written: 235,567 bars, 0 EMAs",
        "gaps: 1 day without a bar",
        "repaired in the source: high 1,200",
        "refused from the source: null_ohlc 3",
        "failed: bars.1d, ID 825: out of range (still, since 2026-02-27)",
        "not reached: emas.multi_tf, ID 52: killed",
        "skipped: emas.multi_tf, ID 825: bars failed",
        "restated: ID 1, 2026-02-01, 1 row: 1 row changed",
        "recovered: bars.1d, ID 1",
        f"{not_complete}; 8 minutes of work left. Next: {RESUME}",
    ]


def test_nothing_to_do(shown: Callable[[], list[str]]) -> None:
    """A run with nothing to do says in one line how much it looked at."""
    assert summary_lines(shown, steps=(UNSELECTED,), bars=0) == ["Nothing to do: 2 assets up to date in 12 tables."]


def test_summary_of_a_stopped_run(shown: Callable[[], list[str]]) -> None:
    """A run that was stopped shows the table of what it did and how to go on."""
    unreached = Unfinished("bars.1d", 52, Status.NOT_REACHED, "the run was stopped by SIGTERM")
    lines = summary_lines(
        shown,
        exit_code=143,
        steps=(replace(FIRST, counts={"done": 1, "not reached": 1}),),
        unfinished=(unreached,),
        remaining_seconds=40.0,
        next_command=RESUME,
        stopped_by=int(signal.SIGTERM),
    )
    assert lines[1].endswith("1 done, 1 not reached")
    assert lines[-1] == f"Stopped by SIGTERM after 24 s: 235,567 rows written; 40 s of work left. Next: {RESUME}"


# One asset


def standing(*tables: TableStanding, failures: tuple[Failure, ...] = (), **changes: Any) -> Standing:
    """Where asset 52 stands."""
    first, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, 59, 999_000, tzinfo=UTC)
    return replace(Standing(52, 3518, first, last, 0, tables, failures), **changes)


def table(builder: BuilderConfig, day: int | None, *, dirty: int | None = None, missing: int | None = None) -> Any:
    """A table that has come to a day of February 2026."""
    through = datetime(2026, 2, day, 23, 59, 59, 999_000, tzinfo=UTC) if day else None
    dirty_from = datetime(2026, 2, dirty, tzinfo=UTC) if dirty else None
    return TableStanding(builder.key, builder.legs[0].target, through, dirty_from, missing)


def test_standing(shown: Callable[[], list[str]]) -> None:
    """Each table says how far it has come and what a run would do; what failed last stands below."""
    plan = Plan(
        (step(DAILY, Task(52, "append 1 day")), step(EMAS, skipped=(Task(52, "bars failed"),)), Step(BARS, (), (), ())),
        1,
    )
    failure = Failure("bars.1d", datetime(2026, 3, 2, 4, 5, tzinfo=UTC), "r1", "out of range")
    tables = (table(DAILY, 28, missing=1234), table(EMAS, None), table(BARS, 26, dirty=3))
    show_standing(make_console(), standing(*tables, failures=(failure,), rejected=1000), plan)
    first, head, *rows, last = shown()
    assert first == "asset 52: 3,518 prices from 2024-01-01 to 2026-03-01, 1,000 of them refused"
    assert re.split(r"\s{2,}", head) == ["table", "through", "lag", "missing days", "a run would"]
    assert [re.split(r"\s{2,}", row) for row in rows] == [
        ["cmc_price_bars_1d", "2026-02-28", "1 day", "1,234", "append 1 day"],
        ["cmc_ema_multi_tf", "nothing", "skip it (bars failed)"],
        ["cmc_price_bars_multi_tf", "2026-02-26", "3 days", "revise from 2026-02-03"],
    ]
    assert last == "bars.1d, 2026-03-02 04:05 UTC: out of range"


def test_standing_of_what_is_current(shown: Callable[[], list[str]]) -> None:
    """A table that is not behind says why nothing would be done."""
    known = standing(table(DAILY, 28), last=datetime(2026, 2, 28, 23, 59, 59, 999_000, tzinfo=UTC))
    show_standing(make_console(), known, Plan((Step(DAILY, (), (), ()),), 1))
    assert re.split(r"\s{2,}", shown()[2]) == ["cmc_price_bars_1d", "2026-02-28", "none", "do nothing: up to date"]


def test_standing_without_prices(shown: Callable[[], list[str]]) -> None:
    """An asset of which the source knows nothing has no lag."""
    known = standing(table(DAILY, 28), rows=0, first=None, last=None)
    show_standing(make_console(), known, Plan((Step(DAILY, (), (), ()),), 1))
    lines = shown()
    assert lines[0] == "asset 52: no prices in the source"
    assert re.split(r"\s{2,}", lines[2]) == ["cmc_price_bars_1d", "2026-02-28", "do nothing: up to date"]


# Odd text and odd terminals


def test_text_is_shown_as_it_is(shown: Callable[[], list[str]]) -> None:
    """Brackets, colons and signs of the database's words are words, in every place where they are shown."""
    console = make_console()
    show_plan(console, Plan((step(DAILY, Task(1, ODD), skipped=(Task(2, ODD),)),), 2, (ODD,)), PROGRAM)
    assert sum(line.count(ODD) for line in shown()) == 3
    unfinished = (Unfinished("bars.1d", 1, Status.FAILED, ODD), Unfinished("emas.v2", 2, Status.SKIPPED, ODD))
    steps = (FIRST, replace(UNSELECTED, idle_because=ODD))
    show_summary(console, replace(DONE, steps=steps, unfinished=unfinished, notices=(ODD,), next_command=ODD))
    whole = " ".join(" ".join(shown()).split())
    assert whole.count(ODD) == 4 + 1
    failure = Failure("bars.1d", datetime(2026, 3, 2, tzinfo=UTC), "r1", ODD)
    show_standing(console, standing(failures=(failure,)), Plan((), 1, (ODD,)))
    assert sum(line.count(ODD) for line in shown()) == 2


def test_odd_text_in_the_table_of_an_asset(shown: Callable[[], list[str]]) -> None:
    """A reason is shown in full, in as many lines as it needs."""
    show_standing(make_console(), standing(table(DAILY, 28)), Plan((step(DAILY, Task(52, ODD)),), 1))
    assert "".join(ODD.split()) in "".join("".join(shown()[2:])[len("cmc_price_bars_1d  2026-02-28  1 day") :].split())


def test_long_lines_stay_lines(shown: Callable[[], list[str]]) -> None:
    """A line in a pipe is one line, however long, so that it can be searched."""
    error = "word " * 100 + "end"
    lines = summary_lines(shown, unfinished=(Unfinished("bars.1d", 1, Status.FAILED, error),), notices=(error,))
    assert f"failed: bars.1d, ID 1: {error}" in lines
    assert error in lines


def test_pipe_has_no_colours(shown: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets no escape codes and 120 columns, whatever the terminal of the shell is."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    assert make_console().width == 120
    assert "\x1b" not in "".join(summary_lines(shown))


def test_errors_have_a_console_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said to the error console goes to stderr."""
    make_console(error=True).print(ODD)
    assert capsys.readouterr() == ("", f"{ODD}\n")


def test_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows the head of the table in bold, and the same words as a pipe."""
    text = on_terminal(monkeypatch, lambda: show_summary(make_console(), DONE))
    assert "\x1b[1m" in text
    assert plain(text).splitlines()[-1] == "Done: 235,567 rows written in 24.5s."


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """``NO_COLOR`` keeps every colour from a terminal; bold is no colour."""
    text = on_terminal(monkeypatch, lambda: show_summary(make_console(), DONE), NO_COLOR="1")
    codes = {code for codes in re.findall(r"\x1b\[([\d;]*)m", text) for code in codes.split(";")}
    assert codes <= {"", "0", "1"}
    assert "Done: 235,567 rows written in 24.5s." in plain(text)


def test_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that understands no codes gets none."""
    text = on_terminal(monkeypatch, lambda: show_summary(make_console(), DONE), TERM="dumb")
    assert "\x1b" not in text


@pytest.mark.parametrize("columns", [20, 40, 59])
def test_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """A narrow terminal shows every number and every name whole."""
    steps = tuple(
        StepSummary(one.key, one.title, 12_345_678, 1234.5, {"done": 1, "not reached": 1}, "") for one in BUILDERS
    )
    summary = replace(DONE, steps=steps, seconds=1234.5)
    text = plain(on_terminal(monkeypatch, lambda: show_summary(make_console(), summary), COLUMNS=str(columns)))
    assert text.count("12,345,678") == len(BUILDERS)
    assert text.count("1234.5") == len(BUILDERS) + 2
    assert all(one.title in text for one in BUILDERS)


def test_narrow_terminal_keeps_texts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is longer than the terminal is left to the terminal to break."""
    lines = plain(
        on_terminal(monkeypatch, lambda: show_plan(make_console(), Plan((), 1, (ODD,)), PROGRAM), COLUMNS="20")
    )
    assert lines.splitlines() == [ODD, "Dry run: nothing was written."]


def test_narrow_terminal_shows_all_of_an_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of an asset needs 120 columns and takes them."""
    known, plan = standing(*(table(one, 26) for one in BUILDERS)), Plan(tuple(step(one) for one in BUILDERS), 1)
    text = plain(on_terminal(monkeypatch, lambda: show_standing(make_console(), known, plan), COLUMNS="40"))
    assert all(re.search(rf"^{one.legs[0].target} +2026-02-26 +3 days", text, re.MULTILINE) for one in BUILDERS)


def test_a_step_that_skips_is_not_up_to_date(shown: Callable[[], list[str]]) -> None:
    """Where all assets are left out, the plan does not say that nothing is due."""
    assert "up to date" not in plan_lines(shown, step(EMAS, skipped=(Task(52, "bars pending"),)))[0]
