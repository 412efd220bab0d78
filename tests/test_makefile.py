"""The order in which ``make`` runs what it is asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from programs import PROJECT

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")

STUB = """#!/bin/sh
echo "begin $2" >>order
sleep 0.5
echo "end $2" >>order
"""
"""Stands for the Python of ``.venv``; takes long enough for another target to begin meanwhile."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and everything that its targets need, where Python only notes what it was to run."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB)
    python.chmod(0o755)
    for mark in (".runtime", ".dev"):
        (tmp_path / ".venv" / mark).touch()
    return tmp_path


@pytest.mark.parametrize("targets", [("bars", "emas"), ("emas", "bars"), ("bars", "emas", "validate")])
def test_targets_in_their_order(checkout: Path, targets: tuple[str, ...]) -> None:
    """With ``-j`` a target still begins when the one before it has ended."""
    subprocess.run(["make", "-j4", *targets], cwd=checkout, check=True, timeout=60)
    flags = [f"--{target}" for target in targets]
    expected = [f"{event} {flag}" for flag in flags for event in ("begin", "end")]
    assert (checkout / "order").read_text(encoding="utf-8").splitlines() == expected
