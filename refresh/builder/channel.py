"""Where a builder's outcomes go: a line to its parent, which also reports the death of the parent, or stdout.

They are results: the builder works on while nobody reads them, and its end waits until they are read.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from typing import TextIO

from refresh import printing
from refresh.errors import ExitCode


def open_channel(descriptor: int | None) -> TextIO:
    """The file that gets a line of JSON per outcome: that of the descriptor, or stdout."""
    if descriptor is None:
        printing.expect_result()
        return _lines(os.dup(sys.stdout.fileno()))
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        threading.Thread(target=_die_with_parent, args=[os.dup(descriptor)], daemon=True).start()
    return _lines(descriptor)


def _lines(descriptor: int) -> TextIO:
    return printing.channel(descriptor) or os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")


def _die_with_parent(descriptor: int) -> None:
    """Nothing is ever sent to a builder, so its end of the line falls silent only when its parent is gone."""
    with socket.socket(fileno=descriptor) as line:
        line.recv(1)
    os._exit(ExitCode.FAILED)
