"""SQL of the tests' own, beside what the programs do: statements in a transaction of their own, and queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text


def execute(engine: Engine, *statements: str, **values: Any) -> None:
    """Run statements in one transaction of their own, each with the same values."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def ask(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]
