"""Waiting for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds within which anything expected happens, even on a busy machine."""


def eventually(happened: Callable[[], object]) -> bool:
    """Whether something happens within ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
