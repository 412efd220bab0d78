"""Creates the tables on first use and verifies them afterwards. Never drops or alters anything of the user's.

Opening is not preparing: only a run that may write prepares, and looking only verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateColumn

from refresh.errors import SchemaError, SettingsError
from refresh.store.absent import read_as_empty
from refresh.store.declaration import DIALECT, type_name
from refresh.store.dimensions import DEFAULT_PERIOD_ROWS, DEFAULT_TIMEFRAME_ROWS
from refresh.store.tables import METADATA, SETTINGS
from refresh.store.views import VIEWS
from refresh.wording import listed

_CREATION_LOCK = 0x7265_6672  # "refr"

_COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AS is_required
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid = ANY (SELECT to_regclass(n) FROM unnest(CAST(:names AS text[])) AS n)
      AND a.attnum > 0 AND NOT a.attisdropped
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingColumn:
    """A column that the database has: its type, and whether an insert must name it."""

    type: str
    is_required: bool


ExistingColumns = Mapping[str, ExistingColumn]


def existing_columns(connection: Connection, names: Iterable[str]) -> Mapping[str, ExistingColumns]:
    """The columns of those tables that exist, by table."""
    tables: dict[str, dict[str, ExistingColumn]] = {}
    for row in connection.execute(_COLUMNS, {"names": list(names)}):
        column = ExistingColumn(type=row.type, is_required=row.is_required)
        tables.setdefault(row.relname, {})[row.attname] = column
    return tables


def prepare(connection: Connection, tz: str = "UTC") -> None:
    """Create what is missing, verify what exists, insert default timeframes and periods, pin the time zone.

    Raises ``SchemaError`` that lists every difference with the statement that mends it, and ``SettingsError`` if the
    tables were built with another time zone.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    missing = verify(connection)
    if missing:
        METADATA.create_all(connection, missing, checkfirst=False)
    _create_views(connection)
    _insert_absent(connection, "dim_timeframe", DEFAULT_TIMEFRAME_ROWS)
    _insert_absent(connection, "dim_period", DEFAULT_PERIOD_ROWS)
    _insert_absent(connection, SETTINGS, [{"name": "tz", "value": tz}])
    check_time_zone(connection, tz)


def verify(connection: Connection) -> list[Table]:
    """The tables that do not exist yet. Raises ``SchemaError`` if an existing one does not fit."""
    existing = existing_columns(connection, METADATA.tables)
    problems: list[str] = []
    for name, columns in existing.items():
        problems += _problems(METADATA.tables[name], columns)
    if problems:
        raise SchemaError("the tables do not fit: " + "; ".join(problems))
    return [table for name, table in METADATA.tables.items() if name not in existing]


def check_time_zone(connection: Connection, tz: str) -> None:
    """Raise ``SettingsError`` if the tables were built with another time zone."""
    query = text(f"SELECT value FROM {SETTINGS} WHERE name = 'tz'")
    built = connection.execute(query).scalar()
    if built not in {None, tz}:
        raise SettingsError(
            f"--tz {tz}: the tables were built with {built}; use --tz {built}, or drop the tables and rebuild"
        )


@contextmanager
def looking(engine: Engine, tz: str | None = None) -> Iterator[Connection]:
    """A transaction that can only read, on verified tables; those of ours that do not exist read as empty.

    Raises ``SchemaError`` and, if ``tz`` is not that of the tables, ``SettingsError``.
    """
    with engine.connect() as session:
        connection = session.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            reading = read_as_empty(connection, verify(connection))
            if tz is not None:
                check_time_zone(reading, tz)
            yield reading


def is_built(connection: Connection) -> bool:
    """Whether every table of ours exists."""
    return not verify(connection)


def _create_views(connection: Connection) -> None:
    existing = existing_columns(connection, VIEWS)
    for name, query in VIEWS.items():
        if name not in existing:
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))


def _insert_absent(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(METADATA.tables[table]).values(rows).on_conflict_do_nothing())


def _problems(table: Table, existing: ExistingColumns) -> Iterator[str]:
    """What does not fit, each with the statement that mends it."""
    for column in table.columns:
        name, type_ = column.name, type_name(column)
        if name not in existing:
            yield f"{table.name}.{name} is missing: {_addition(table, column)}"
        elif existing[name].type != type_:
            change = f'ALTER TABLE {table.name} ALTER COLUMN "{name}" TYPE {type_} USING "{name}"::{type_}'
            yield f"{table.name}.{name} is {existing[name].type}, not {type_}: {change}"
    for name, extra in existing.items():
        if extra.is_required and name not in table.columns:
            change = f'ALTER TABLE {table.name} ALTER COLUMN "{name}" DROP NOT NULL'
            yield f"{table.name}.{name} is not ours and may not be NULL: {change}"


def _addition(table: Table, column: Column[object]) -> str:
    """The statement that adds a column; rows that exist already hold NULL until they are rebuilt."""
    definition = " ".join(str(CreateColumn(column).compile(dialect=DIALECT)).split())
    return f"ALTER TABLE {table.name} ADD COLUMN {definition.removesuffix(' NOT NULL')}"


def verify_source(connection: Connection, source: Table, optional: frozenset[str]) -> frozenset[str]:
    """The columns that the source table has. Raises ``SchemaError`` that lists what is missing."""
    existing = existing_columns(connection, [source.name]).get(source.name)
    if existing is None:
        raise SchemaError(
            f"table {source.name} does not exist in this database; check --db-url, "
            "or create it by loading price files: python -m refresh.load FILE..."
        )
    required = [column.name for column in source.columns if column.name not in optional]
    missing = [name for name in required if name not in existing]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise SchemaError(f"table {source.name} lacks the {noun} {listed(missing)}")
    return frozenset(existing)
