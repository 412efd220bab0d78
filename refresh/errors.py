"""The error tree. Each class knows the exit code of a process that ends with it.

A message is one line: it names the parameter, the value and the way out. It never holds a password.
"""


class RefreshError(Exception):
    """A failure that is told to the user in one line."""

    exit_code = 1


class UsageError(RefreshError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class CannotStartError(RefreshError):
    """Nothing could run: settings, database or schema."""

    exit_code = 3


class SettingsError(CannotStartError):
    """A setting has a value that cannot be used."""


class DatabaseUnreachableError(CannotStartError):
    """No connection to the database could be made."""


class EmbeddedServerError(CannotStartError):
    """The PostgreSQL that comes with the package could not be set up or started."""


class SchemaError(CannotStartError):
    """A table exists but lacks a column, or a column has another type than its rows need."""


class DimensionError(CannotStartError):
    """A row of ``dim_timeframe`` or ``dim_period`` breaks the rules of its family."""


class AlreadyRunningError(RefreshError):
    """Another refresh works on the same database."""

    exit_code = 75


class ViolationError(RefreshError):
    """A computed value breaks a law that must always hold; its asset is not committed."""
