"""The JSON documents: their forms, compared with documents written by hand, and where they are written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refresh.catalog import by_key
from refresh.errors import SettingsError
from refresh.faces.document import VERSION, plan_document, run_document, write
from refresh.records import LedgerLine, Status
from refresh.run.plan import Plan, Step, Task
from refresh.run.summary import StepSummary, Summary, Unfinished
from refresh.validate.finding import Finding, Validity

ANSWERS = Path(__file__).parent.parent / "answers"
DAILY, BARS, EMAS = (by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf"))
NOTICE = "gone from the source, bars kept: id 7"
PLAN = Plan(
    steps=(
        Step(
            builder=DAILY,
            tasks=(
                Task(id=1, reason="append 1 day", days=1, rows=1),
                Task(id=52, reason="build 245 days: not built yet", days=245, rows=245),
            ),
            skipped=(),
            arguments=("bars.1d", "--ids", "1,52"),
            estimated_seconds=0.6,
        ),
        Step(
            builder=EMAS,
            tasks=(Task(id=1, reason="follows 1d bars", days=1, rows=1200),),
            skipped=(Task(id=825, reason="bars pending: run the bar builders first"),),
            arguments=("emas.multi_tf", "--ids", "1"),
            estimated_seconds=8.04,
        ),
        Step(builder=BARS, tasks=(), skipped=(), arguments=(), idle_because="no timeframe selected"),
    ),
    assets=3,
    notices=(NOTICE,),
)
STEPS = (
    StepSummary(
        builder="bars.1d",
        title="1d bars",
        rows=245,
        seconds=3.21,
        counts={"done": 2, "failed": 1},
        idle_because="",
    ),
    StepSummary(
        builder="bars.multi_tf",
        title="multi_tf bars",
        rows=0,
        seconds=0.0,
        counts={},
        idle_because="no timeframe selected",
    ),
)
FAILED = Unfinished(
    builder="bars.1d",
    id=825,
    status=Status.FAILED,
    why="out of range",
    since=datetime(2026, 2, 27, 4, tzinfo=UTC),
)
RESTATED = LedgerLine(
    id=52,
    first_day=date(2026, 2, 1),
    last_day=date(2026, 2, 3),
    rows=3,
    old_close=10.5,
    new_close=None,
    reason="3 rows changed",
)
FINDING = Finding(
    table="cmc_ema_multi_tf",
    id=52,
    tf="7D",
    period=10,
    time=datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
    expected="10.5",
    found="10.25",
)
IDLE = Summary(
    run_id="r1",
    command="run_daily_refresh.py --all",
    started_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
    seconds=0.0,
    exit_code=0,
    assets=3,
    tables=12,
    steps=STEPS[1:],
)
SUMMARY = replace(
    IDLE,
    seconds=4.56789,
    exit_code=143,
    steps=STEPS,
    unfinished=(FAILED, Unfinished(builder="emas.multi_tf", id=52, status=Status.NOT_REACHED, why="killed")),
    recovered=(("bars.1d", 1),),
    restated=(RESTATED,),
    notices=(NOTICE,),
    notes={"ema_violations": 1, "missing_days": 4, "null_ohlc": 3, "repaired_high": 2},
    bars=245,
    emas=1200,
    remaining_seconds=12.345,
    next_command="python run_daily_refresh.py --all --resume",
    stopped_by=15,
    validity=Validity(judged=3, recomputed=(1,), pending=(825,), findings=(FINDING,), seconds=1.4567),
)


def answer(name: str) -> Any:
    """A document that was written by hand."""
    return json.loads((ANSWERS / f"{name}_document.json").read_text(encoding="utf-8"))


def received(document: dict[str, Any]) -> Any:
    """A document as another program reads it."""
    return json.loads(json.dumps(document))


def form(value: Any, path: str = "") -> set[str]:
    """The paths of all keys of a document. The names of what is counted are not part of the form."""
    paths: set[str] = set()
    if isinstance(value, list):
        for item in value:
            paths |= form(item, f"{path}[]")
    if isinstance(value, dict) and path.rsplit(".", maxsplit=1)[-1] not in {"repairs", "rejects", "outcomes"}:
        for key, content in value.items():
            paths |= {f"{path}.{key}"} | form(content, f"{path}.{key}")
    return paths


def test_plan() -> None:
    """A plan has exactly the keys and values of version 1."""
    expected = answer("plan")
    for step in expected["steps"]:
        if step["command"]:
            step["command"][0] = sys.executable
    assert VERSION == 1
    assert received(plan_document(PLAN)) == expected


def test_run() -> None:
    """A run has exactly the keys and values of version 1."""
    assert VERSION == 1
    assert received(run_document(SUMMARY)) == answer("run")


def test_order() -> None:
    """The keys are in the order that suits a reader."""
    assert list(plan_document(PLAN)) == list(answer("plan"))
    assert list(run_document(SUMMARY)) == list(answer("run"))


def test_forms_are_always_the_same() -> None:
    """A document about nothing has the same keys, with empty values."""
    document = run_document(IDLE)
    lists = {path for path in form(answer("run")) if "[]" in path and not path.startswith(".steps[]")}
    assert form(document) == {path for path in form(answer("run")) - lists if not path.startswith(".validation.")}
    assert (document["next_command"], document["stopped_by"], document["validation"]) == (None, None, None)
    assert document["severity"] == "info"
    assert document["steps"][0]["outcomes"] == {}
    empty = plan_document(Plan(steps=(), assets=0))
    assert form(empty) == {path for path in form(answer("plan")) if "[]" not in path}


def test_words_for_statuses() -> None:
    """The words for statuses are part of the form."""
    unfinished = tuple(replace(FAILED, status=status) for status in Status)
    document = run_document(replace(SUMMARY, unfinished=unfinished))
    assert [entry["status"] for entry in document["unfinished"]] == ["done", "failed", "skipped", "not reached"]


def test_findings_about_whole_tables() -> None:
    """What a finding does not name is null."""
    finding = replace(FINDING, tf=None, period=None, time=None)
    validity = Validity(judged=3, recomputed=(), pending=(), findings=(finding,), seconds=1.0)
    (entry,) = run_document(replace(SUMMARY, validity=validity))["validation"]["findings"]
    assert (entry["tf"], entry["period"], entry["at"]) == (None, None, None)


def test_written_to_a_file(tmp_path: Path) -> None:
    """A document replaces the one before it, and its last line is complete."""
    target = tmp_path / "run.json"
    for number in (1, 2):
        write({"number": number, "name": "Größe \udcff"}, str(target))
    text = target.read_text(encoding="utf-8")
    assert json.loads(text) == {"number": 2, "name": "Größe \udcff"}
    assert text.endswith("}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_written_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A dash means stdout."""
    write({"number": 1}, "-")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"number": 1}
    assert err == ""


def test_unwritable_document(tmp_path: Path) -> None:
    """The error about a document that cannot be written names the option."""
    with pytest.raises(SettingsError, match=f"^--json {tmp_path}: [A-Z].*; name a file that can be written$"):
        write({}, str(tmp_path))


def schema(name: str) -> Any:
    """The schema of a document, as it is shipped."""
    file = files("refresh.faces") / "schemas" / f"{name}.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("run", answer("run")),
        ("run", run_document(SUMMARY)),
        ("run", run_document(IDLE)),
        ("plan", plan_document(PLAN)),
    ],
    ids=["written by hand", "full", "about nothing", "plan"],
)
def test_schema_fits(name: str, document: Any) -> None:
    """Each document fits its schema, which is one."""
    Draft202012Validator.check_schema(schema(name))
    validator = Draft202012Validator(schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(json.loads(json.dumps(document)))] == []


@pytest.mark.parametrize("name", ["run", "plan"])
def test_schema_refuses_others(name: str) -> None:
    """A document without one of the keys, or with another, does not fit."""
    validator = Draft202012Validator(schema(name))
    whole = answer(name)
    for key in whole:
        assert not validator.is_valid({other: value for other, value in whole.items() if other != key})
    assert not validator.is_valid({**whole, "more": 1})
    assert not validator.is_valid({**whole, "version": 2})
