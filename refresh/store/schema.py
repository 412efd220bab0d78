"""Creates the tables on first use and verifies them afterwards. Never drops or alters anything of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateColumn

from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, dimension
from refresh.errors import SchemaError, SettingsError
from refresh.store.tables import METADATA
from refresh.store.views import VIEWS

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_CREATION_LOCK = 0x7265_6672  # "refr"

_COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL),
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid = ANY (SELECT to_regclass(n) FROM unnest(CAST(:names AS text[])) AS n)
      AND a.attnum > 0 AND NOT a.attisdropped
""")

_TYPES = {"TEXT": "text", "DOUBLE PRECISION": "double precision", "INTEGER[]": "integer[]"}

Found = dict[str, dict[str, tuple[str, bool]]]
"""Table -> column -> (type, whether an insert must name it)."""


def found_columns(connection: Connection, names: Iterable[str]) -> Found:
    """The columns of those tables that exist."""
    found: Found = {}
    for table, column, kind, required in connection.execute(_COLUMNS, {"names": list(names)}):
        found.setdefault(table, {})[column] = (kind, required)
    return found


def is_prepared(connection: Connection) -> bool:
    """Whether the tables are there at all."""
    return len(found_columns(connection, METADATA.tables)) == len(METADATA.tables)


def prepare(connection: Connection, tz: str = "UTC") -> None:
    """Create what is missing, verify what is there, insert default timeframes and periods, pin the time zone.

    Raises ``SchemaError`` that lists every difference with the statement that mends it, and ``SettingsError`` where
    the tables were built with another time zone.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    found = found_columns(connection, METADATA.tables)
    problems = [problem for name in found for problem in _problems(METADATA.tables[name], found[name])]
    if problems:
        raise SchemaError("the tables do not fit: " + "; ".join(problems))
    missing = [table for name, table in METADATA.tables.items() if name not in found]
    if missing:
        METADATA.create_all(connection, missing, checkfirst=False)
    _create_views(connection)
    _insert_defaults(connection)
    _pin_time_zone(connection, tz)


def _create_views(connection: Connection) -> None:
    present = found_columns(connection, VIEWS)
    for name, query in VIEWS.items():
        if name not in present:
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))


def _problems(table: Table, found: dict[str, tuple[str, bool]]) -> Iterator[str]:
    for column in table.columns:
        if column.name not in found:
            yield f"{table.name}.{column.name} is missing: {_addition(table, column)}"
        elif found[column.name][0] != type_name(column):
            yield (
                f"{table.name}.{column.name} is {found[column.name][0]}, not {type_name(column)}: "
                f'ALTER TABLE {table.name} ALTER COLUMN "{column.name}" TYPE {type_name(column)} '
                f'USING "{column.name}"::{type_name(column)}'
            )
    for name, (_, required) in found.items():
        if required and name not in table.columns:
            yield (
                f"{table.name}.{name} is not ours and may not be NULL: "
                f'ALTER TABLE {table.name} ALTER COLUMN "{name}" DROP NOT NULL'
            )


def type_name(column: Column[Any]) -> str:
    """A column's type as PostgreSQL writes it, e.g. ``double precision``."""
    name = column.type.compile(_DIALECT).split(" COLLATE")[0]
    return _TYPES.get(name, name.lower())


def _addition(table: Table, column: Column[object]) -> str:
    """The statement that adds a column; rows that are there already hold NULL until they are rebuilt."""
    definition = " ".join(str(CreateColumn(column).compile(dialect=_DIALECT)).split())
    return f"ALTER TABLE {table.name} ADD COLUMN {definition.removesuffix(' NOT NULL')}"


def _insert_defaults(connection: Connection) -> None:
    timeframes = [
        {
            name: getattr(dimension(timeframe, place), name)
            for name in METADATA.tables["dim_timeframe"].columns.keys()  # noqa: SIM118 - a column collection
        }
        for place, timeframe in enumerate(DEFAULT_TIMEFRAMES, 1)
    ]
    periods = [{"period": period, "is_enabled": True, "sort_order": n} for n, period in enumerate(DEFAULT_PERIODS, 1)]
    for name, rows in (("dim_timeframe", timeframes), ("dim_period", periods)):
        connection.execute(insert(METADATA.tables[name]).values(rows).on_conflict_do_nothing())


def _pin_time_zone(connection: Connection, tz: str) -> None:
    settings = METADATA.tables["refresh_settings"]
    connection.execute(insert(settings).on_conflict_do_nothing(), [{"name": "tz", "value": tz}])
    built = connection.execute(settings.select().where(settings.c.name == "tz")).one().value
    if built != tz:
        raise SettingsError(
            f"--tz {tz}: the tables were built with {built}; use --tz {built}, or drop the tables and rebuild"
        )


def verify_source(connection: Connection, source: Table, optional: frozenset[str]) -> frozenset[str]:
    """The columns that the source table has. Raises ``SchemaError`` that lists what is missing."""
    found = found_columns(connection, [source.name]).get(source.name)
    if found is None:
        raise SchemaError(
            f"table {source.name} does not exist in this database; check --db-url, "
            "or create it by loading price files: python -m refresh.load FILE..."
        )
    missing = [name for name in source.columns.keys() if name not in found and name not in optional]  # noqa: SIM118
    if missing:
        raise SchemaError(f"table {source.name} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}")
    return frozenset(found)
