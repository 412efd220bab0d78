"""Running the project's programs as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def run(program: str, *arguments: str, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the project with nothing of this process's settings but the database; its log is thrown away."""
    command = [sys.executable, *program.split(), *arguments]
    with tempfile.TemporaryDirectory() as logs:
        clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": url, "REFRESH_LOG_DIR": logs}
        return subprocess.run(
            command,
            cwd=PROJECT,
            env={**clean, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
