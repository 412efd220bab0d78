"""Databases with the same prices for ``daily-refresh run`` and for the examples, and what runs a scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databases import database
from prices import fill
from refreshing import FEW, enable
from sqlalchemy import URL, Engine

from refresh.store.database import connect

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "examples"
PROGRAMS = Path(sys.executable).parent
PATIENCE = 900.0
"""Seconds within which a scheduler ends, even on a busy machine."""
Digests = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Scheduler:
    """A folder in which a scheduler works, and its environment: nothing of this process but the path."""

    folder: Path
    environ: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def document(self, *command: str | Path) -> dict[str, Any]:
        """Run a script of this folder, and read the document that it writes into the file ``RESULT``."""
        file = self.folder / "result.json"
        file.unlink(missing_ok=True)
        ended = self.run(sys.executable, *(file if word == "RESULT" else word for word in command))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return document


@contextmanager
def priced(server: URL, template: str) -> Iterator[Engine]:
    """A new database with two assets and a timeframe or two of every family."""
    with database(server, template) as url, connect(url) as engine:
        enable(engine, FEW, [10, 20])
        fill(engine, 1, "2025-01-01", "2025-04-10")
        fill(engine, 2, "2025-02-01", "2025-04-10")
        yield engine


def scheduler_of(engine: Engine, folder: Path) -> Scheduler:
    """A scheduler in a folder that it may fill, as a user whose home is that folder too."""
    environ = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TARGET_DB_URL": engine.url.render_as_string(hide_password=False),
        "REFRESH_LOG_DIR": str(folder / "log"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES / "airflow"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Scheduler(folder, environ)
