"""Waiting for what others do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds in which something that will happen has happened."""


def eventually(happened: Callable[[], object]) -> bool:
    """Whether something happens in time."""
    until = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
