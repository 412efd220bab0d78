"""Statements and queries that tests send themselves, beside what the programs do."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool


@cache
def as_user(url: URL) -> Engine:
    """An engine whose sessions are those of a user: with the server's settings, and nothing done to statements."""
    return create_engine(url, poolclass=NullPool)


def execute(engine: Engine, *statements: str, **values: Any) -> None:
    """Run a user's statements in one transaction, each with the same values."""
    with as_user(engine.url).begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def ask(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a user's query."""
    with as_user(engine.url).connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def end_other_sessions(engine: Engine) -> None:
    """End all sessions of the database except one of the engine's own."""
    query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    with engine.begin() as connection:
        connection.execute(text(query))


def address(engine: Engine) -> str:
    """The URL of the database of an engine, with its password."""
    return engine.url.render_as_string(hide_password=False)


def with_password(url: URL | str, password: str) -> str:
    """The same URL with a password, which a server that trusts everybody does not check."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)
