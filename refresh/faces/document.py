"""Plan and run as JSON documents. Their forms have versions, which docs/operations.md describes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from refresh.errors import SettingsError
from refresh.faces import words
from refresh.faces.files import write_whole
from refresh.records import Outcome, Status
from refresh.run.launch import command
from refresh.run.plan import Plan, Step, Task
from refresh.run.report import StepReport
from refresh.run.summary import Summary
from refresh.validate.finding import Validity

VERSION = 1
TERMINAL = "-"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The steps in order: the command of each, its assets and why, and what it is expected to take."""
    return {
        "version": VERSION,
        "kind": "plan",
        "assets": plan.assets,
        "notices": list(plan.notices),
        "estimated_seconds": round(plan.estimated_seconds, 1),
        "steps": [_step(step) for step in plan.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "builder": step.builder.key,
        "command": command(step) if step.tasks else None,
        "idle_because": None if step.tasks else step.idle,
        "estimated_rows": step.estimated_rows,
        "estimated_seconds": round(step.estimated_seconds, 1),
        "tasks": [_task(task) | {"estimated_rows": task.rows} for task in step.tasks],
        "skipped": [_task(task) for task in step.skipped],
    }


def _task(task: Task) -> dict[str, Any]:
    return {"id": task.id, "reason": task.reason}


def run_document(summary: Summary) -> dict[str, Any]:
    """What a run came to: the numbers of the summary under the same names."""
    return {
        "version": VERSION,
        "kind": "run",
        "run_id": summary.run_id,
        "command": summary.command,
        "started_at": summary.started_at.isoformat(),
        "seconds": round(summary.seconds, 3),
        "exit_code": summary.exit_code,
        "severity": summary.severity.name.lower(),
        "headline": words.verdict(summary),
        "details": words.details(summary),
        "assets": summary.assets,
        "rows": summary.rows,
        "bars": summary.bars,
        "emas": summary.emas,
        "missing_days": summary.missing_days,
        "ema_violations": summary.violations,
        "repairs": summary.repairs,
        "rejects": summary.rejects,
        "steps": [
            {
                "builder": step.builder,
                "rows": step.rows,
                "seconds": round(step.seconds, 3),
                "outcomes": dict(step.counts),
                "idle_because": None if step.counts else step.idle_because,
            }
            for step in summary.steps
        ],
        "unfinished": [
            {
                "builder": one.builder,
                "id": one.id,
                "status": one.status.value,
                "why": one.why,
                "since": one.since.isoformat() if one.since else None,
            }
            for one in summary.unfinished
        ],
        "recovered": [{"builder": builder, "id": id} for builder, id in summary.recovered],
        "restated": [
            {
                "id": one.id,
                "first_day": one.first_day.isoformat(),
                "last_day": one.last_day.isoformat(),
                "rows": one.rows,
                "old_close": one.old_close,
                "new_close": one.new_close,
                "reason": one.reason,
            }
            for one in summary.restated
        ],
        "notices": list(summary.notices),
        "remaining_seconds": round(summary.remaining_seconds, 1),
        "next_command": summary.next_command,
        "stopped_by": summary.stopped_by,
        "validation": _validity(summary.validity) if summary.validity else None,
    }


def _validity(validity: Validity) -> dict[str, Any]:
    return {
        "judged": validity.judged,
        "recomputed": list(validity.recomputed),
        "pending": list(validity.pending),
        "seconds": round(validity.seconds, 3),
        "findings": [
            {
                "table": one.table,
                "id": one.id,
                "tf": one.tf,
                "period": one.period,
                "at": one.time.isoformat() if one.time else None,
                "expected": one.expected,
                "found": one.found,
            }
            for one in validity.findings
        ],
    }


def write(document: dict[str, Any], target: str) -> None:
    """Write a document to a file or the terminal. Raises ``SettingsError`` where that cannot be done."""
    text = json.dumps(document, indent=2) + "\n"
    if target == TERMINAL:
        sys.stdout.write(text)
    else:
        write_whole(text, target, "--json")


class OutcomeLines:
    """A JSON line per outcome as it happens, in a file beside the document: its name and an ``l``."""

    def __init__(self, target: str) -> None:
        try:
            self._file: TextIO = Path(f"{target}l").open("w", buffering=1, encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise SettingsError(f"--json {target}: {error.strerror}; name a file that can be written") from None

    def begin(self, step: Step, place: int, steps: int) -> None:
        """No outcome."""

    def words(self, step: Step, line: str) -> None:
        """No outcome."""

    def outcome(self, outcome: Outcome) -> None:
        """A line of its own."""
        self._write([outcome])

    def end(self, report: StepReport) -> None:
        """Of a step that was never started, nobody told yet."""
        if not report.launched:
            self._write(report.of(Status.NOT_REACHED))

    def close(self) -> None:
        """No more outcomes."""
        with suppress(OSError):
            self._file.close()

    def _write(self, outcomes: Iterable[Outcome]) -> None:
        with suppress(OSError):  # a full disk is told of by the document, which is written last
            self._file.writelines(outcome.line() + "\n" for outcome in outcomes)
