"""Statements and queries that tests send themselves, beside what the programs do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, make_url, text


def execute(engine: Engine, *statements: str, **values: Any) -> None:
    """Run statements in one transaction, each with the same values."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def ask(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def address(engine: Engine) -> str:
    """The URL of the database of an engine, with its password."""
    return engine.url.render_as_string(hide_password=False)


def with_password(url: URL | str, password: str) -> str:
    """The same URL with a password, which a server that trusts everybody does not check."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)
