"""The JSON documents: their forms, held against documents written by hand, and how they get into files."""

from __future__ import annotations

import json
import os
import resource
import stat
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refresh.catalog import by_key
from refresh.records_story import Restated
from refresh.validate.finding import Finding, Validity
from refresh.errors import SettingsError
from refresh.faces.document import VERSION, OutcomeLines, plan_document, run_document, write
from refresh.records import Outcome, Status
from refresh.run.launch import unlaunched
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.summary import StepSummary, Summary, Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS = Path(__file__).parent.parent / "answers"
DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
NOTICE = "gone from the source, bars kept: id 7"
PLAN = Plan(
    (
        Step(
            DAILY,
            (Task(1, "append 1 day", 1, 1), Task(52, "build 245 days: not built yet", 245, 245)),
            (),
            ("bars.1d", "--ids", "1,52"),
            estimated_seconds=0.6,
        ),
        Step(
            EMAS,
            (Task(1, "follows 1d bars", 1, 1200),),
            (Task(825, "bars pending: run the bar builders first"),),
            ("emas.multi_tf", "--ids", "1"),
            estimated_seconds=8.04,
        ),
        Step(BARS, (), (), (), idle_because="no timeframe selected"),
    ),
    3,
    (NOTICE,),
)
FINDING = Finding("cmc_ema_multi_tf", 52, "7D", 10, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), "10.5", "10.25")
SUMMARY = Summary(
    "r1",
    "run_daily_refresh.py --all",
    datetime(2026, 3, 2, 4, tzinfo=UTC),
    4.56789,
    143,
    3,
    12,
    (
        StepSummary("bars.1d", "1d bars", 245, 3.21, {"done": 2, "failed": 1}, ""),
        StepSummary("bars.multi_tf", "multi_tf bars", 0, 0.0, {}, "no timeframe selected"),
    ),
    unfinished=(
        Unfinished("bars.1d", 825, Status.FAILED, "out of range", datetime(2026, 2, 27, 4, tzinfo=UTC)),
        Unfinished("emas.multi_tf", 52, Status.NOT_REACHED, "killed"),
    ),
    recovered=(("bars.1d", 1),),
    restated=(Restated(52, date(2026, 2, 1), date(2026, 2, 3), 3, 10.5, None, "3 rows changed"),),
    notices=(NOTICE,),
    notes={"ema_violations": 1, "missing_days": 4, "null_ohlc": 3, "repaired_high": 2},
    bars=245,
    emas=1200,
    remaining_seconds=12.345,
    next_command="python run_daily_refresh.py --all --resume",
    stopped_by=15,
    validity=Validity(3, (1,), (825,), (FINDING,), 1.4567),
)


def answer(name: str) -> Any:
    """A document that was written by hand."""
    return json.loads((ANSWERS / f"{name}_document.json").read_text(encoding="utf-8"))


def carried(document: dict[str, Any]) -> Any:
    """A document as another program reads it."""
    return json.loads(json.dumps(document))


def form(value: Any, path: str = "") -> set[str]:
    """The path of every key of a document, however deep; the values of counts are not part of the form."""
    if isinstance(value, list):
        return set().union(*(form(one, f"{path}[]") for one in value))
    if isinstance(value, dict) and path.rsplit(".", maxsplit=1)[-1] not in {"repairs", "rejects", "outcomes"}:
        return set().union(*({f"{path}.{key}"} | form(one, f"{path}.{key}") for key, one in value.items()))
    return set()


# Their forms


def test_plan() -> None:
    """A plan has exactly the keys and values of version 1."""
    expected = answer("plan")
    for step in expected["steps"]:
        if step["command"]:
            step["command"][0] = sys.executable
    assert VERSION == 1
    assert carried(plan_document(PLAN)) == expected


def test_run() -> None:
    """A run has exactly the keys and values of version 1."""
    assert VERSION == 1
    assert carried(run_document(SUMMARY)) == answer("run")


def test_order() -> None:
    """The keys stand in the order in which a reader wants them."""
    assert list(plan_document(PLAN)) == list(answer("plan"))
    assert list(run_document(SUMMARY)) == list(answer("run"))


def test_forms_are_always_the_same() -> None:
    """A document about nothing has the same keys, with nothing in them."""
    idle = Summary("r1", "run", SUMMARY.started_at, 0.0, 0, 3, 12, SUMMARY.steps[1:])
    document = run_document(idle)
    lists = {path for path in form(answer("run")) if "[]" in path and not path.startswith(".steps[]")}
    assert form(document) == {path for path in form(answer("run")) - lists if not path.startswith(".validation.")}
    assert (document["next_command"], document["stopped_by"], document["validation"]) == (None, None, None)
    assert document["severity"] == "info"
    assert document["steps"][0]["outcomes"] == {}
    empty = plan_document(Plan((), 0))
    assert form(empty) == {path for path in form(answer("plan")) if "[]" not in path}


def test_every_way_to_end_has_its_word() -> None:
    """The words for how an asset ended are part of the form."""
    document = run_document(replace(SUMMARY, unfinished=tuple(Unfinished("bars.1d", 1, one, "") for one in Status)))
    assert [one["status"] for one in document["unfinished"]] == ["done", "failed", "skipped", "not reached"]


def test_findings_about_whole_tables() -> None:
    """What a finding does not name is null."""
    finding = replace(FINDING, tf=None, period=None, at=None)
    (told,) = run_document(replace(SUMMARY, validity=Validity(3, (), (), (finding,), 1.0)))["validation"]["findings"]
    assert (told["tf"], told["period"], told["at"]) == (None, None, None)


# In files


@contextmanager
def full_disk() -> Iterator[None]:
    """A disk that takes ten bytes a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def test_written(tmp_path: Path) -> None:
    """A document replaces the one before, ends its last line, and leaves nothing beside it."""
    target = tmp_path / "run.json"
    for number in (1, 2):
        write({"number": number, "name": "Größe \udcff"}, str(target))
    text = target.read_text(encoding="utf-8")
    assert json.loads(text) == {"number": 2, "name": "Größe \udcff"}
    assert text.endswith("}\n")
    assert names(tmp_path) == ["run.json"]


def test_readers_keep_the_old_document(tmp_path: Path) -> None:
    """Who has the old file open reads it to its end."""
    target = tmp_path / "run.json"
    write({"number": 1}, str(target))
    with target.open(encoding="utf-8") as reader:
        write({"number": 2}, str(target))
        assert json.load(reader) == {"number": 1}


def test_full_disk_keeps_the_old_document(tmp_path: Path) -> None:
    """A document that cannot be written in full is not written at all, and leaves nothing behind."""
    target = tmp_path / "run.json"
    target.write_text("{}\n", encoding="utf-8")
    with full_disk(), pytest.raises(SettingsError, match=f"--json {target}: .*; name a file that can be written"):
        write({"text": "x" * 1000}, str(target))
    assert target.read_text(encoding="utf-8") == "{}\n"
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_mode(tmp_path: Path, mask: int, mode: int) -> None:
    """Who may read the file is what the user's umask says, and the umask stays."""
    target = tmp_path / "run.json"
    before = os.umask(mask)
    try:
        write({}, str(target))
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A dash stands for stdout."""
    write({"number": 1}, "-")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"number": 1}
    assert err == ""


def test_path_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is a file in the current folder."""
    monkeypatch.chdir(tmp_path)
    write({}, "run.json")
    assert names(tmp_path) == ["run.json"]


def unwritable(folder: Path, how: str) -> str:
    """A target that cannot be written."""
    (folder / "file").touch()
    (folder / "folder").mkdir()
    (folder / "folderl").mkdir()
    return str(folder / how)


@pytest.mark.parametrize("how", ["missing/run.json", "file/run.json", "folder"])
def test_unwritable_document(tmp_path: Path, how: str) -> None:
    """A target that cannot be written is an error that names the option, and leaves nothing behind."""
    target = unwritable(tmp_path, how)
    before = names(tmp_path)
    with pytest.raises(SettingsError, match=f"^--json {target}: [A-Z].*; name a file that can be written$"):
        write({}, target)
    assert names(tmp_path) == before
    assert names(tmp_path / "folder") == []


# Outcomes as they happen


def test_outcome_lines(tmp_path: Path) -> None:
    """Each outcome is a line beside the document as soon as it is known, once, from which it can be read back."""
    target = tmp_path / "run.json"
    outcomes = (
        Outcome("bars.1d", 1, Status.DONE, 245, 3.2, "append 1 day", None, {"null_ohlc": 2}, 1),
        Outcome("bars.1d", 52, Status.FAILED, error='two\nlines "Größe" \u2028'),
        Outcome("bars.1d", 825, Status.SKIPPED, reason="stale"),
    )
    shown = OutcomeLines(str(target))
    with closing(shown._file):
        shown.begin(PLAN.steps[0], 1, 3)
        shown.words(PLAN.steps[0], "hello")
        for number, outcome in enumerate(outcomes, 1):
            shown.outcome(outcome)
            assert len(lines(tmp_path)) == number
        shown.end(StepReport(DAILY, outcomes, 1.0, launched=True))
    assert tuple(map(Outcome.parse, lines(tmp_path))) == outcomes
    assert names(tmp_path) == ["run.jsonl"]


def lines(folder: Path) -> list[str]:
    """The lines of outcomes in a folder."""
    return (folder / "run.jsonl").read_text(encoding="utf-8").splitlines()


def test_steps_that_were_not_started(tmp_path: Path) -> None:
    """The assets of a step that was never started have their lines at its end."""
    report = unlaunched(PLAN.steps[1], "the run was stopped by SIGTERM")
    shown = OutcomeLines(str(tmp_path / "run.json"))
    with closing(shown._file):
        shown.end(report)
    assert tuple(map(Outcome.parse, lines(tmp_path))) == report.of(Status.NOT_REACHED)


def test_lines_of_the_run_before(tmp_path: Path) -> None:
    """A run begins its lines anew."""
    for id in (1, 2):
        shown = OutcomeLines(str(tmp_path / "run.json"))
        with closing(shown._file):
            shown.outcome(Outcome("bars.1d", id, Status.DONE))
    assert [Outcome.parse(line).id for line in lines(tmp_path)] == [2]


@pytest.mark.parametrize("how", ["missing/run.json", "file/run.json", "folder"])
def test_unwritable_lines(tmp_path: Path, how: str) -> None:
    """Lines that cannot be written are an error that names the option, before anything runs."""
    target = unwritable(tmp_path, how)
    with pytest.raises(SettingsError, match=f"^--json {target}: [A-Z].*; name a file that can be written$"):
        OutcomeLines(target)


def test_what_is_no_file_is_written_into(tmp_path: Path) -> None:
    """A pipe, a device or a link to a file is written into; it is not replaced."""
    target = tmp_path / "run.json"
    target.symlink_to(tmp_path / "there.json")
    write({"number": 1}, str(target))
    assert target.is_symlink()
    assert json.loads((tmp_path / "there.json").read_text(encoding="utf-8")) == {"number": 1}


def test_skipped_assets_of_steps_that_lost_all_their_inputs(tmp_path: Path) -> None:
    """An asset has one line, also in a step that began and then had nobody left to start for."""
    step = Step(EMAS, (), (Task(825, "bars failed"),), ())
    report = unlaunched(step, "")
    shown = OutcomeLines(str(tmp_path / "run.json"))
    with closing(shown._file):
        shown.begin(step, 1, 1)
        for outcome in report.outcomes:
            shown.outcome(outcome)
        shown.end(report)
    assert len(lines(tmp_path)) == 1
