"""What happens inside one builder process: decide, read, compute, commit, report."""

from refresh import threads  # noqa: F401 - before anything imports numpy
