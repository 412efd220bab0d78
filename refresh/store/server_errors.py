"""What an error of the database says: in the server's own words, and which of its limits ended a statement."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg2
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

ASSET_ERRORS = (SQLAlchemyError, psycopg2.Error)
"""What a statement of one asset may raise."""
_LIMITS = {
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "53400": "temp_file_limit",
    "55P03": "lock_timeout",
    "57014": "statement_timeout",
    "57P05": "idle_session_timeout",
}
"""What may have ended a statement, by SQLSTATE: the words of the server may be of any language."""
_ENDING_SESSIONS = ("transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
"""Limits that close the connection; its last words do not always arrive."""


def connection_lost(error: Exception) -> bool:
    """Whether the error says that the server is gone or out of reach, not that a statement was wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (isinstance(error.orig, Exception) and connection_lost(error.orig))
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and not getattr(error, "pgcode", None)


def sql_state(error: Exception) -> str | None:
    """The SQLSTATE of an error."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "pgcode", None)


def first_line(error: Exception) -> str:
    """The server's message in one line, with the limit that ended the statement; the first error of several."""
    while isinstance(error.__context__, ASSET_ERRORS):
        error = error.__context__
    cause: object = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    lines = str(cause).strip().splitlines()
    line = lines[0] if lines else type(cause).__name__
    name = limit(error)
    return f"{line} ({_way_out(name, _limits(error)[name])})" if name else line


def limit(error: Exception) -> str | None:
    """The limit of this session that ended the statement, if one did; that of a lost session is its likeliest."""
    limits = _limits(error)
    names = _ENDING_SESSIONS if connection_lost(error) else [_LIMITS.get(sql_state(error) or "", "")]
    return next((name for name in names if name in limits), None)


def _limits(error: Exception) -> Mapping[str, str]:
    """The limits of the session in which a statement failed."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    session = getattr(getattr(cause, "cursor", None), "connection", None)
    limits: Mapping[str, str] = getattr(session, "limits", {})
    return limits


def _way_out(name: str, value: str) -> str:
    return (
        f"{name} is {value} for this role, database or server; lift it with ALTER ROLE ... SET {name} = 0, "
        f"or in the URL: ?options=-c%20{name}%3D0"
    )
