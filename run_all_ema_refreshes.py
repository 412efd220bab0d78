"""Bring the EMA tables up to date."""

import sys

from refresh.faces.cli import main
from refresh.options import Command

if __name__ == "__main__":
    sys.exit(main(Command.EMAS))
