"""Writes the fault sheet while a run goes on that asks for it: one that is broken off loses no line."""

from __future__ import annotations

import os
import platform
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.catalogue import GROUPS
from faults.sheet import Line, with_lines

from refresh.server.programs import binaries, major_version

_RUN = "seeds from {seed} on, {day}, {cores} cores, Python {python}, PostgreSQL {server}."


@pytest.fixture(autouse=True, scope="session")
def _hears_signals() -> None:
    """Programs ignore what their parent ignores: under ``nohup`` or behind a shell's ``&``, some would not strike."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """With ``REFRESH_FAULT_SHEET``, write the line of a fault into that page as soon as it has struck often enough."""
    sheet = os.environ.get("REFRESH_FAULT_SHEET")
    texts = [text for name, text in report.user_properties if name == "fault"]
    if not sheet or not texts or report.when != "call" or "PYTEST_XDIST_WORKER" in os.environ:
        return
    line = Line.of_text(str(texts[0]))
    run = _RUN.format(
        seed=line.seed,
        day=datetime.now(UTC).date(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        server=major_version(binaries({})),
    )
    page = Path(sheet)
    page.write_text(with_lines(page.read_text(encoding="utf-8"), GROUPS, [line], run), encoding="utf-8")
