"""Bring the six tables of price bars up to date."""

import sys

from refresh.commands.program import main
from refresh.options.declaration import Program

if __name__ == "__main__":
    sys.exit(main(Program.BARS, sys.argv[1:]))
