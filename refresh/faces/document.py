"""Plan and run as JSON documents of a versioned form, which docs/operations.md describes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from refresh import installation
from refresh.errors import UsageError
from refresh.faces import files, words
from refresh.faces.paths import followed, is_stream
from refresh.records import LedgerLine, Outcome, Status
from refresh.run.launch import command
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.summary import StepSummary, Summary, Unfinished
from refresh.validate.finding import Finding, Validity

VERSION = 1
TERMINAL = "-"
_FIRST_OF_A_LINE = b'{"builder": '


def plan_document(plan: Plan) -> dict[str, Any]:
    """The steps in order: the command of each, its assets with their reasons, and estimates."""
    return {
        "version": VERSION,
        "kind": "plan",
        "assets": plan.assets,
        "notices": list(plan.notices),
        "estimated_seconds": round(plan.estimated_seconds, 1),
        "steps": list(map(_planned_step, plan.steps)),
    }


def _planned_step(step: Step) -> dict[str, Any]:
    return {
        "builder": step.builder.key,
        "command": command(step) if step.tasks else None,
        "idle_because": None if step.tasks else step.idle,
        "estimated_rows": step.estimated_rows,
        "estimated_seconds": round(step.estimated_seconds, 1),
        "tasks": [_task(task) | {"estimated_rows": task.rows} for task in step.tasks],
        "skipped": list(map(_task, step.skipped)),
    }


def _task(task: Task) -> dict[str, Any]:
    return {"id": task.id, "reason": task.reason}


def run_document(summary: Summary) -> dict[str, Any]:
    """The result of a run: the numbers of the summary under the same names."""
    return {"version": VERSION, "kind": "run", **_identity(summary), **_numbers(summary), **_work(summary)}


def _identity(summary: Summary) -> dict[str, Any]:
    return {
        "run_id": summary.run_id,
        "command": summary.command,
        "program_version": installation.VERSION,
        "started_at": summary.started_at.isoformat(),
        "seconds": round(summary.seconds, 3),
        "exit_code": summary.exit_code,
        "severity": summary.severity.name.lower(),
        "headline": words.verdict(summary),
        "details": words.details(summary),
    }


def _numbers(summary: Summary) -> dict[str, Any]:
    return {
        "assets": summary.assets,
        "rows": summary.rows,
        "bars": summary.bars,
        "emas": summary.emas,
        "missing_days": summary.missing_days,
        "ema_violations": summary.violations,
        "repairs": summary.repairs,
        "rejects": summary.rejects,
    }


def _work(summary: Summary) -> dict[str, Any]:
    return {
        "steps": list(map(_ended_step, summary.steps)),
        "unfinished": list(map(_open_work, summary.unfinished)),
        "recovered": [{"builder": builder, "id": id} for builder, id in summary.recovered],
        "restated": list(map(_restated, summary.restated)),
        "notices": list(summary.notices),
        "remaining_seconds": round(summary.remaining_seconds, 1),
        "next_command": summary.next_command,
        "stopped_by": summary.stopped_by,
        "validation": summary.validity and validity_document(summary.validity),
    }


def _ended_step(step: StepSummary) -> dict[str, Any]:
    return {
        "builder": step.builder,
        "rows": step.rows,
        "seconds": round(step.seconds, 3),
        "outcomes": dict(step.counts),
        "idle_because": None if step.counts else step.idle_because,
    }


def _open_work(unfinished: Unfinished) -> dict[str, Any]:
    return {
        "builder": unfinished.builder,
        "id": unfinished.id,
        "status": unfinished.status.value,
        "why": unfinished.why,
        "since": unfinished.since and unfinished.since.isoformat(),
    }


def _restated(line: LedgerLine) -> dict[str, Any]:
    days = {"first_day": line.first_day.isoformat(), "last_day": line.last_day.isoformat()}
    return asdict(line) | days


def validity_document(validity: Validity) -> dict[str, Any]:
    """The result of a validation."""
    return {
        "judged": validity.judged,
        "recomputed": list(validity.recomputed),
        "pending": list(validity.pending),
        "seconds": round(validity.seconds, 3),
        "findings": list(map(_wrong, validity.findings)),
    }


def _wrong(finding: Finding) -> dict[str, Any]:
    return {
        "table": finding.table,
        "id": finding.id,
        "tf": finding.tf,
        "period": finding.period,
        "at": finding.time and finding.time.isoformat(),
        "expected": finding.expected,
        "found": finding.found,
    }


def write(document: dict[str, Any], target: str) -> None:
    """Write a document to a file or the terminal. Raises ``SettingsError`` if that is impossible."""
    text = json.dumps(document, indent=2) + "\n"
    if target == TERMINAL:
        sys.stdout.write(text)
    else:
        files.write_whole(text, target, "--json")


def check(target: str) -> None:
    """Raise a ``RefreshError`` if the document of a run, or its lines, cannot be written there."""
    files.check(target, "--json")
    beside = f"{target}l"
    try:
        if is_stream(followed(Path(target))) or _may_be_replaced(followed(Path(beside))):
            return
    except OSError as error:
        raise files.unwritable(beside, "--json", error) from None
    raise UsageError(
        f"--json {target}: the lines of the run would replace {beside}, which holds something else; "
        "name another file, or remove that one"
    )


def _may_be_replaced(path: Path) -> bool:
    """Whether a file is absent, empty, a link of nobody knows whom, or begins with a line of ours."""
    if path.is_symlink() or not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.read(len(_FIRST_OF_A_LINE))
    return first in {b"", _FIRST_OF_A_LINE}


class OutcomeLines:
    """A JSON line per outcome as it happens, in a file beside the document: its name and an ``l``.

    Beside a pipe or a device there is no file.
    """

    def __init__(self, target: str) -> None:
        self._file: IO[str] = io.StringIO()
        try:
            if not is_stream(followed(Path(target))):
                self._file = files.opened_anew(followed(Path(f"{target}l")))
        except OSError as error:
            raise files.unwritable(target, "--json", error) from None

    def begin(self, step: Step, position: int, steps: int) -> None:
        """No outcome."""

    def words(self, step: Step, line: str) -> None:
        """No outcome."""

    def outcome(self, outcome: Outcome) -> None:
        """Write a line."""
        self._write([outcome])

    def end(self, report: StepReport) -> None:
        """Write the assets of a step that was never started: nobody has reported them before."""
        if not report.launched:
            self._write(report.of(Status.NOT_REACHED))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _write(self, outcomes: Iterable[Outcome]) -> None:
        with suppress(OSError):  # the document, which is written last, reports a full disk
            self._file.writelines(outcome.line() + "\n" for outcome in outcomes)
