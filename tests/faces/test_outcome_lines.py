"""The lines of outcomes beside the document of a run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faces.events import DAILY, EMAS, step

from refresh.errors import SettingsError, UsageError
from refresh.faces.document import OutcomeLines, check
from refresh.records import Outcome, Status
from refresh.run.launch import unlaunched
from refresh.run.plan import Task
from refresh.run.report import StepReport

SKIPPED = Task(id=825, reason="bars failed")


def outcome(id: int, status: Status, **more: Any) -> Outcome:
    """How an asset ended in the daily bars."""
    return Outcome(builder=DAILY.key, id=id, status=status, **more)


def lines(folder: Path) -> list[str]:
    """The lines of outcomes in a folder."""
    return (folder / "run.jsonl").read_text(encoding="utf-8").splitlines()


@contextmanager
def outcome_lines(folder: Path) -> Iterator[OutcomeLines]:
    """The lines beside the document of a folder."""
    with closing(OutcomeLines(str(folder / "run.json"))) as shown:
        yield shown


def test_outcome_lines(tmp_path: Path) -> None:
    """Each outcome is a line beside the document at once, and can be read back from it."""
    outcomes = (
        outcome(1, Status.DONE, rows=245, seconds=3.2, reason="append 1 day", notes={"null_ohlc": 2}, retries=1),
        outcome(52, Status.FAILED, error='two\nlines "Größe" \u2028'),
        outcome(825, Status.SKIPPED, reason="stale"),
    )
    with outcome_lines(tmp_path) as shown:
        shown.begin(step(DAILY, 2), 1, 3)
        shown.words(step(DAILY, 2), "hello")
        for number, ended in enumerate(outcomes, 1):
            shown.outcome(ended)
            assert len(lines(tmp_path)) == number
        shown.end(StepReport(builder=DAILY, outcomes=outcomes, seconds=1.0, launched=True))
    assert tuple(map(Outcome.parse, lines(tmp_path))) == outcomes
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_steps_that_were_not_started(tmp_path: Path) -> None:
    """The assets of a step that was never started have their lines at its end."""
    report = unlaunched(replace(step(EMAS, 1), skipped=(SKIPPED,)), "the run was stopped by SIGTERM")
    with outcome_lines(tmp_path) as shown:
        shown.end(report)
    assert tuple(map(Outcome.parse, lines(tmp_path))) == report.of(Status.NOT_REACHED)


def test_skipped_assets_of_steps_that_lost_all_their_inputs(tmp_path: Path) -> None:
    """An asset has one line, also in a step that began and then skipped all of its assets."""
    planned = replace(step(EMAS, 0), skipped=(SKIPPED,))
    report = unlaunched(planned, "")
    with outcome_lines(tmp_path) as shown:
        shown.begin(planned, 1, 1)
        for ended in report.outcomes:
            shown.outcome(ended)
        shown.end(report)
    assert len(lines(tmp_path)) == 1


def test_lines_of_an_earlier_run(tmp_path: Path) -> None:
    """A run overwrites the lines of an earlier one."""
    for id in (1, 2):
        with outcome_lines(tmp_path) as shown:
            shown.outcome(outcome(id, Status.DONE))
    assert [Outcome.parse(line).id for line in lines(tmp_path)] == [2]


@pytest.mark.parametrize("name", ["missing/run.json", "file/run.json", "folder"])
def test_unwritable_lines(tmp_path: Path, name: str) -> None:
    """The error about lines that cannot be written names the option, before anything runs."""
    (tmp_path / "file").touch()
    (tmp_path / "folderl").mkdir()
    target = tmp_path / name
    with pytest.raises(SettingsError, match=f"^--json {target}: [A-Z].*; name a file that can be written$"):
        OutcomeLines(str(target))


def test_lines_of_somebody_else_stay(tmp_path: Path) -> None:
    """A file that holds something else is not replaced: that is a usage error beforehand."""
    target = tmp_path / "run.json"
    for content in ('{"my": "data"}\n', "\n", "\x00"):
        (tmp_path / "run.jsonl").write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match=r"would replace .*/run.jsonl, which holds something else; name another"):
            check(str(target))
        assert (tmp_path / "run.jsonl").read_text(encoding="utf-8") == content


def test_own_lines_are_replaced(tmp_path: Path) -> None:
    """Those of an earlier run are, also if it had none; who may read them stays."""
    for earlier in ("", outcome(1, Status.DONE).line() + "\n"):
        (tmp_path / "run.jsonl").write_text(earlier, encoding="utf-8")
        (tmp_path / "run.jsonl").chmod(0o640)
        check(str(tmp_path / "run.json"))
        with outcome_lines(tmp_path) as shown:
            shown.outcome(outcome(2, Status.DONE))
        assert [Outcome.parse(line).id for line in lines(tmp_path)] == [2]
        assert stat.S_IMODE((tmp_path / "run.jsonl").stat().st_mode) == 0o640


def test_no_lines_beside_a_pipe(tmp_path: Path) -> None:
    """Beside what is no file, such as ``/dev/stdout``, nothing is made."""
    os.mkfifo(tmp_path / "run.json")
    check(str(tmp_path / "run.json"))
    with outcome_lines(tmp_path) as shown:
        shown.outcome(outcome(1, Status.DONE))
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
