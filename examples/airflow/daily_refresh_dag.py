"""A task for each builder of daily-refresh, as the catalogue has them, then a check and a validation.

The package is installed in the environment of the workers, or in another one whose ``bin`` DAILY_REFRESH_BIN names;
the scheduler needs the package as well, for the catalogue. TARGET_DB_URL is in the environment of the workers.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, TriggerRule

from refresh.catalog import BUILDERS, BuilderConfig
from refresh.errors import ExitCode

PROGRAMS = Path(os.environ.get("DAILY_REFRESH_BIN") or Path(sys.executable).parent)
COMMAND = PROGRAMS / "daily-refresh"


def inputs(builder: BuilderConfig) -> list[BuilderConfig]:
    """The builders whose tables a builder reads."""
    return [other for other in BUILDERS if builder.reads(other)]


def command(builder: BuilderConfig) -> str:
    """How a builder is started. What reads only the source asks for the lock of the refresh, and is the door."""
    if not inputs(builder):
        return f"{COMMAND} run --{builder.group.key} --builders {builder.name} --quiet"
    return f"{PROGRAMS / 'python'} -m refresh.builder {builder.key}"


def task(name: str, line: str, **options: object) -> BashOperator:
    """A task that is skipped if another refresh of the database is running, and with it all that follow."""
    return BashOperator(
        task_id=name,
        bash_command=f"exec {line}",  # so that the signal of a stop reaches the program itself
        skip_on_exit_code=ExitCode.ALREADY_RUNNING.value,
        **options,
    )


with DAG(
    dag_id="daily_refresh",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        # An asset that fails leaves the others: what follows works on those, unless the whole night is skipped.
        "trigger_rule": TriggerRule.NONE_SKIPPED,
    },
) as dag:
    tasks = {builder.key: task(builder.key, command(builder)) for builder in BUILDERS}
    for builder in BUILDERS:
        tasks[builder.key].set_upstream([tasks[other.key] for other in inputs(builder)])
    check = task("check", f"{COMMAND} check", retries=0)
    check.set_upstream(list(tasks.values()))
    validate = task("validate", f"{COMMAND} validate --quiet", retries=0, trigger_rule=TriggerRule.ALL_SUCCESS)
    validate.set_upstream(check)
