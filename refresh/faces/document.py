"""The plan as one JSON document. Its form has a version; tests/answers hold it."""

from __future__ import annotations

import json
from typing import Any

from refresh.run.launch import command
from refresh.run.plan import Plan, Step, Task

PLAN_VERSION = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """The steps in order: the command of each, its assets and why, and what it is expected to take."""
    return {
        "version": PLAN_VERSION,
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
        "idle_because": None if step.tasks else step.idle_because,
        "estimated_rows": step.estimated_rows,
        "estimated_seconds": round(step.estimated_seconds, 1),
        "tasks": [_task(task) | {"estimated_rows": task.rows} for task in step.tasks],
        "skipped": [_task(task) for task in step.skipped],
    }


def _task(task: Task) -> dict[str, Any]:
    return {"id": task.id, "reason": task.reason}


def written(document: dict[str, Any]) -> str:
    """A document as text."""
    return json.dumps(document, indent=2) + "\n"
