"""The files of the log: their names, what is removed, and what happens if nothing can be written."""

from __future__ import annotations

import logging
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from faces.logs import STARTED, STEP, last, lines, open_log, outcome, unwatched
from other_users import as_root, ordinary_uid

from refresh.faces.log import Log
from refresh.records import Status

pytestmark = pytest.mark.usefixtures("tokyo")


def test_file_of_the_day(tmp_path: Path) -> None:
    """The file has the local date on which the run started, and its folder is created."""
    folder = tmp_path / "logs" / "of" / "refresh"
    with open_log(folder):
        Log("r1").event("start")
    with open_log(folder, STARTED - timedelta(hours=9)):
        Log("r0").event("start")
    assert sorted(path.name for path in folder.iterdir()) == ["refresh-2026-03-01.log", "refresh-2026-03-02.log"]


def test_runs_of_one_day(tmp_path: Path) -> None:
    """Runs of one day share a file, each with its name."""
    for run in ("r1", "r2"):
        with open_log(tmp_path):
            Log(run).event("start")
            Log(run).event("finish")
    (path,) = tmp_path.iterdir()
    events = [(values["run"], values["event"]) for _, values in lines(path)]
    assert events == [("r1", "start"), ("r1", "finish"), ("r2", "start"), ("r2", "finish")]


def test_lines_are_written_at_once(tmp_path: Path) -> None:
    """A line can be read immediately after its event."""
    with open_log(tmp_path):
        Log("r1").event("start")
        assert last(tmp_path)[1]["event"] == "start"


def test_the_log_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the run, the logger is as it was."""
    logger = unwatched(monkeypatch)
    with open_log(tmp_path):
        assert len(logger.handlers) == 1
    assert logger.handlers == []


def create(folder: Path, *names: str) -> None:
    """Create some files with a line each."""
    for name in names:
        (folder / name).write_text("mine\n", encoding="utf-8")


def test_old_files_are_removed(tmp_path: Path) -> None:
    """Files named by a day more than thirty days ago are removed; younger and future ones stay."""
    create(tmp_path, "refresh-1999-12-31.log", "refresh-2026-01-30.log", "refresh-2026-01-31.log")
    create(tmp_path, "refresh-2026-03-01.log", "refresh-2030-01-01.log")
    with open_log(tmp_path):
        Log("r1").event("start")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "refresh-2026-01-31.log",
        "refresh-2026-03-01.log",
        "refresh-2026-03-02.log",
        "refresh-2030-01-01.log",
    ]


@pytest.mark.parametrize(("days", "kept"), [(0, ["2026-03-02"]), (1, ["2026-03-01", "2026-03-02"])])
def test_days_kept(tmp_path: Path, days: int, kept: list[str]) -> None:
    """The number of days can be chosen; the file of the day always stays."""
    create(tmp_path, "refresh-2026-02-28.log", "refresh-2026-03-01.log")
    with open_log(tmp_path, days_kept=days):
        Log("r1").event("start")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"refresh-{day}.log" for day in kept]


def test_other_files_stay(tmp_path: Path) -> None:
    """Only files with the name of a log are removed."""
    names = (
        "refresh-1999-12-31.log.gz", "old-refresh-1999-12-31.log", "refresh-1999-12-31.txt", "refresh.log",
        "refresh-1999-1-1.log", "REFRESH-1999-12-31.log", "refresh-1999-12-31xlog", "notes.txt",
    )  # fmt: skip
    create(tmp_path, *names)
    with open_log(tmp_path):
        Log("r1").event("start")
    assert {path.name for path in tmp_path.iterdir()} == {*names, "refresh-2026-03-02.log"}


def test_folder_named_like_a_log_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with the name of a log stays, and nothing is reported."""
    (tmp_path / "refresh-1999-12-31.log").mkdir()
    with open_log(tmp_path):
        Log("r1").event("start")
    assert (tmp_path / "refresh-1999-12-31.log").is_dir()
    assert capsys.readouterr() == ("", "")


def events() -> None:
    """Some events of a good run."""
    run = Log("r1")
    run.begin(STEP, 1, 1)
    run.outcome(outcome(1, Status.DONE, rows=2))
    run.words(STEP, "hello")


def bad_events() -> None:
    """Some events of a bad run."""
    run = Log("r1")
    run.outcome(outcome(1, Status.SKIPPED, reason="stale"))
    run.outcome(outcome(52, Status.FAILED, error="out of range"))
    run.event("error", logging.CRITICAL, line="gone")


def test_folder_that_cannot_be_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be created is reported once, and the run goes on."""
    unwatched(monkeypatch)
    create(tmp_path, "file")
    with open_log(tmp_path / "file" / "logs"):
        events()
        bad_events()
    path = tmp_path / "file" / "logs" / "refresh-2026-03-02.log"
    assert capsys.readouterr() == ("", f"the log {path} is incomplete: Not a directory\n")


def test_file_that_cannot_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be opened is reported once, and old files are still removed."""
    unwatched(monkeypatch)
    create(tmp_path, "refresh-1999-12-31.log")
    path = tmp_path / "refresh-2026-03-02.log"
    path.mkdir()
    with open_log(tmp_path):
        events()
        bad_events()
    assert capsys.readouterr() == ("", f"the log {path} is incomplete: Is a directory\n")
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk is reported once, and the run goes on."""
    path = tmp_path / "refresh-2026-03-02.log"
    path.symlink_to("/dev/full")
    with open_log(tmp_path):
        events()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"the log {path} is incomplete: ")
    assert "No space left on device" in err
    assert err.count("\n") == 1


def test_the_next_run_tries_again(tmp_path: Path) -> None:
    """A log that could not be written is written by the next run."""
    path = tmp_path / "refresh-2026-03-02.log"
    path.symlink_to("/dev/full")
    with open_log(tmp_path):
        events()
    path.unlink()
    with open_log(tmp_path):
        events()
    assert [values["event"] for _, values in lines(path)] == ["begin", "outcome", "words"]


def test_bad_events_on_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is reported once, also in a bad run."""
    unwatched(monkeypatch)
    (tmp_path / "refresh-2026-03-02.log").symlink_to("/dev/full")
    with open_log(tmp_path):
        events()
        bad_events()
    assert capsys.readouterr().err.count("\n") == 1


def test_removal_goes_on(tmp_path: Path) -> None:
    """An entry that cannot be removed does not keep the others from being removed."""
    for day in range(1, 29):
        (tmp_path / f"refresh-1999-01-{day:02}.log").mkdir()
    create(tmp_path, *(f"refresh-1999-02-{day:02}.log" for day in range(1, 29)))
    with open_log(tmp_path):
        Log("r1").event("start")
    assert not list(tmp_path.glob("refresh-1999-02-*.log"))


def test_links_in_a_shared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where everybody can put files, a link is not followed: the log is reported, and its target left alone."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    for there in ("precious", "absent"):
        link = tmp_path / "shared" / "refresh-2026-03-02.log"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / there)
        with open_log(tmp_path / "shared"):
            events()
        assert capsys.readouterr().err == f"the log {link} is incomplete: Too many levels of symbolic links\n"
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"
    assert not (tmp_path / "absent").exists()


@as_root
def test_log_of_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written to a file that another user has put where everybody can, to read what a run says there."""
    tmp_path.chmod(0o777)
    log = tmp_path / "refresh-2026-03-02.log"
    log.touch()
    os.chown(log, ordinary_uid(), -1)
    log.chmod(0o666)
    with open_log(tmp_path):
        events()
    assert capsys.readouterr().err == (
        f"the log {log} is incomplete: it is the file of somebody else in a folder that everybody can write to\n"
    )
    assert log.read_text(encoding="utf-8") == ""


def test_pipe_as_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe that nobody reads is reported, and nobody waits for a reader."""
    os.mkfifo(tmp_path / "refresh-2026-03-02.log")
    with open_log(tmp_path):
        events()
    assert "is incomplete: No such device or address" in capsys.readouterr().err


def test_mode_of_a_log(tmp_path: Path) -> None:
    """A new log is for its owner only; of one that is there the mode stays."""
    with open_log(tmp_path):
        events()
    (log,) = tmp_path.iterdir()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.chmod(0o644)
    with open_log(tmp_path):
        events()
    assert stat.S_IMODE(log.stat().st_mode) == 0o644
