"""Consoles of terminals and pipes: their width and colours, and texts that look like markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from faces.reports import (
    DAILY,
    DONE,
    FIRST,
    ODD,
    PROGRAM,
    UNSELECTED,
    failure,
    plain,
    plan,
    standing,
    step,
    table,
    task,
    unfinished,
)
from terminals import on_terminal

from refresh.catalog import BUILDERS
from refresh.faces.console import make_console, show_plan, show_standing, show_summary
from refresh.records import Status

pytestmark = pytest.mark.usefixtures("plain_terminal")


def test_notices(shown: Callable[[], list[str]]) -> None:
    """Notices are part of every kind of output."""
    notice = "gone from the source, bars kept: id 7"
    show_plan(make_console(), plan(step(DAILY), notices=(notice,)), PROGRAM)
    show_summary(make_console(), replace(DONE, notices=(notice,)))
    show_summary(make_console(), replace(DONE, steps=(UNSELECTED,), notices=(notice,)))
    show_standing(make_console(), standing(), plan(notices=(notice,)))
    assert shown().count(notice) == 4


def test_text_is_shown_as_it_is(shown: Callable[[], list[str]]) -> None:
    """Brackets, colons and signs of messages are shown unchanged wherever they occur."""
    console = make_console()
    show_plan(console, plan(step(DAILY, task(1, ODD), skipped=(task(2, ODD),)), notices=(ODD,)), PROGRAM)
    assert sum(line.count(ODD) for line in shown()) == 3
    left = (unfinished("bars.1d", 1, Status.FAILED, ODD), unfinished("emas.v2", 2, Status.SKIPPED, ODD))
    steps = (FIRST, replace(UNSELECTED, idle_because=ODD))
    show_summary(console, replace(DONE, steps=steps, unfinished=left, notices=(ODD,), next_command=ODD))
    whole = " ".join(" ".join(shown()).split())
    assert whole.count(ODD) == 4 + 1
    show_standing(console, standing(failures=(failure(ODD),)), plan(notices=(ODD,)))
    assert sum(line.count(ODD) for line in shown()) == 2


def test_pipe_has_no_colours(shown: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets no escape codes and 120 columns, whatever the terminal of the shell is."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    assert make_console().width == 120
    show_summary(make_console(), DONE)
    assert "\x1b" not in "".join(shown())


def test_errors_have_a_console_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The error console prints to stderr."""
    make_console(error=True).print(ODD)
    assert capsys.readouterr() == ("", f"{ODD}\n")


def test_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows the heading of the table in bold, and the same words as a pipe."""
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
    """A narrow terminal shows every number and every name in full."""
    step = replace(FIRST, rows=12_345_678, seconds=1234.5, counts={"done": 1, "not reached": 1})
    steps = tuple(replace(step, builder=builder.key, title=builder.title) for builder in BUILDERS)
    summary = replace(DONE, steps=steps, seconds=1234.5)
    text = plain(on_terminal(monkeypatch, lambda: show_summary(make_console(), summary), COLUMNS=str(columns)))
    assert text.count("12,345,678") == len(BUILDERS)
    assert text.count("1234.5") == len(BUILDERS) + 2
    assert all(builder.title in text for builder in BUILDERS)


def test_narrow_terminal_keeps_texts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal itself breaks a line that is too long for it."""
    planned = plan(notices=(ODD,))
    text = on_terminal(monkeypatch, lambda: show_plan(make_console(), planned, PROGRAM), COLUMNS="20")
    assert plain(text).splitlines() == [ODD, "Dry run: nothing was written."]


def test_narrow_terminal_shows_all_of_an_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of an asset needs 120 columns and takes them."""
    state = standing(*(table(builder, 26) for builder in BUILDERS))
    planned = plan(*map(step, BUILDERS))
    text = plain(on_terminal(monkeypatch, lambda: show_standing(make_console(), state, planned), COLUMNS="40"))
    for builder in BUILDERS:
        assert re.search(rf"^{builder.legs[0].target} +2026-02-26 +3 days", text, re.MULTILINE)
