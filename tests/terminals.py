"""A terminal that is read: what whoever looks at it would get."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest


def on_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[], object], **environ: str) -> str:
    """What a terminal gets while stdout is one."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", **environ}.items():
        monkeypatch.setenv(name, value)
    reading, writing = pty.openpty()
    with ThreadPoolExecutor(1) as reader:
        received = reader.submit(everything, reading)
        with os.fdopen(writing, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", terminal)
            show()
        return received.result()


def everything(descriptor: int) -> str:
    """All that arrives at a terminal until its last writer is gone."""
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        parts: list[bytes] = []
        while True:
            try:
                parts.append(terminal.read(1 << 16))
            except OSError:
                return b"".join(parts).decode()
