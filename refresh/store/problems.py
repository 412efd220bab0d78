"""How tables that exist differ from what is declared, each difference with the statement that mends it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Index, Table, UniqueConstraint
from sqlalchemy.schema import CreateColumn, CreateIndex

from refresh.store.declaration import DIALECT, type_name
from refresh.store.existing import ExistingColumns, ExistingIndex, plain

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index"}
_TABLES = {"r", "p"}


def wrong_kind(name: str, kind: str) -> str | None:
    """Why a relation of this name cannot be our table; ``None`` if it can."""
    if kind in _TABLES:
        return None
    found = _KINDS.get(kind, "no table")
    return f"{name} is {found}, not a table: ALTER TABLE {name} RENAME TO {name}_of_another"


def column_problems(table: Table, existing: ExistingColumns, *, added: Collection[str] = ()) -> Iterator[str]:
    """Columns that are missing, of another type, lack a default, or may or must not be NULL; not those just added."""
    key = [column.name for column in table.primary_key]
    for column in table.columns:
        name, type_ = column.name, type_name(column)
        found = existing.get(name)
        if found is None:
            if name not in added:
                yield f"{table.name}.{name} is missing: {addition(table, column)}"
            continue
        alter = f'ALTER TABLE {table.name} ALTER COLUMN "{name}"'
        if found.type != type_:
            yield f'{table.name}.{name} is {found.type}, not {type_}: {alter} TYPE {type_} USING "{name}"::{type_}'
        if found.is_nullable and name in key:
            yield f"{table.name}.{name} is of the key and may be NULL: {alter} SET NOT NULL"
        if column.server_default is not None and not found.has_default:
            yield f"{table.name}.{name} is without a default: {_default(table, column)}"
    for name, extra in existing.items():
        if extra.is_required and name not in table.columns:
            change = f'ALTER TABLE {table.name} ALTER COLUMN "{name}" DROP NOT NULL'
            yield f"{table.name}.{name} is not ours and may not be NULL: {change}"


def _default(table: Table, column: Column[Any]) -> str:
    """The statement that gives a column its default; a number that nothing counts is added again by the next run."""
    if column.identity is not None:
        return f'ALTER TABLE {table.name} DROP COLUMN "{column.name}"'
    return f'ALTER TABLE {table.name} ALTER COLUMN "{column.name}" SET DEFAULT {default_sql(column)}'


def key_problems(table: Table, existing: Sequence[ExistingIndex], *, added: Collection[str] = ()) -> Iterator[str]:
    """Keys and indexes that are missing or invalid. Others, and other names, are the user's business.

    A key of a column that is just ``added`` is added with it.
    """
    key = tuple(column.name for column in table.primary_key)
    if not set(key).intersection(added) and not any(index.is_primary and index.columns == key for index in existing):
        yield f"{table.name} is without its primary key: ALTER TABLE {table.name} ADD PRIMARY KEY ({_quoted(key)})"
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            columns = tuple(column.name for column in constraint.columns)
            if not any(_serves(index, columns, "", is_unique=True) for index in existing):
                change = f"ALTER TABLE {table.name} ADD UNIQUE ({_quoted(columns)})"
                yield f"{table.name} is without its unique key: {change}"
    for declared in sorted(table.indexes, key=lambda index: str(index.name)):
        yield from _index_problems(table, declared, existing)


def _index_problems(table: Table, declared: Index, existing: Sequence[ExistingIndex]) -> Iterator[str]:
    columns, predicate = _columns(declared), _predicate(declared)
    if any(_serves(index, columns, predicate) for index in existing):
        return
    for index in existing:
        if index.columns == columns and index.predicate == predicate:
            yield f"{table.name} is with an index that is invalid, {index.name}: REINDEX INDEX {index.name}"
            return
    create = " ".join(str(CreateIndex(declared).compile(dialect=DIALECT)).split())
    taken = [index.name for index in existing if index.name == declared.name]
    if taken:
        create = f"DROP INDEX {declared.name}, then {create}"
    yield f"{table.name} is without its index {declared.name}: {create}"


def _serves(index: ExistingIndex, columns: tuple[str, ...], predicate: str, *, is_unique: bool = False) -> bool:
    if is_unique and not index.is_unique:
        return False
    return index.is_valid and index.columns == columns and index.predicate == predicate


def _columns(index: Index) -> tuple[str, ...]:
    return tuple(getattr(expression, "name", None) or str(expression) for expression in index.expressions)


def _predicate(index: Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    return plain(str(where)) if where is not None else ""


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def addition(table: Table, column: Column[Any]) -> str:
    """The statement that adds a column; rows that exist already hold its default, or NULL until they are rebuilt."""
    definition = " ".join(str(CreateColumn(column).compile(dialect=DIALECT)).split())
    if column.server_default is None:
        definition = definition.removesuffix(" NOT NULL")
    if column.identity is not None:
        definition += " PRIMARY KEY"
    return f"ALTER TABLE {table.name} ADD COLUMN {definition}"


def default_sql(column: Column[Any]) -> str:
    """The default of a column in SQL; NULL if it has none."""
    if column.server_default is None or column.identity is not None:
        return f"CAST(NULL AS {type_name(column)})"
    return str(column.server_default.arg.compile(dialect=DIALECT))  # type: ignore[attr-defined]
