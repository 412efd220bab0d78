"""The programs: each joins the rooms for one thing that a user can ask for. Only this room may import everything."""

from refresh import threads  # noqa: F401 - before anything imports numpy
