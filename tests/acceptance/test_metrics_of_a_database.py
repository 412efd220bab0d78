"""The metrics of a database: after a run, after a failure, while days are missing, and before anything ran."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prices import FILL
from programs import run
from prometheus_client.parser import text_string_to_metric_families
from refreshing import FEW, enable
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.installation import VERSION

DAILY = "run_daily_refresh.py"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
LAST = YESTERDAY - timedelta(days=6)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Forty days of two assets, up to yesterday, and a timeframe or two of every family."""
    enable(engine, FEW, (10,))
    for asset in (1, 52):
        execute(engine, FILL, asset=asset, first=f"{YESTERDAY - timedelta(days=40)}Z", last=f"{YESTERDAY}Z")
    return engine


def measured(engine: Engine, folder: Path, *arguments: str) -> dict[str, float]:
    """The values that a program writes, by name and labels."""
    file = folder / "refresh.prom"
    result = run(DAILY, *arguments, "--metrics", str(file), url=address(engine))
    assert file.is_file(), result.stderr
    values = {}
    for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
        for sample in family.samples:
            labels = "".join(f" {value}" for _, value in sorted(sample.labels.items()))
            values[sample.name.removeprefix("daily_refresh_") + labels] = sample.value
    return values


def test_after_a_run(filled: Engine, tmp_path: Path) -> None:
    """The numbers are those of the history and of the server."""
    began = time.time()
    values = measured(filled, tmp_path, "--all")
    assert values[f"info {VERSION}"] == 1
    assert began - 1 <= values["last_success_timestamp_seconds"] <= time.time() + 1
    assert values["last_run_exit_code"] == 0
    assert 0 < values["last_run_duration_seconds"] <= time.time() - began
    ((rows,),) = ask(filled, "SELECT rows FROM refresh_runs")
    assert values["last_run_rows"] == rows
    for builder, written, seconds in ask(filled, "SELECT builder, rows, seconds FROM refresh_steps"):
        assert (values[f"builder_rows {builder}"], values[f"builder_duration_seconds {builder}"]) == (written, seconds)
        assert values[f"builder_assets {builder} done"] == 2
        assert values[f"builder_assets {builder} failed"] == 0
        assert values[f"cover_timestamp_seconds {builder}"] > began - 1
    assert (values["assets"], values["assets_failed"], values["assets_stale"]) == (2, 0, 0)
    assert values["largest_lag_seconds"] == 0
    sizes = dict(ask(filled, "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"))
    assert values["table_bytes cmc_price_bars_1d"] == sizes["cmc_price_bars_1d"]


def test_after_a_failure(filled: Engine, tmp_path: Path) -> None:
    """An asset that failed is counted as long as it is not done."""
    measured(filled, tmp_path, "--all")
    execute(filled, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT not_today CHECK (id <> 52) NOT VALID")
    execute(filled, "UPDATE cmc_price_histories7 SET close = close + 0.5 WHERE id = 52")
    values = measured(filled, tmp_path, "--all", "--accept-restatement")
    assert (values["last_run_exit_code"], values["assets_failed"]) == (1, 1)
    assert (values["builder_assets bars.1d failed"], values["builder_assets emas.v2 skipped"]) == (1, 1)
    success = values["last_success_timestamp_seconds"]
    assert success < values["last_run_timestamp_seconds"]
    assert measured(filled, tmp_path)["last_success_timestamp_seconds"] == success
    execute(filled, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT not_today")
    assert measured(filled, tmp_path, "--all", "--accept-restatement")["assets_failed"] == 0


def test_behind_the_source(filled: Engine, tmp_path: Path) -> None:
    """Days that are not taken in are told by a program that only looks, once they are older than the limit."""
    execute(filled, "DELETE FROM cmc_price_histories7 WHERE id = 1 AND timestamp > :last", last=f"{LAST}Z")
    measured(filled, tmp_path, "--all")
    execute(filled, FILL, asset=1, first=f"{LAST}Z", last=f"{YESTERDAY}Z")
    values = measured(filled, tmp_path)
    assert (values["assets_stale"], values["table_assets_stale cmc_price_bars_1d"]) == (1, 1)
    assert values["largest_lag_seconds"] / 86_400 in {5, 6}  # yesterday is late from two in the morning on


def test_before_anything_ran(filled: Engine, tmp_path: Path) -> None:
    """A database without a run has assets that are stale, and no values of a run."""
    values = measured(filled, tmp_path)
    assert (values["assets"], values["assets_stale"]) == (2, 2)
    assert values["table_assets_stale cmc_price_bars_1d"] == 2
    assert not [name for name in values if name.startswith(("last_", "builder_", "cover_"))]
    assert ask(filled, "SELECT FROM refresh_runs") == []


def test_dry_run_writes_none(filled: Engine, tmp_path: Path) -> None:
    """A plan writes nothing."""
    run(DAILY, "--all", "--dry-run", "--metrics", str(tmp_path / "x.prom"), url=address(filled))
    assert list(tmp_path.iterdir()) == []
