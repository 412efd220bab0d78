"""Looking at a database that lacks some of our tables: a statement reads a table that does not exist as empty.

So looking needs no right to create anything. Each statement gets a WITH clause with an empty table for each missing
table that it names; PostgreSQL looks for a name there before it looks for a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, Table, event

from refresh.store.declaration import type_name

_OPTION = "empty_tables"
_WITH = re.compile(r"\s*WITH\s+(RECURSIVE\s+)?", re.IGNORECASE)


def listen(engine: Engine) -> None:
    """Complete every statement of connections that ``read_as_empty`` returned."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def complete(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: object) -> tuple[str, Any]:
        return completed(connection, statement), parameters


def read_as_empty(connection: Connection, tables: Iterable[Table]) -> Connection:
    """The connection, on which these tables read as empty."""
    return connection.execution_options(**{_OPTION: {table.name: _no_rows(table) for table in tables}})


def completed(connection: Connection, statement: str) -> str:
    """The statement with the empty tables of its connection that it names."""
    empty: Mapping[str, str] = connection.get_execution_options().get(_OPTION, {})
    missing = [name for name in empty if re.search(rf"\b{name}\b", statement)]
    if not missing:
        return statement
    definitions = ", ".join(f"{name} AS ({empty[name]})" for name in missing)
    clause = _WITH.match(statement)
    if clause is None:
        return f"WITH {definitions} {statement}"
    recursive = clause[1] or ""
    return f"WITH {recursive}{definitions}, {statement[clause.end() :]}"


def _no_rows(table: Table) -> str:
    nulls = ", ".join(f'CAST(NULL AS {type_name(column)}) AS "{column.name}"' for column in table.columns)
    return f"SELECT {nulls} WHERE false"
