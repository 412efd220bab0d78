"""The units of systemd: verified by systemd where it is installed, and read as what they are."""

from __future__ import annotations

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from examples.schedulers import EXAMPLES, PROGRAMS

from refresh.errors import ExitCode
from refresh.options.declaration import Program
from refresh.options.parsing import parse

FOLDER = EXAMPLES / "systemd"
COMMAND = "/opt/daily-refresh/bin/daily-refresh"


def unit(name: str) -> ConfigParser:
    """A unit, section by section; no key is given twice."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser documents it
    parser.read(FOLDER / name, encoding="utf-8")
    return parser


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    """Nothing is wrong with the pair if the command is where the service says."""
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8").replace(COMMAND, str(PROGRAMS / "daily-refresh"))
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    units = sorted(str(path) for path in tmp_path.iterdir())
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units]
    verified = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_service() -> None:
    """One run of an ordinary user ends by itself; 75 is no failure, and only the refresh is asked to stop."""
    service = unit("daily-refresh.service")["Service"]
    command, subcommand, *words = service["ExecStart"].split()
    assert (command, subcommand) == (COMMAND, Program.RUN.word)
    assert parse(Program.RUN, words).quiet
    assert (service["Type"], service["KillMode"], service["KillSignal"]) == ("oneshot", "mixed", "SIGTERM")
    assert service["SuccessExitStatus"] == str(ExitCode.ALREADY_RUNNING.value)
    assert service["User"] not in {"", "root"}
    assert service["EnvironmentFile"].startswith("/etc/")
    assert {service[key] for key in ("NoNewPrivileges", "PrivateTmp", "ProtectHome")} == {"yes"}
    assert service["ProtectSystem"] == "strict"


def test_timer() -> None:
    """Every night at a quarter past two, a little spread, and after a night without power."""
    timer = unit("daily-refresh.timer")["Timer"]
    assert (timer["OnCalendar"], timer["Persistent"]) == ("*-*-* 02:15:00", "true")
    assert timer["RandomizedDelaySec"]
    assert unit("daily-refresh.timer")["Install"]["WantedBy"] == "timers.target"
