"""The lines of the log: their values, quotes and levels."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from faces.logs import DAILY, STARTED, STEP, last, lines, open_log, outcome, unwatched
from hypothesis import given
from hypothesis import strategies as st

from refresh.faces import words
from refresh.faces.log import Log
from refresh.records import LedgerLine, Outcome, Status
from refresh.run.launch import unlaunched
from refresh.run.report import StepReport
from refresh.run.summary import StepSummary, Summary, Unfinished

DAY = date(2026, 2, 1)
SUMMARY = Summary(
    run_id="r1",
    command="run",
    started_at=STARTED,
    seconds=4.56789,
    exit_code=0,
    assets=2,
    tables=1,
    steps=(StepSummary(builder="bars.1d", title="1d bars", rows=3, seconds=1.0, counts={"done": 2}, idle_because=""),),
)
pytestmark = pytest.mark.usefixtures("tokyo")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("bars.1d", "bars.1d"),
        (3518, "3518"),
        (0.25, "0.25"),
        ("", '""'),
        ("append 1 day", '"append 1 day"'),
        ("a=b", '"a=b"'),
        ('say "so"', r'"say \"so\""'),
        ("C:\\new", "C:\\new"),
        ("C:\\new folder", r'"C:\\new folder"'),
        ("two\nlines", r'"two\nlines"'),
        ("Größe", "Größe"),
    ],
)
def test_quotes(tmp_path: Path, value: object, text: str) -> None:
    """A value is quoted if it could be mistaken for something else."""
    with open_log(tmp_path):
        Log("r1").event("words", line=value)
    (path,) = tmp_path.iterdir()
    assert path.read_text(encoding="utf-8").endswith(f" INFO event=words run=r1 line={text}\n")
    assert last(tmp_path) == ("INFO", {"event": "words", "run": "r1", "line": str(value)})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_lines_can_be_read_back(texts: list[str]) -> None:
    """Any value is part of one line, and can be read back from it."""
    with tempfile.TemporaryDirectory() as name:
        with open_log(Path(name)):
            for text in texts:
                Log("r1").event("words", line=text, after=text)
        (path,) = Path(name).iterdir()
        assert [(values["line"], values["after"]) for _, values in lines(path)] == [(text, text) for text in texts]


def test_invalid_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that no file can contain is escaped."""
    unwatched(monkeypatch)
    with open_log(tmp_path):
        Log("r1").event("words", line="\udcff")
    assert r"\udcff" in last(tmp_path)[1]["line"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("end", ["\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_ends_of_lines(tmp_path: Path, end: str) -> None:
    """Control characters in the output of a builder do not break the line of its event."""
    with open_log(tmp_path):
        Log("r1").words(STEP, f"10 %{end}20 %")
    (path,) = tmp_path.iterdir()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_output_of_a_builder(tmp_path: Path) -> None:
    """The output of a builder is logged with the builder's name."""
    with open_log(tmp_path):
        Log("r1").words(STEP, 'Traceback: "x" = 1')
    expected = {"event": "words", "run": "r1", "builder": "bars.1d", "line": 'Traceback: "x" = 1'}
    assert last(tmp_path) == ("INFO", expected)


def test_steps(tmp_path: Path) -> None:
    """A step begins with its estimate and ends with its results; an idle one has no line."""
    outcomes = (
        outcome(1, Status.DONE, rows=2),
        outcome(52, Status.NOT_REACHED, error="killed"),
        outcome(7, Status.DONE, rows=1),
    )
    idle = replace(STEP, tasks=())
    report = StepReport(builder=DAILY, outcomes=outcomes, seconds=1.23456, launched=True)
    with open_log(tmp_path):
        run = Log("r1")
        run.begin(STEP, 1, 10)
        run.end(report)
        run.begin(idle, 2, 10)
        run.end(unlaunched(idle, ""))
    (path,) = tmp_path.iterdir()
    begun = {"place": "1/10", "assets": "2", "estimated_rows": "3", "estimated_seconds": "0.7"}
    ended = {"rows": "3", "seconds": "1.235", "done": "2", "not_reached": "1"}
    assert lines(path) == [
        ("INFO", {"event": "begin", "run": "r1", "builder": "bars.1d", **begun}),
        ("INFO", {"event": "end", "run": "r1", "builder": "bars.1d", **ended}),
    ]


@pytest.mark.parametrize(
    ("ended", "level", "values"),
    [
        (
            outcome(
                1,
                Status.DONE,
                rows=245,
                seconds=3.2,
                reason="append 1 day",
                notes={"null_ohlc": 2, "missing_days": 1},
                retries=1,
            ),
            "INFO",
            {"status": "done", "rows": "245", "seconds": "3.2", "retries": "1", "reason": "append 1 day"}
            | {"null_ohlc": "2", "missing_days": "1"},
        ),
        (
            outcome(1, Status.FAILED, error="out of range\nat 3"),
            "ERROR",
            {"status": "failed", "rows": "0", "seconds": "0.0", "retries": "0", "reason": ""}
            | {"error": "out of range\nat 3"},
        ),
        (
            outcome(1, Status.NOT_REACHED, reason="append 1 day", error="killed"),
            "ERROR",
            {"status": "not reached", "rows": "0", "seconds": "0.0", "retries": "0", "reason": "append 1 day"}
            | {"error": "killed"},
        ),
        (
            outcome(1, Status.SKIPPED, reason="stale"),
            "WARNING",
            {"status": "skipped", "rows": "0", "seconds": "0.0", "retries": "0", "reason": "stale"},
        ),
    ],
    ids=["done", "failed", "not reached", "skipped"],
)
def test_outcomes(tmp_path: Path, ended: Outcome, level: str, values: dict[str, str]) -> None:
    """Each outcome is a line with all of its values, at the level of its severity."""
    with open_log(tmp_path):
        Log("r1").outcome(ended)
    assert last(tmp_path) == (level, {"event": "outcome", "run": "r1", "builder": "bars.1d", "id": "1", **values})


def test_skipped_assets_have_the_sentence_of_the_console(tmp_path: Path) -> None:
    """A skipped asset has the same sentence as on the console."""
    skipped = Outcome(builder="emas.cal", id=825, status=Status.SKIPPED, reason="bars failed")
    with open_log(tmp_path):
        Log("r1").outcome(skipped)
    (path,) = tmp_path.iterdir()
    level, values = lines(path)[0]
    assert (level, values["builder"], values["line"]) == ("WARNING", "emas.cal", words.skipped(skipped))


def test_summary(tmp_path: Path) -> None:
    """The log contains the lines of the console, and the numbers in one more line."""
    line = LedgerLine(id=1, first_day=DAY, last_day=DAY, rows=1, old_close=10.0, new_close=11.0, reason="changed")
    summary = replace(
        SUMMARY,
        exit_code=143,
        unfinished=(Unfinished(builder="bars.1d", id=52, status=Status.FAILED, why="out of range"),),
        restated=(line,),
        bars=2,
        emas=1,
        stopped_by=int(signal.SIGTERM),
    )
    with open_log(tmp_path):
        Log("r1").summary(summary)
    (path,) = tmp_path.iterdir()
    *details, finish = lines(path)
    assert [(level, values["event"], values["line"]) for level, values in details] == [
        ("INFO", "summary", line) for line in words.details(summary)
    ]
    numbers = {"exit_code": "143", "assets": "2", "rows": "3", "bars": "2", "emas": "1", "seconds": "4.568"}
    others = {"unfinished": "1", "restated": "1", "line": words.verdict(summary)}
    assert finish == ("ERROR", {"event": "finish", "run": "r1", **numbers, **others})


def test_summary_of_a_good_run(tmp_path: Path) -> None:
    """A run that ended well is no error."""
    with open_log(tmp_path):
        Log("r1").summary(SUMMARY)
    level, values = last(tmp_path)
    assert (level, values["exit_code"], values["line"]) == ("INFO", "0", words.verdict(SUMMARY))
