"""Dagster by itself, in a process of its own: what it makes of the example, and what one run of its job materializes.

Words: the example, a file for the result, and with ``run`` behind them the job is run.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg


def module(path: str) -> ModuleType:
    """The example, imported from its file."""
    spec = importlib.util.spec_from_file_location("daily_refresh_assets", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def parsed(definitions: dg.Definitions) -> dict[str, Any]:
    """The tables that each asset depends on."""
    nodes = definitions.resolve_asset_graph().asset_nodes
    deps = {node.key.to_user_string(): sorted(key.to_user_string() for key in node.parent_keys) for node in nodes}
    return {"deps": deps}


def night(definitions: dg.Definitions) -> dict[str, Any]:
    """Whether the run succeeded, the metadata of what was materialized, the steps that were skipped, the checks."""
    job = definitions.resolve_job_def("daily_refresh")
    result = job.execute_in_process(raise_on_error=False)
    tables = {}
    for event in result.get_asset_materialization_events():
        materialized = event.step_materialization_data.materialization
        metadata = {name: entry.value for name, entry in materialized.metadata.items()}
        tables[materialized.asset_key.to_user_string()] = metadata
    checks = {check.asset_key.to_user_string(): check.passed for check in result.get_asset_check_evaluations()}
    skipped = sorted(event.step_key for event in result.all_events if event.is_step_skipped)
    return {"success": result.success, "tables": tables, "checks": checks, "skipped": skipped}


def main() -> None:
    """Write what was found."""
    example, file, *words = sys.argv[1:]
    definitions = module(example).defs
    result = parsed(definitions)
    if words == ["run"]:
        result |= night(definitions)
    Path(file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
