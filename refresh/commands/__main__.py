"""``python -m refresh.commands PROGRAM ARGUMENT...``: a program by its key, wherever the package is installed."""

from __future__ import annotations

import sys

from refresh.commands.program import main
from refresh.options.declaration import Program

if __name__ == "__main__":
    sys.exit(main(Program[sys.argv[1]], sys.argv[2:]))
