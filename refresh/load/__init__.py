"""Price files into the source table: ``python -m refresh.load FILE...``."""

from refresh import threads  # noqa: F401 - before anything imports numpy
