"""Running the programs of the project as a user does, and reading the page that they write."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]


def run(program: str, *arguments: str, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program with no setting of this process except the database. Its log is thrown away."""
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


def page_data(page: Path) -> dict[str, Any]:
    """The data that a page contains for its script to show."""
    text = page.read_text(encoding="utf-8")
    element = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert element
    data: dict[str, Any] = json.loads(element[1])
    return data


def page_chart(data: dict[str, Any], id: int) -> dict[str, Any]:
    """The chart of an asset in the data of a page."""
    chart: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data["charts"][str(id)])))
    return chart
