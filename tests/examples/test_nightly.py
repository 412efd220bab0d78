"""The scheduled job: its commands exist, and bash runs its steps."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from typing import Any

import pytest
import yaml
from examples.schedulers import CHECKOUT, EXAMPLES, Digests, Scheduler
from refreshing import digests
from sqlalchemy import Engine

from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.store.locks import RefreshLock

WORKFLOW = yaml.safe_load((EXAMPLES / "ci" / "nightly.yaml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["refresh"]["steps"]
SCRIPTS = {step["name"]: step["run"] for step in STEPS if "run" in step}
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
"""How a runner starts a script."""
PARTS = {part.word: part for part in Program if part.part_of}


def test_schedule() -> None:
    """One job a night, never two at once, and it keeps what the run wrote, however it ended."""
    assert WORKFLOW["on"]["schedule"] == [{"cron": "15 2 * * *"}]
    assert not WORKFLOW["concurrency"]["cancel-in-progress"]
    (kept,) = [step for step in STEPS if step.get("if") == "always()"]
    assert kept["with"]["path"].split() == ["run.json", "run.jsonl"]


def test_commands_exist() -> None:
    """Each line with the command is one that the command understands."""
    lines = re.findall(r"^\s*daily-refresh (.*?)(?: \|\|.*)?$", "\n".join(SCRIPTS.values()), re.MULTILINE)
    assert lines
    for line in lines:
        word, *words = shlex.split(line)
        assert parse(PARTS[word], words).given


@pytest.fixture
def runner(scheduler: Scheduler) -> Scheduler:
    """A runner that has checked out the project, with the packages of this environment below its own Python."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=False).stdout
    if not tracked:
        pytest.skip("the checkout is no clone of git, so its files are not known")
    for name in filter(None, tracked.decode().split("\0")):
        file = scheduler.folder / "work" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((CHECKOUT / name).read_bytes())
    own = scheduler.folder / "python"
    scheduler.run(sys.executable, "-m", "venv", own)
    scheduler.run(own / "bin" / "python", "-m", "pip", "uninstall", "--yes", "setuptools")  # older than that below
    (site,) = own.glob("lib/python*/site-packages")
    (site / "below.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    path = f"{own / 'bin'}:{scheduler.environ['PATH']}"
    return Scheduler(scheduler.folder / "work", {**scheduler.environ, **offline, "PATH": path})


def test_steps(prices: Engine, runner: Scheduler, refreshed: Digests) -> None:
    """The steps install the checkout and refresh the database; beside another refresh the job passes, and says so."""
    for name, script in SCRIPTS.items():
        ended = runner.run(*BASH, script)
        assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"
    assert (runner.folder.parent / "python" / "bin" / "daily-refresh").is_file()
    assert digests(prices) == refreshed
    assert json.loads((runner.folder / "run.json").read_text(encoding="utf-8"))["exit_code"] == 0
    lock = RefreshLock(prices)
    lock.take()
    try:
        ended = runner.run(*BASH, SCRIPTS["Refresh"])
    finally:
        lock.release()
    assert ended.returncode == 0
    assert "::notice::skipped" in ended.stdout
    assert "another refresh of this database is running" in ended.stderr
