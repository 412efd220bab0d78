"""Bring price bars and EMAs up to date: --all, --bars or --emas."""

import sys

from refresh.commands.program import main
from refresh.options.declaration import Program

if __name__ == "__main__":
    sys.exit(main(Program.DAILY, sys.argv[1:]))
