"""Creates the tables on first use and verifies them afterwards. Never drops or alters anything of the user's.

Opening is not preparing: only a run that may write prepares, whoever looks only verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateColumn

from refresh.errors import SchemaError, SettingsError
from refresh.store.absent import read_as_empty
from refresh.store.dimensions import DEFAULT_PERIOD_ROWS, DEFAULT_TIMEFRAME_ROWS
from refresh.store.tables import METADATA, SETTINGS
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


def prepare(connection: Connection, tz: str = "UTC") -> None:
    """Create what is missing, verify what exists, insert default timeframes and periods, pin the time zone.

    Raises ``SchemaError`` that lists every difference with the statement that mends it, and ``SettingsError`` where
    the tables were built with another time zone.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    missing = verify(connection)
    if missing:
        METADATA.create_all(connection, missing, checkfirst=False)
    _create_views(connection)
    _insert_defaults(connection)
    settings = METADATA.tables[SETTINGS]
    connection.execute(insert(settings).on_conflict_do_nothing(), [{"name": "tz", "value": tz}])
    check_time_zone(connection, tz)


def verify(connection: Connection) -> list[Table]:
    """The tables that do not exist yet. Raises ``SchemaError`` where an existing one does not fit."""
    found = found_columns(connection, METADATA.tables)
    problems: list[str] = []
    for name, columns in found.items():
        problems += _problems(METADATA.tables[name], columns)
    if problems:
        raise SchemaError("the tables do not fit: " + "; ".join(problems))
    return [table for name, table in METADATA.tables.items() if name not in found]


def check_time_zone(connection: Connection, tz: str) -> None:
    """Raise ``SettingsError`` where the tables were built with another time zone."""
    query = text(f"SELECT value FROM {SETTINGS} WHERE name = 'tz'")
    built = connection.execute(query).scalar()
    if built not in {None, tz}:
        raise SettingsError(
            f"--tz {tz}: the tables were built with {built}; use --tz {built}, or drop the tables and rebuild"
        )


@contextmanager
def looking(engine: Engine, tz: str | None = None) -> Iterator[Connection]:
    """A transaction that can only read, on verified tables; those of ours that do not exist read as empty ones.

    Raises ``SchemaError`` and, where ``tz`` is not that of the tables, ``SettingsError``.
    """
    with engine.connect() as session:
        connection = session.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            looked_at = read_as_empty(connection, verify(connection))
            if tz is not None:
                check_time_zone(looked_at, tz)
            yield looked_at


def is_built(connection: Connection) -> bool:
    """Whether every table of ours exists."""
    return not verify(connection)


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
    for name, rows in (("dim_timeframe", DEFAULT_TIMEFRAME_ROWS), ("dim_period", DEFAULT_PERIOD_ROWS)):
        connection.execute(insert(METADATA.tables[name]).values(rows).on_conflict_do_nothing())


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
