"""Looking at a database that lacks some of our tables or columns: it is read as if a refresh had just created them.

So looking needs no right to create anything. Each statement gets a WITH clause with an empty table for each missing
table that it names, and with the whole table where columns are missing; PostgreSQL looks for a name there before it
looks for a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, event

from refresh.store.declaration import type_name
from refresh.store.names import qualified
from refresh.store.problems import default_sql
from refresh.store.statements import SCHEMA

_OPTION = "absent_tables"
_WITH = re.compile(r"\s*WITH\s+(RECURSIVE\s+)?", re.IGNORECASE)


def listen(engine: Engine) -> None:
    """Complete every statement before it is sent."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def complete(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: object) -> tuple[str, Any]:
        return completed(connection, statement), parameters


def read_as_if_prepared(
    connection: Connection, tables: Iterable[Table], columns: Iterable[Column[Any]] = ()
) -> Connection:
    """The connection, on which these tables read as empty, and these columns of other tables as their defaults."""
    absent = {table.name: _no_rows(table) for table in tables}
    missing: dict[str, list[str]] = {}
    for column in columns:
        missing.setdefault(column.table.name, []).append(f'{default_sql(column)} AS "{column.name}"')
    for name, defaults in missing.items():
        absent[name] = f"SELECT t.*, {', '.join(defaults)} FROM {SCHEMA}.{name} t"
    return connection.execution_options(**{_OPTION: absent})


def completed(connection: Connection, statement: str) -> str:
    """The statement with the schema of our tables, and with the absent tables of its connection that it names."""
    absent: Mapping[str, str] = connection.get_execution_options().get(_OPTION, {})
    missing = [name for name in absent if re.search(rf"\b{name}\b", statement)]
    statement = qualified(statement, frozenset(missing))
    if not missing:
        return statement
    definitions = ", ".join(f"{name} AS NOT MATERIALIZED ({absent[name]})" for name in missing)
    clause = _WITH.match(statement)
    if clause is None:
        return f"WITH {definitions} {statement}"
    recursive = clause[1] or ""
    return f"WITH {recursive}{definitions}, {statement[clause.end() :]}"


def _no_rows(table: Table) -> str:
    nulls = ", ".join(f'CAST(NULL AS {type_name(column)}) AS "{column.name}"' for column in table.columns)
    return f"SELECT {nulls} WHERE false"
