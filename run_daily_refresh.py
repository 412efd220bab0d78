"""Bring price bars and EMAs up to date: --all, --bars or --emas."""

import sys

from refresh.faces.cli import main
from refresh.options import Command

if __name__ == "__main__":
    sys.exit(main(Command.DAILY))
