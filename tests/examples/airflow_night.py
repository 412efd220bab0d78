"""Airflow by itself, in a process of its own: what it makes of the folder of DAGs, and how the tasks of one run end.

AIRFLOW_HOME is a folder that is thrown away. Words: a file for the result, and with ``run`` behind it the DAG is run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb


def parsed(bag: DagBag) -> dict[str, Any]:
    """The errors of the import, and of each task the tasks before it and the code with which it is skipped."""
    (dag,) = bag.dags.values()
    upstream = {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks}
    skips = {task.task_id: list(task.skip_on_exit_code) for task in dag.tasks}
    retries = {task.task_id: task.retries for task in dag.tasks}
    return {"errors": bag.import_errors, "upstream": upstream, "skips": skips, "retries": retries}


def night(bag: DagBag) -> dict[str, Any]:
    """The states of the run and of each of its tasks. Nothing is tried again."""
    (dag,) = bag.dags.values()
    for task in dag.tasks:
        task.retries = 0
    run = dag.test()
    states = {task.task_id: str(task.state) for task in run.get_task_instances()}
    return {"state": str(run.state), "tasks": states}


def main() -> None:
    """Write what was found."""
    file, *words = sys.argv[1:]
    bag = DagBag()
    result = parsed(bag)
    if words == ["run"]:
        initdb()
        result |= night(bag)
    Path(file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
