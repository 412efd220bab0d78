"""Keeps numpy's linear algebra, which nothing here needs, from starting threads. Programs import this before numpy.

Where the system gives no more threads, that library sends its own process a SIGINT, as if the user had pressed Ctrl-C.
Where it finds little memory while it is loaded, it may look for more for ever, so such a process ends here.
"""

from __future__ import annotations

import os
import resource
import sys

NONE = {"OPENBLAS_NUM_THREADS": "1"}
"""What a process is told that shall start no threads."""
LEAST_MEMORY = 256 << 20
"""The bytes of addresses that a process needs to load everything."""
_CANNOT_START = 3

os.environ.update(NONE)
_limit, _ = resource.getrlimit(resource.RLIMIT_AS)
if _limit != resource.RLIM_INFINITY and _limit < LEAST_MEMORY:
    sys.stderr.write(f"error: a process may have {_limit >> 20} MB here; raise that to 256 MB: ulimit -v 262144\n")
    sys.exit(_CANNOT_START)
