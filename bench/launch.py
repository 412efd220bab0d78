"""Starts a program and prints as JSON what it used: seconds, seconds of CPU, and the bytes of its largest process.

A process of its own, and a small one: the system counts the memory of whoever starts a program as the program's.
The figures are about the program and every process below it that it waited for.
"""

from __future__ import annotations

import json
import os
import sys
import time

UNIT_OF_MEMORY = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Run the command in the arguments. Its output is thrown away, its errors are not."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.monotonic()
    process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
    _, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - began
    usage = {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * UNIT_OF_MEMORY}
    print(json.dumps(usage))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
