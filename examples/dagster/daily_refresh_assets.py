"""A Dagster asset for each table of daily-refresh, made from its catalogue, with the rows and the lag of each night.

A builder that writes two tables is one step with two assets. TARGET_DB_URL is in the environment of the code location,
and the package is installed in it.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from refresh.catalog import BUILDERS, SOURCE, BuilderConfig
from refresh.errors import ExitCode

COMMAND = str(Path(sys.executable).with_name("daily-refresh"))
CHECK = "every_asset_done"
ENDED = {ExitCode.DONE, ExitCode.FAILED}
"""How a builder ends that has worked on every asset; with the second, some assets failed."""


def narrowed(builder: BuilderConfig) -> list[str]:
    """The words that narrow the command to one builder."""
    return ["--skip", ",".join(other.key for other in BUILDERS if other is not builder)]


def program(builder: BuilderConfig, folder: Path) -> list[str]:
    """How a builder is started. What reads only the source asks for the lock of the refresh, and is the door."""
    if any(builder.reads(other) for other in BUILDERS):
        return [sys.executable, "-m", "refresh.builder", builder.key]
    return [COMMAND, "run", *narrowed(builder), "--quiet", "--json", str(folder / "run.json")]


def outcomes(stdout: str, folder: Path) -> list[dict[str, Any]]:
    """What became of each asset: a line of JSON each, in the file of a run or on the stdout of a builder."""
    file = folder / "run.jsonl"
    lines = file.read_text(encoding="utf-8") if file.exists() else stdout
    return [json.loads(line) for line in lines.splitlines() if line.startswith('{"builder": ')]


def metrics(builder: BuilderConfig, folder: Path) -> dict[str, float]:
    """How far a builder is behind the source, by the names and labels of Prometheus."""
    file = folder / "builder.prom"
    subprocess.run([COMMAND, "metrics", *narrowed(builder), "--quiet", str(file)], check=True)
    lines = [line.rpartition(" ") for line in file.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    return {name.removeprefix("daily_refresh_"): float(value) for name, _, value in lines}


def results(builder: BuilderConfig, done: Sequence[dict[str, Any]], folder: Path) -> Iterator[dg.MaterializeResult]:
    """A result for each table, with a check that fails if an asset failed: the others went on."""
    statuses = Counter(outcome["status"] for outcome in done)
    numbers = metrics(builder, folder)
    for leg in builder.legs:
        metadata = {
            "rows": sum(outcome["rows"] for outcome in done),
            "seconds": round(sum(outcome["seconds"] for outcome in done), 3),
            "lag_seconds": numbers["largest_lag_seconds"],
            "assets_stale": int(numbers.get(f'table_assets_stale{{table="{leg.target}"}}', 0)),
            **{f"assets_{status.replace(' ', '_')}": number for status, number in statuses.items()},
        }
        passed = set(statuses) <= {"done"}
        check = dg.AssetCheckResult(asset_key=leg.target, check_name=CHECK, passed=passed, metadata=dict(statuses))
        yield dg.MaterializeResult(asset_key=leg.target, metadata=metadata, check_results=[check])


def skipped(builder: BuilderConfig) -> Iterator[dg.AssetCheckResult]:
    """No result for any table, so that all that follows is skipped; the checks warn, and say why."""
    for leg in builder.legs:
        yield dg.AssetCheckResult(
            asset_key=leg.target,
            check_name=CHECK,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"skipped: {ExitCode.ALREADY_RUNNING.meaning}",
        )


def build(builder: BuilderConfig) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Run a builder, and report its tables. Raises ``Failure`` if it could not work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ended = subprocess.run(program(builder, folder), stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode == ExitCode.ALREADY_RUNNING:
            yield from skipped(builder)
        elif ended.returncode in ENDED:
            yield from results(builder, outcomes(ended.stdout, folder), folder)
        else:
            raise dg.Failure(f"{builder.key} ended with exit code {ended.returncode}; its stderr says why")


def assets(builder: BuilderConfig) -> dg.AssetsDefinition:
    """The assets of a builder: its tables, each of which depends on the tables from which it is built."""
    common = {"group_name": builder.group.key, "description": builder.summary, "skippable": True}
    specs = [dg.AssetSpec(leg.target, deps=list(leg.inputs), **common) for leg in builder.legs]

    def tables() -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        yield from build(builder)

    defined = dg.multi_asset(
        name=builder.key.replace(".", "_"),
        specs=specs,
        check_specs=[dg.AssetCheckSpec(CHECK, asset=spec.key) for spec in specs],
        retry_policy=dg.RetryPolicy(max_retries=2, delay=300),
    )
    return defined(tables)


JOB = dg.define_asset_job("daily_refresh", selection=dg.AssetSelection.all())
defs = dg.Definitions(
    assets=[dg.AssetSpec(SOURCE), *(assets(builder) for builder in BUILDERS)],
    jobs=[JOB],
    schedules=[dg.ScheduleDefinition(job=JOB, cron_schedule="15 2 * * *", execution_timezone="UTC")],
)
