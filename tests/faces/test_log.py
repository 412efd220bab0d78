"""The log: which file, which lines, what is removed, and what happens where nothing can be written."""

from __future__ import annotations

import logging
import re
import signal
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.catalog import by_key
from refresh.records_story import Restated
from refresh.faces import words
from refresh.faces.log import Log, open_log
from refresh.records import Outcome, Status
from refresh.run.launch import unlaunched
from refresh.run.plan import Step, Task
from refresh.run.report import StepReport
from refresh.run.summary import StepSummary, Summary, Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

DAILY = by_key("bars.1d")
STARTED = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
STEP = Step(DAILY, (Task(1, "append 1 day", rows=2), Task(52, "append 1 day", rows=1)), (), (), estimated_seconds=0.66)
SUMMARY = Summary("r1", "run", STARTED, 4.56789, 0, 2, 1, (StepSummary("bars.1d", "1d bars", 3, 1.0, {"done": 2}, ""),))
PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"=]+))(?: |$)')


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is nine hours ahead, so that the run starts on the second of March."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def unwatched(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger as a program finds it, without the handlers that watch the tests."""
    logger = logging.getLogger("refresh.faces.log")
    monkeypatch.setattr(logger, "handlers", [])
    return logger


def unescaped(sign: re.Match[str]) -> str:
    """The character that an escape stands for."""
    if len(sign[1]) > 1:
        return chr(int(sign[1][1:], 16))
    return {"n": "\n"}.get(sign[1], sign[1])


def parsed(text: str) -> dict[str, str]:
    """The values of a line, told from their quotes."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        pair = PAIR.match(text, place)
        assert pair, text[place:]
        name, quoted, bare = pair.groups()
        found[name] = bare or re.sub(r"\\(u[0-9a-f]{4}|.)", unescaped, quoted, flags=re.DOTALL)
        place = pair.end()
    return found


def lines(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The level and the values of each line of a log."""
    found = []
    for line in path.read_bytes().decode().removesuffix("\n").split("\n"):
        at, level, values = line.split(" ", 2)
        assert datetime.strptime(at, "%Y-%m-%dT%H:%M:%S%z").utcoffset() == timedelta(hours=9)
        found.append((level, parsed(values)))
    return found


def last(folder: Path) -> tuple[str, dict[str, str]]:
    """The last line of the only log of a folder."""
    (path,) = folder.iterdir()
    return lines(path)[-1]


# The file


def test_file_of_the_day(tmp_path: Path) -> None:
    """The file has the local date on which the run started, and its folder is made."""
    folder = tmp_path / "logs" / "of" / "refresh"
    with open_log(folder, STARTED):
        Log("r1").event("start")
    with open_log(folder, STARTED - timedelta(hours=9)):
        Log("r0").event("start")
    assert sorted(path.name for path in folder.iterdir()) == ["refresh-2026-03-01.log", "refresh-2026-03-02.log"]


def test_runs_of_one_day(tmp_path: Path) -> None:
    """Runs of one day follow each other in one file, each with its name."""
    for run in ("r1", "r2"):
        with open_log(tmp_path, STARTED):
            Log(run).event("start")
            Log(run).event("finish")
    (path,) = tmp_path.iterdir()
    told = [(values["run"], values["event"]) for _, values in lines(path)]
    assert told == [("r1", "start"), ("r1", "finish"), ("r2", "start"), ("r2", "finish")]


def test_lines_are_there_at_once(tmp_path: Path) -> None:
    """A line can be read as soon as it is written."""
    with open_log(tmp_path, STARTED):
        Log("r1").event("start")
        assert last(tmp_path)[1]["event"] == "start"


def test_the_log_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the run, the logger is as it was."""
    logger = unwatched(monkeypatch)
    with open_log(tmp_path, STARTED):
        assert len(logger.handlers) == 1
    assert logger.handlers == []


# Its lines


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
    """A value stands in quotes where it could be mistaken for something else."""
    with open_log(tmp_path, STARTED):
        Log("r1").event("words", line=value)
    (path,) = tmp_path.iterdir()
    assert path.read_text(encoding="utf-8").endswith(f" INFO event=words run=r1 line={text}\n")
    assert last(tmp_path) == ("INFO", {"event": "words", "run": "r1", "line": str(value)})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_lines_can_be_read_back(texts: list[str]) -> None:
    """Whatever a value is, its line is one line from which it can be told."""
    with tempfile.TemporaryDirectory() as name:
        with open_log(Path(name), STARTED):
            for text in texts:
                Log("r1").event("words", line=text, after=text)
        (path,) = Path(name).iterdir()
        assert [(values["line"], values["after"]) for _, values in lines(path)] == [(text, text) for text in texts]


def test_text_that_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A character that no file can hold is described."""
    unwatched(monkeypatch)
    with open_log(tmp_path, STARTED):
        Log("r1").event("words", line="\udcff")
    assert r"\udcff" in last(tmp_path)[1]["line"]
    assert capsys.readouterr().err == ""


def test_words_of_a_builder(tmp_path: Path) -> None:
    """What a builder says stands with the builder's name."""
    with open_log(tmp_path, STARTED):
        Log("r1").words(STEP, 'Traceback: "x" = 1')
    expected = {"event": "words", "run": "r1", "builder": "bars.1d", "line": 'Traceback: "x" = 1'}
    assert last(tmp_path) == ("INFO", expected)


def test_steps(tmp_path: Path) -> None:
    """A step begins with what is expected of it and ends with what it did; an idle one is not told of."""
    outcomes = (
        Outcome("bars.1d", 1, Status.DONE, 2),
        Outcome("bars.1d", 52, Status.NOT_REACHED, error="killed"),
        Outcome("bars.1d", 7, Status.DONE, 1),
    )
    idle = Step(DAILY, (), (), ())
    with open_log(tmp_path, STARTED):
        log = Log("r1")
        log.begin(STEP, 1, 10)
        log.end(StepReport(DAILY, outcomes, 1.23456, launched=True))
        log.begin(idle, 2, 10)
        log.end(unlaunched(idle, ""))
    (path,) = tmp_path.iterdir()
    begun = {"place": "1/10", "assets": "2", "estimated_rows": "3", "estimated_seconds": "0.7"}
    ended = {"rows": "3", "seconds": "1.235", "done": "2", "not_reached": "1"}
    assert lines(path) == [
        ("INFO", {"event": "begin", "run": "r1", "builder": "bars.1d", **begun}),
        ("INFO", {"event": "end", "run": "r1", "builder": "bars.1d", **ended}),
    ]


@pytest.mark.parametrize(
    ("outcome", "level", "values"),
    [
        (
            Outcome("bars.1d", 1, Status.DONE, 245, 3.2, "append 1 day", None, {"null_ohlc": 2, "missing_days": 1}, 1),
            "INFO",
            {"status": "done", "rows": "245", "seconds": "3.2", "retries": "1", "reason": "append 1 day"}
            | {"null_ohlc": "2", "missing_days": "1"},
        ),
        (
            Outcome("bars.1d", 1, Status.FAILED, error="out of range\nat 3"),
            "ERROR",
            {"status": "failed", "rows": "0", "seconds": "0.0", "retries": "0", "reason": ""}
            | {"error": "out of range\nat 3"},
        ),
        (
            Outcome("bars.1d", 1, Status.NOT_REACHED, reason="append 1 day", error="killed"),
            "ERROR",
            {"status": "not reached", "rows": "0", "seconds": "0.0", "retries": "0", "reason": "append 1 day"}
            | {"error": "killed"},
        ),
        (
            Outcome("bars.1d", 1, Status.SKIPPED, reason="stale"),
            "WARNING",
            {"status": "skipped", "rows": "0", "seconds": "0.0", "retries": "0", "reason": "stale"},
        ),
    ],
    ids=["done", "failed", "not reached", "skipped"],
)
def test_outcomes(tmp_path: Path, outcome: Outcome, level: str, values: dict[str, str]) -> None:
    """Each outcome is a line with all that is known of it, as loud as it is bad."""
    with open_log(tmp_path, STARTED):
        Log("r1").outcome(outcome)
    assert last(tmp_path) == (level, {"event": "outcome", "run": "r1", "builder": "bars.1d", "id": "1", **values})


def test_skipped_assets_have_the_sentence_of_the_console(tmp_path: Path) -> None:
    """Who is left out is told in the same words as on the console."""
    outcome = Outcome("emas.cal", 825, Status.SKIPPED, reason="bars failed")
    with open_log(tmp_path, STARTED):
        Log("r1").outcome(outcome)
    (path,) = tmp_path.iterdir()
    level, values = lines(path)[0]
    assert (level, values["builder"], values["line"]) == ("WARNING", "emas.cal", words.skipped(outcome))


def test_summary(tmp_path: Path) -> None:
    """The lines of the console stand in the log, and the numbers in one line more."""
    summary = Summary(
        "r1", "run", STARTED, 4.56789, 143, 2, 1, SUMMARY.steps,
        unfinished=(Unfinished("bars.1d", 52, Status.FAILED, "out of range"),),
        restated=(Restated(1, date(2026, 2, 1), date(2026, 2, 1), 1, 10.0, 11.0, "changed"),),
        bars=2, emas=1, stopped_by=int(signal.SIGTERM),
    )  # fmt: skip
    with open_log(tmp_path, STARTED):
        Log("r1").summary(summary)
    (path,) = tmp_path.iterdir()
    *told, finish = lines(path)
    assert [(level, values["event"], values["line"]) for level, values in told] == [
        ("INFO", "summary", line) for line in words.details(summary)
    ]
    numbers = {"exit_code": "143", "assets": "2", "rows": "3", "bars": "2", "emas": "1", "seconds": "4.568"}
    others = {"unfinished": "1", "restated": "1", "line": words.verdict(summary)}
    assert finish == ("ERROR", {"event": "finish", "run": "r1", **numbers, **others})


def test_summary_of_a_good_run(tmp_path: Path) -> None:
    """A run that ended well is no error."""
    with open_log(tmp_path, STARTED):
        Log("r1").summary(SUMMARY)
    level, values = last(tmp_path)
    assert (level, values["exit_code"], values["line"]) == ("INFO", "0", words.verdict(SUMMARY))


# What is removed


def made(folder: Path, *names: str) -> None:
    """Some files with a line each."""
    for name in names:
        (folder / name).write_text("mine\n", encoding="utf-8")


def test_old_files_are_removed(tmp_path: Path) -> None:
    """Files of more than thirty days ago go, whenever they were written; younger ones and those to come stay."""
    made(tmp_path, "refresh-1999-12-31.log", "refresh-2026-01-30.log", "refresh-2026-01-31.log")
    made(tmp_path, "refresh-2026-03-01.log", "refresh-2030-01-01.log")
    with open_log(tmp_path, STARTED):
        Log("r1").event("start")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "refresh-2026-01-31.log",
        "refresh-2026-03-01.log",
        "refresh-2026-03-02.log",
        "refresh-2030-01-01.log",
    ]


@pytest.mark.parametrize(("days", "kept"), [(0, ["2026-03-02"]), (1, ["2026-03-01", "2026-03-02"])])
def test_days_kept(tmp_path: Path, days: int, kept: list[str]) -> None:
    """How long files stay can be chosen; the file of the day always does."""
    made(tmp_path, "refresh-2026-02-28.log", "refresh-2026-03-01.log")
    with open_log(tmp_path, STARTED, days):
        Log("r1").event("start")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"refresh-{day}.log" for day in kept]


def test_files_of_others_stay(tmp_path: Path) -> None:
    """What is not named like a log of ours is not touched, however old."""
    names = (
        "refresh-1999-12-31.log.gz", "old-refresh-1999-12-31.log", "refresh-1999-12-31.txt", "refresh.log",
        "refresh-1999-1-1.log", "REFRESH-1999-12-31.log", "refresh-1999-12-31xlog", "notes.txt",
    )  # fmt: skip
    made(tmp_path, *names)
    with open_log(tmp_path, STARTED):
        Log("r1").event("start")
    assert {path.name for path in tmp_path.iterdir()} == {*names, "refresh-2026-03-02.log"}


def test_a_folder_of_a_name_like_ours_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be removed stays, and nobody is bothered."""
    (tmp_path / "refresh-1999-12-31.log").mkdir()
    with open_log(tmp_path, STARTED):
        Log("r1").event("start")
    assert (tmp_path / "refresh-1999-12-31.log").is_dir()
    assert capsys.readouterr() == ("", "")


# Where nothing can be written


def events() -> None:
    """Some events of a run, quiet and loud."""
    log = Log("r1")
    log.begin(STEP, 1, 1)
    log.outcome(Outcome("bars.1d", 1, Status.DONE, 2))
    log.words(STEP, "hello")


def loud_events() -> None:
    """Some events of a run that did not go well."""
    log = Log("r1")
    log.outcome(Outcome("bars.1d", 1, Status.SKIPPED, reason="stale"))
    log.outcome(Outcome("bars.1d", 52, Status.FAILED, error="out of range"))
    log.event("error", logging.CRITICAL, line="gone")


def test_folder_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be made is said once, and the run goes on."""
    unwatched(monkeypatch)
    made(tmp_path, "file")
    with open_log(tmp_path / "file" / "logs", STARTED):
        events()
        loud_events()
    path = tmp_path / "file" / "logs" / "refresh-2026-03-02.log"
    assert capsys.readouterr() == ("", f"the log {path} is incomplete: Not a directory\n")


def test_file_that_cannot_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be opened is said once, and old files are removed all the same."""
    unwatched(monkeypatch)
    made(tmp_path, "refresh-1999-12-31.log")
    path = tmp_path / "refresh-2026-03-02.log"
    path.mkdir()
    with open_log(tmp_path, STARTED):
        events()
        loud_events()
    assert capsys.readouterr() == ("", f"the log {path} is incomplete: Is a directory\n")
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that is full is said once, and the run goes on."""
    path = tmp_path / "refresh-2026-03-02.log"
    path.symlink_to("/dev/full")
    with open_log(tmp_path, STARTED):
        events()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"the log {path} is incomplete: ")
    assert "No space left on device" in err
    assert err.count("\n") == 1


def test_the_next_run_tries_again(tmp_path: Path) -> None:
    """A log that could not be written once is written when there is room."""
    path = tmp_path / "refresh-2026-03-02.log"
    path.symlink_to("/dev/full")
    with open_log(tmp_path, STARTED):
        events()
    path.unlink()
    with open_log(tmp_path, STARTED):
        events()
    assert [values["event"] for _, values in lines(path)] == ["begin", "outcome", "words"]


def test_loud_events_on_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full is said once, also of a run that does not go well."""
    unwatched(monkeypatch)
    (tmp_path / "refresh-2026-03-02.log").symlink_to("/dev/full")
    with open_log(tmp_path, STARTED):
        events()
        loud_events()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("end", ["\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_ends_of_lines(tmp_path: Path, end: str) -> None:
    """However a line of a builder ends, its event is one line to every reader."""
    with open_log(tmp_path, STARTED):
        Log("r1").words(STEP, f"10 %{end}20 %")
    (path,) = tmp_path.iterdir()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_removal_goes_on(tmp_path: Path) -> None:
    """What cannot be removed keeps nothing else from being removed."""
    for day in range(1, 29):
        (tmp_path / f"refresh-1999-01-{day:02}.log").mkdir()
    made(tmp_path, *(f"refresh-1999-02-{day:02}.log" for day in range(1, 29)))
    with open_log(tmp_path, STARTED):
        Log("r1").event("start")
    assert not list(tmp_path.glob("refresh-1999-02-*.log"))
