"""How a table is declared: the types and defaults of its columns by the names that the catalogue uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
    func,
    text,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from refresh.shapes import Column

_TYPES: dict[str, TypeEngine[Any]] = {
    "int4": Integer(),
    "int8": BigInteger(),
    "float8": Double(),
    "bool": Boolean(),
    "text": Text(collation="C"),  # ICU collations cost half the speed of a load
    "date": Date(),
    "numeric": Numeric(),
    "timestamptz": DateTime(timezone=True),
    "written": DateTime(timezone=True),
    "enabled": Boolean(),
    "version": Integer(),
    "calendar": Text(collation="C"),
    "numbered": BigInteger(),
    "int4[]": ARRAY(Integer),
    "float8[]": ARRAY(Double),
    "bytea": LargeBinary(),
    "text[]": ARRAY(Text),
    "jsonb": JSONB(),
}
"""PostgreSQL's types, and four with a default: ``written`` is the time of writing, ``enabled`` true, ``version`` 1,
``calendar`` auto.

``numbered`` counts the rows ever written, the key of tables without another: only rows with a key can be published.
"""
_DEFAULTS: dict[str, Any] = {
    "written": func.now(),
    "enabled": text("true"),
    "version": text("1"),
    "calendar": text("'auto'"),
}
_NUMBERED = "numbered"
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def declared_table(
    metadata: MetaData, name: str, columns: Iterable[Column], key: Sequence[str], *extras: SchemaItem, **options: Any
) -> Table:
    """A table with a primary key, if ``key`` names columns, with further keys and indexes, and with options."""
    items = [*map(_column, columns), *extras]
    if key:
        items.append(PrimaryKeyConstraint(*key))
    return Table(name, metadata, *items, **options)


def _column(column: Column) -> SqlColumn[Any]:
    is_numbered = column.type == _NUMBERED
    return SqlColumn(
        column.name,
        _TYPES[column.type],
        *([Identity(always=True)] if is_numbered else []),
        nullable=column.nullable,
        server_default=_DEFAULTS.get(column.type),
        autoincrement=is_numbered,
    )


def keep_noise_in_rows(table: Table) -> None:
    """Have no array moved out of its row, compressed or analyzed: its numbers have no pattern."""
    arrays = [f'ALTER COLUMN "{column.name}"' for column in table.columns if isinstance(column.type, ARRAY)]
    if not arrays:
        return
    changes = ", ".join(f"{array} SET STORAGE PLAIN, {array} SET STATISTICS 0" for array in arrays)
    event.listen(table, "after_create", DDL(f"ALTER TABLE {table.name} {changes}"))  # type: ignore[no-untyped-call]


def type_name(column: SqlColumn[Any]) -> str:
    """A column's type as PostgreSQL writes it, without a collation, e.g. ``double precision``."""
    return column.type.compile(DIALECT).split(" COLLATE")[0].lower()
