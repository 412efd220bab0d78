"""Refreshes in processes of their own, as users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from programs import PROJECT

PATIENCE = 120.0
"""Seconds within which even a slow machine is done."""


class Refresh:
    """A refresh in a process of its own, as a user starts it."""

    def __init__(
        self,
        folder: Path,
        url: str | None,
        *arguments: str,
        program: str = "run_daily_refresh.py",
        before: Sequence[str] = (),
        **environ: str,
    ) -> None:
        """Start it, perhaps with a command ``before`` it. Its output goes to files, so it never waits for a reader."""
        self._out, self._err, self._logs = folder / "out", folder / "err", folder / "logs"
        settings = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REFRESH_LOG_DIR": str(self._logs)}
        if url:
            settings["TARGET_DB_URL"] = url
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*before, sys.executable, *program.split(), *arguments],
                cwd=PROJECT,
                env={**settings, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """Its stdout up to now."""
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """Its stderr up to now."""
        return self._err.read_text(encoding="utf-8")

    @property
    def logged(self) -> str:
        """What it and its builders have written to the log."""
        return "".join(file.read_text(encoding="utf-8") for file in self._logs.glob("*"))

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)
