"""A run while it goes on, on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import terminals
from faces.events import BARS, CAL_US, DAILY, ODD, done, ended, failed, plan, step
from rich.console import Console

from refresh.faces.console import make_console
from refresh.faces.progress import Live
from refresh.faces.tally import Tally
from refresh.run.launch import unlaunched

pytestmark = pytest.mark.usefixtures("plain_terminal")


def on_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[Console], object]) -> str:
    """The output on a terminal without colours."""
    return terminals.on_terminal(monkeypatch, lambda: show(make_console()), LINES="40", NO_COLOR="1")


def screen(text: str) -> list[str]:
    """The lines on a terminal of unlimited height, after all cursor movements and erasures."""
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
    """Builders at work are shown with their latest assets; in the end only plain lines remain."""
    first, second = step(DAILY, 3, seconds=60), step(BARS, 3, seconds=480)
    states: list[str] = []

    def show(console: Console) -> None:
        tally = Tally(plan(first, second), 1)
        with Live(console, console, tally) as shown:
            shown.begin(first, 1, 2)
            for outcome in (done(1), done(2), failed(3, error=ODD)):
                shown.outcome(outcome)
            shown._display.refresh()
            shown.end(ended(DAILY, done(1), done(2)))
            states.append(tally.line())

    text = on_terminal(monkeypatch, show)
    assert states[0].startswith("1/2 builders complete, ~")
    assert "[1/2] 1d bars" in text
    assert "3/3 ID 1, 2, 3" in text
    assert re.search(r"builders .* 0/2 complete, ~\d+ \w+ remaining", text)
    assert screen(text) == [f"ID 3 bars.1d: failed: {ODD}", "1d bars: 490 rows written (3.2s)"]


def test_live_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders that run side by side have a line each."""
    steps = (step(BARS, 2, seconds=60), step(CAL_US, 4, seconds=60))

    def show(console: Console) -> None:
        with Live(console, console, Tally(plan(*steps), 2)) as shown:
            for position, planned in enumerate(steps, 1):
                shown.begin(planned, position, 2)
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
        with Live(console, console, Tally(plan(idle), 1)) as shown:
            shown.begin(idle, 1, 1)
            shown.end(unlaunched(idle, ""))

    assert screen(on_terminal(monkeypatch, show)) == []


def test_live_is_removed_when_the_run_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the terminal is as before, with its cursor."""

    def broken(console: Console) -> None:
        planned = step(DAILY, 3)
        with Live(console, console, Tally(plan(planned), 1)) as shown:
            shown.begin(planned, 1, 1)
            raise KeyboardInterrupt

    def show(console: Console) -> None:
        with pytest.raises(KeyboardInterrupt):
            broken(console)

    text = on_terminal(monkeypatch, show)
    assert screen(text) == []
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0
