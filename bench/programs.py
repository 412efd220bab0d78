"""The programs that are measured: the refresh as a user starts it, and psql."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refresh.server.programs import binaries

CHECKOUT = Path(__file__).resolve().parents[1]
REFRESH = CHECKOUT / "run_daily_refresh.py"
LAUNCH = CHECKOUT / "bench" / "launch.py"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run of a program used: seconds, seconds of CPU, and the bytes of its largest process."""

    seconds: float
    cpu: float
    peak: int


def environment(directory: Path) -> dict[str, str]:
    """An environment with the embedded database, the logs and temporary files in a directory."""
    environ = {**os.environ, "REFRESH_DATA_DIR": f"{directory}/data", "REFRESH_LOG_DIR": f"{directory}/logs"}
    environ.pop("TARGET_DB_URL", None)
    return environ | {"TMPDIR": str(directory / "tmp")}


def refresh(url: str, directory: Path, *arguments: str) -> Usage:
    """Refresh everything in a database. Raises ``CalledProcessError`` if that fails."""
    return daily(url, directory, "--all", "--quiet", *arguments)


def daily(url: str, directory: Path, *arguments: str, codes: Sequence[int] = (0,)) -> Usage:
    """Run the daily program, whatever it is asked for. Raises ``CalledProcessError`` for other exit codes."""
    return _usage(url, directory, str(REFRESH), *arguments, codes=codes)


def load(url: str, directory: Path, *arguments: str) -> Usage:
    """Load price files into a database. Raises ``CalledProcessError`` if that fails."""
    return _usage(url, directory, "-m", "refresh.load", *arguments)


def _usage(url: str, directory: Path, *program: str, codes: Sequence[int] = (0,)) -> Usage:
    command = [sys.executable, "-I", "-S", str(LAUNCH), sys.executable, *program]
    environ = _environment_of(url, directory)
    result = subprocess.run(command, env=environ, cwd=directory, check=False, stdout=subprocess.PIPE)
    if result.returncode not in codes:
        result.check_returncode()
    return Usage(**json.loads(result.stdout))


def started(url: str, directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Refresh everything in a database, as one of several at once. What it prints is thrown away."""
    command = [sys.executable, str(REFRESH), "--all", "--quiet", *arguments]
    environ = _environment_of(url, directory)
    output = subprocess.DEVNULL
    return subprocess.Popen(command, env=environ, cwd=directory, stdout=output, stderr=output)


def _environment_of(url: str, directory: Path) -> dict[str, str]:
    """An environment in which a database is refreshed; without a URL, the embedded one."""
    of_database = {"TARGET_DB_URL": url} if url else {}
    return {**environment(directory), **of_database, "PYTHONPATH": str(CHECKOUT)}


def psql(url: str, *commands: str) -> None:
    """Run commands in one session of psql. Raises ``CalledProcessError`` if one fails."""
    program = binaries(os.environ) / "psql"
    arguments = ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", url.replace("+psycopg2", "")]
    for command in commands:
        arguments += ["--command", command]
    subprocess.run([program, *arguments], check=True)
