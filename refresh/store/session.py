"""One session of the database: connected as libpq does it, set so that statements mean what they say, and verified.

Settings are made by statements after connecting: a pooler may refuse or swallow those of the start, and what users
give in the URL, in PGOPTIONS or in a service stays theirs. Most defaults of a role, a database or a server cannot
change what a statement of ours means, those in ``SETTINGS`` could.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

import psycopg2
from psycopg2.extensions import connection, make_dsn

from refresh.errors import SettingsError
from refresh.store.address import Address

CONNECT_SECONDS = 10
CLIENT_CHECK_SECONDS = 1
LONGEST_NAME = 63
"""The bytes of a session's name that PostgreSQL keeps."""

SETTINGS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "array_nulls": "on",
    "bytea_output": "hex",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "exit_on_error": "off",
    "extra_float_digits": "1",
    "jit": "off",
    "plpgsql.variable_conflict": "error",
    "quote_all_identifiers": "off",
    "restrict_nonsystem_relation_kind": "",
    "row_security": "on",
    "search_path": "pg_catalog, pg_temp",
    "session_replication_role": "origin",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}
"""What every session is set to. A setting that the server does not know yet, or no longer, keeps its one meaning."""

LIMITS = (
    "idle_in_transaction_session_timeout", "idle_session_timeout", "lock_timeout", "statement_timeout",
    "temp_file_limit", "transaction_timeout",
)  # fmt: skip
"""Limits of a role or a server. They stay, because somebody set them, and are named where they end something."""

_WANTED = ", ".join(["(%s, %s)"] * len(SETTINGS))
_SET = f"""
    SET search_path TO pg_catalog, pg_temp;
    SELECT set_config(name, wanted, false) FROM (VALUES {_WANTED}) AS w (name, wanted)
    WHERE current_setting(name, true) <> wanted
"""
_LOOK = """
    SELECT n, pg_catalog.current_setting(n, true), pg_catalog.pg_backend_pid()
    FROM pg_catalog.unnest(%s) AS n
"""


class Session(connection):
    """A session that is set. ``limits``: what ends its statements; ``is_pooled``: a pooler stands before the server."""

    limits: Mapping[str, str]
    is_pooled: bool


def open_session(address: Address, name: str) -> Session:
    """Connect, set and verify. ``name``: what others see of the session, before the name that users gave it.

    Raises ``psycopg2.Error``, and ``SettingsError`` for a setting that cannot be made or does not last.
    """
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_SECONDS))  # a URL or a service comes before it
    session = _connected(address)
    try:
        session.autocommit = True
        session.set_client_encoding("UTF8")
        _set(session, _full_name(session, name))
        _verify(session)
        session.autocommit = False
    except BaseException:
        session.close()
        raise
    return session


def _connected(address: Address) -> Session:
    session = _connect(address.parameters)
    if session.info.parameter_status("standard_conforming_strings") != "off":
        return session
    options = session.info.dsn_parameters.get("options", "")  # psycopg2 quotes for ever as this is when it connects
    session.close()
    return _connect({**address.parameters, "options": f"{options} -c standard_conforming_strings=on"})


def _connect(parameters: Mapping[str, str]) -> Session:
    try:
        return psycopg2.connect(make_dsn(**parameters), connection_factory=Session)
    except UnicodeDecodeError as error:  # before a session has an encoding, the server writes in its own
        raise psycopg2.OperationalError(error.object.decode("latin-1")) from None


def _full_name(session: Session, name: str) -> str:
    theirs = session.info.dsn_parameters.get("application_name", "")
    return f"{name} {theirs}".strip().encode()[:LONGEST_NAME].decode(errors="ignore")


def _set(session: Session, name: str) -> None:
    values: list[str] = []
    for pair in SETTINGS.items():
        values += pair
    with closing(session.cursor()) as cursor:
        try:
            cursor.execute(_SET, values)
        except psycopg2.errors.InsufficientPrivilege as error:
            raise SettingsError(
                f"a setting of this role or database stands in the way: {error.diag.message_primary}; remove it with "
                "ALTER ROLE ... RESET ..., or ALTER DATABASE ... RESET ..."
            ) from None
        cursor.execute("SET application_name TO %s", (name,))
        with suppress(psycopg2.Error):  # a server without it, or on a system without it
            cursor.execute(f"SET client_connection_check_interval = '{CLIENT_CHECK_SECONDS}s'")


def _verify(session: Session) -> None:
    with closing(session.cursor()) as cursor:
        cursor.execute(_LOOK, ([*SETTINGS, *LIMITS],))
        rows = cursor.fetchall()
    found = {name: value for name, value, _ in rows if value is not None}
    wrong = [name for name, wanted in SETTINGS.items() if found.get(name, wanted) != wanted]
    session.is_pooled = session.info.backend_pid != rows[0][2]
    session.limits = {name: found[name] for name in LIMITS if found.get(name, "0") not in {"0", "-1"}}
    if wrong:
        raise SettingsError(
            f"the setting {wrong[0]} does not last for a session of this database: what lies between here and the "
            "server shares sessions; connect to the server itself, or to a pool with pool_mode = session"
        )


def shares_sessions(open: Callable[[], Session]) -> bool:
    """Whether a pooler gives each transaction any session of the server, as pools in transaction mode do.

    Two clients then meet the same session, or one of them meets two.
    """
    with closing(open()) as one, closing(open()) as other:
        one.autocommit = other.autocommit = True
        of_one = {_backend(one), _backend(one)}
        of_other = {_backend(other), _backend(other)}
        if len(of_one) == len(of_other) == 1 and of_one != of_other:
            one.autocommit = False
            of_one |= {_backend(one)}  # in a transaction, so that the other client has to take another session
            of_other |= {_backend(other)}
            one.rollback()
            of_other |= {_backend(other)}
            of_one |= {_backend(one)}
    return len(of_one) > 1 or len(of_other) > 1 or of_one == of_other


def _backend(session: Session) -> Any:
    """The process of the server that answers now."""
    with closing(session.cursor()) as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        return cursor.fetchone()
