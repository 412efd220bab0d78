"""A terminal whose output is read, as its user would see it."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest


def on_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[], object], **environ: str) -> str:
    """The output of ``show`` on a terminal."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", **environ}.items():
        monkeypatch.setenv(name, value)
    reader_end, writer_end = pty.openpty()
    with ThreadPoolExecutor(1) as reader:
        received = reader.submit(everything, reader_end)
        with os.fdopen(writer_end, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", terminal)
            show()
        return received.result()


def everything(descriptor: int) -> str:
    """All output of a terminal until its last writer closes it."""
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        parts: list[bytes] = []
        while True:
            try:
                parts.append(terminal.read(1 << 16))
            except OSError:
                return b"".join(parts).decode()
