"""Whether the types of the user's price table fit, and the statements that make them fit."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from refresh.errors import SchemaError
from refresh.store.declaration import type_name
from refresh.store.existing import ExistingColumn, ExistingColumns

_WHOLE = {"smallint", "integer", "bigint"}
_TIMES = {"timestamp with time zone", "timestamp without time zone", "date"}
_FITTING = {
    "integer": _WHOLE | {"numeric"},
    "double precision": _WHOLE | {"numeric", "real", "double precision"},
    "timestamp with time zone": _TIMES,
}
"""The types that PostgreSQL makes ours of without losing anything; every type has a text."""
_NUMBERS = _FITTING["double precision"]
_CASTS = {
    "money": '"{name}"::numeric::{type}',
    "json": "(\"{name}\" #>> '{{}}')::{type}",
    "jsonb": "(\"{name}\" #>> '{{}}')::{type}",
}
_TABLES = {"r", "p"}


def refuse_other_types(source: Table, existing: ExistingColumns, kind: str) -> None:
    """Raise ``SchemaError`` that lists the columns whose types do not fit, with the statement that mends them.

    A table is altered. Another relation is renamed, and a view that casts takes its place.
    """
    casts = dict(_casts(source, existing))
    if not casts:
        return
    types = {name: type_name(source.columns[name]) for name in casts}
    wrong = "; ".join(f"{source.name}.{name} is {existing[name].type}, not {types[name]}" for name in casts)
    if kind in _TABLES:
        changes = [f'ALTER COLUMN "{name}" TYPE {types[name]} USING {cast}' for name, cast in casts.items()]
        mending = f"ALTER TABLE {source.name} {', '.join(changes)}"
    else:
        former = f"{source.name}_as_it_was"
        columns = [f'{casts[name]} AS "{name}"' if name in casts else f'"{name}"' for name in existing]
        view = f"CREATE VIEW {source.name} AS SELECT {', '.join(columns)} FROM {former}"
        mending = f"ALTER TABLE {source.name} RENAME TO {former}; {view}"
    if _TIMES.intersection(types.values()):
        mending = f"SET timezone = 'UTC'; {mending}"
    raise SchemaError(f"the price table does not fit: {wrong}; to mend it: {mending}")


def _casts(source: Table, existing: ExistingColumns) -> Iterator[tuple[str, str]]:
    """The columns whose types do not fit, with SQL that makes ours of their values."""
    for column in source.columns:
        found, wanted = existing.get(column.name), type_name(column)
        if found and wanted in _FITTING and found.base_type not in _FITTING[wanted]:
            yield column.name, _cast(column.name, found, wanted)


def _cast(name: str, found: ExistingColumn, wanted: str) -> str:
    if wanted in _TIMES and found.base_type in _NUMBERS:
        return f'to_timestamp("{name}")'
    return _CASTS.get(found.base_type, '"{name}"::text::{type}').format(name=name, type=wanted)
