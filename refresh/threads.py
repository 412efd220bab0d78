"""Keeps numpy's linear algebra, which nothing here needs, from starting threads. Programs import this before numpy.

Where the system gives no more threads, that library sends its own process a SIGINT, as if the user had pressed Ctrl-C.
"""

from __future__ import annotations

import os

NONE = {"OPENBLAS_NUM_THREADS": "1"}
"""What a process is told that shall start no threads."""

os.environ.update(NONE)
