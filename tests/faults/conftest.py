"""Writes the fault sheet at the end of a run that asks for it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.catalogue import GROUPS
from faults.sheet import Line, with_lines

from refresh.server.programs import binaries, major_version

_RUN = "seeds from {seed} on, {day}, {cores} cores, Python {python}, PostgreSQL {server}."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With ``REFRESH_FAULT_SHEET``, write that page: one line for each fault that struck."""
    sheet = os.environ.get("REFRESH_FAULT_SHEET")
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    texts = [text for report in reports for name, text in report.user_properties if name == "fault"]
    if not (sheet and texts):
        return
    lines = [Line.of_text(text) for text in texts]
    run = _RUN.format(
        seed=lines[0].seed,
        day=datetime.now(UTC).date(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        server=major_version(binaries({})),
    )
    page = Path(sheet)
    page.write_text(with_lines(page.read_text(encoding="utf-8"), GROUPS, lines, run), encoding="utf-8")
