"""What the console shows of a plan."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest
from faces.reports import BARS, DAILY, EMAS, PROGRAM, idle, plan, step, task

from refresh.faces.console import make_console, show_plan
from refresh.options.arguments import builder_arguments
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import Request
from refresh.run.plan import Step

pytestmark = pytest.mark.usefixtures("plain_terminal")


def plan_lines(shown: Callable[[], list[str]], *steps: Step) -> list[str]:
    """The lines of a dry run."""
    show_plan(make_console(), plan(*steps), PROGRAM)
    return shown()


def test_plan(shown: Callable[[], list[str]]) -> None:
    """Each step shows its estimate, its command, its assets with their reasons, and what it skips."""
    first = step(
        DAILY,
        task(1, "append 1 day", rows=1),
        task(52, "append 1 day", rows=1),
        task(825, "build 3,456 days: not built yet", rows=3456),
    )
    second = step(EMAS, task(1, "follows 1d bars", rows=1200), skipped=(task(52, "bars pending"),), seconds=479.4)
    assert plan_lines(shown, first, second, idle(BARS)) == [
        "1. 1d bars: 3 assets, about 3,500 rows in 1 s",
        "   python -m refresh.builder bars.1d --ids 1,52,825",
        "   append 1 day: id 1, 52",
        "   build 3,456 days: not built yet: id 825",
        "2. multi_tf EMAs: 1 asset, about 1,200 rows in 8 minutes",
        "   python -m refresh.builder emas.multi_tf --ids 1",
        "   follows 1d bars: id 1",
        "   skipping ID 52 (bars pending)",
        "3. multi_tf bars: up to date",
        "In total: about 4,700 rows in 8 minutes.",
        "Dry run: nothing was written.",
    ]


def test_plan_commands_can_be_typed(shown: Callable[[], list[str]]) -> None:
    """A printed command means the same to a shell."""
    request = Request(tfs=("7d", "it's odd"), full_rebuild=True)
    arguments = tuple(builder_arguments(BARS, request, [1]))
    lines = plan_lines(shown, replace(step(BARS, task(1, "due")), arguments=arguments))
    words = shlex.split(lines[1])
    assert words[:3] == PROGRAM
    assert parse(Program.BUILDER, words[3:], {}) == Request(
        builder=BARS.key, ids=(1,), tfs=request.tfs, full_rebuild=True
    )


def test_plan_with_many_assets(shown: Callable[[], list[str]]) -> None:
    """The first of many assets are listed and the rest is counted."""
    tasks = (task(id, "append 1 day", rows=1) for id in range(1, 5001))
    lines = plan_lines(shown, step(DAILY, *tasks))
    assert lines[0] == "1. 1d bars: 5,000 assets, about 5,000 rows in 1 s"
    assert lines[2] == "   append 1 day: id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 4,988 more"


def test_most_common_reason_comes_first(shown: Callable[[], list[str]]) -> None:
    """Reasons are sorted by their number of assets."""
    tasks = [task(1, "b"), task(2, "c"), task(3, "a"), task(4, "c")]
    assert plan_lines(shown, step(DAILY, *tasks))[2:5] == ["   c: id 2, 4", "   a: id 3", "   b: id 1"]


def test_plan_with_nothing_to_do(shown: Callable[[], list[str]]) -> None:
    """An idle plan has no estimate."""
    assert plan_lines(shown, idle(DAILY), idle(BARS, "no timeframe selected")) == [
        "1. 1d bars: up to date",
        "2. multi_tf bars: no timeframe selected",
        "Dry run: nothing was written.",
    ]


def test_a_step_that_skips_is_not_up_to_date(shown: Callable[[], list[str]]) -> None:
    """A step that skips all of its assets is not called up to date."""
    assert "up to date" not in plan_lines(shown, step(EMAS, skipped=(task(52, "bars pending"),)))[0]
