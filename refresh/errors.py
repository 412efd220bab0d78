"""The error tree and every exit code. Each error class knows the exit code of a process that ends with it.

A message is one line: it names the parameter, the value and the way out. It never holds a password.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Self

_LIMITS = {errno.EMFILE: "open files (ulimit -n)", errno.EAGAIN: "processes (ulimit -u)"}


class ExitCode(IntEnum):
    """How a program ends, and what that means."""

    def __new__(cls, code: int, meaning: str) -> Self:
        """An integer with a meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    meaning: str

    DONE = 0, "everything due is done, or nothing was due; with --check: every asset is fresh in every table"
    FAILED = 1, "an asset, a builder, a price file or some of its lines failed or was left out; the rest is done"
    USAGE = 2, "the command line asks for something that does not exist or does not fit together"
    CANNOT_START = 3, "nothing could start: a setting, the database, a table or a dimension row does not fit"
    INVALID = 4, "validation found wrong values"
    ALREADY_RUNNING = 75, "another refresh of this database is running"
    HUNG_UP = 129, "stopped by SIGHUP: the terminal was closed"
    INTERRUPTED = 130, "stopped by Ctrl-C (SIGINT)"
    TERMINATED = 143, "stopped by SIGTERM"


SHORTAGES = (OSError, MemoryError, RuntimeError, ImportError)
"""What Python raises if the system gives no file, process, thread (a ``RuntimeError``), memory, or library of its own.

The last two may be one: a library that is loaded late finds no memory left to be mapped into.
"""


def shortage(error: Exception) -> str:
    """What the system does not give, in one line; any other error of these kinds as it is."""
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, OSError) and error.errno in _LIMITS:
        return f"{error.strerror}: raise the limit of {_LIMITS[error.errno]}"
    return str(error) or type(error).__name__


class RefreshError(Exception):
    """A failure that is reported to the user in one line."""

    exit_code = ExitCode.FAILED


class UsageError(RefreshError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE


class CannotStartError(RefreshError):
    """Nothing could run: settings, database or schema."""

    exit_code = ExitCode.CANNOT_START


class SettingsError(CannotStartError):
    """A setting has a value that cannot be used."""


class DatabaseUnreachableError(CannotStartError):
    """No connection to the database could be made."""


class PoolingError(CannotStartError):
    """A pooler gives every transaction another session of the server, so locks and settings do not hold."""


class EmbeddedServerError(CannotStartError):
    """The PostgreSQL that comes with the package could not be set up or started."""


class SchemaError(CannotStartError):
    """A table exists but lacks a column, or a column has another type than its rows need."""


class DimensionError(CannotStartError):
    """A row of ``dim_timeframe`` or ``dim_period`` breaks the rules of its family."""


class AlreadyRunningError(RefreshError):
    """Another refresh works on the same database."""

    exit_code = ExitCode.ALREADY_RUNNING


class ReadingError(RefreshError):
    """The database refused what was asked of it."""


class MissingPackageError(RefreshError):
    """What was asked for needs a package that is not installed."""


class SequenceError(RefreshError):
    """Daily bars do not follow the bars that are stored."""


class ViolationError(RefreshError):
    """A computed value breaks a law that must always hold; its asset is not committed."""
