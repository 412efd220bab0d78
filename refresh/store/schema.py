"""Creates the tables on first use and verifies them afterwards. Never drops anything or alters what the user shares.

Opening is not preparing: only a run that may write prepares, and looking only verifies. Tables of an older layout are
migrated first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, text
from sqlalchemy.dialects.postgresql import insert

from refresh.catalog import DEFAULT_ZONE, legs
from refresh.errors import SchemaError, SettingsError
from refresh.installation import command
from refresh.store import migrating, partitions
from refresh.store.absent import read_as_if_prepared
from refresh.store.comments import comment_on
from refresh.store.constraints import add_constraints
from refresh.store.dimensions import DEFAULT_PERIOD_ROWS, DEFAULT_TIMEFRAME_ROWS
from refresh.store.existing import ExistingColumns, existing_columns, existing_indexes, existing_kinds
from refresh.store.layout import refuse_former
from refresh.store.partitions import Cuts
from refresh.store.problems import addition, column_problems, key_problems, wrong_kind
from refresh.store.settings import change_zone, check_time_zone, remember_zone, remembered_zone
from refresh.store.source_types import refuse_other_types
from refresh.store.tables import METADATA, OURS_ALONE, TARGET_TABLES
from refresh.store.triggers import (
    keep_to_ourselves,
    states,
    suspect,
    suspect_parts,
    unwatched,
    unwatched_parts,
    watch,
    watch_parts,
)
from refresh.store.views import prepare_views
from refresh.wording import listed

_PREDATES = "version"
"""A column that states lack whose database was last refreshed by a program without triggers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lacking:
    """What a database lacks that a refresh creates by itself: tables, columns of tables that are ours alone, views.

    ``views``: those of averages, declared like tables. ``cuts``: the partitions of the tables that exist.
    """

    tables: tuple[Table, ...]
    columns: tuple[Column[Any], ...]
    views: tuple[Table, ...]
    cuts: Cuts


def prepare(connection: Connection, tz: str | None = None, parts: int | None = None) -> str:
    """Create what is missing, verify what exists, insert default timeframes and periods, pin the time zone.

    ``parts``: the number of partitions of tables that can have some; ``None``: as it is. Returns the zone: ``tz``, or
    if that is ``None`` the one that is remembered, or ``DEFAULT_ZONE``. Raises ``SchemaError`` that lists every
    difference with the statement that mends it, and ``SettingsError`` if the tables were built with another time zone
    or another number of partitions, or nothing can be written.
    """
    migrate(connection)
    lacking = verify(connection)
    number = partitions.number_of_new(connection, parts, lacking.cuts)
    if lacking.tables:
        partitions.create_tables(connection, lacking.tables, number)
        add_constraints(connection, {table.name for table in lacking.tables})
    partitions.create_missing(connection, lacking.cuts.missing)
    for column in lacking.columns:
        connection.execute(text(addition(column.table, column)))
    _watch(connection, lacking)
    _watch_parts(connection)
    keep_to_ourselves(connection)
    created = {table.name for table in lacking.tables}.union(prepare_views(connection))
    if created or lacking.columns:
        comment_on(connection, created.union(column.table.name for column in lacking.columns))
    _insert_absent(connection, "dim_timeframe", DEFAULT_TIMEFRAME_ROWS)
    _insert_absent(connection, "dim_period", DEFAULT_PERIOD_ROWS)
    zone = tz or remembered_zone(connection) or DEFAULT_ZONE
    remember_zone(connection, zone)
    return zone


def migrate(connection: Connection) -> str:
    """Bring older tables to the layout of this program. Returns what was done, in a line; empty if nothing was.

    Raises ``SchemaError`` for tables of a newer program, and if this role may not do it; ``SettingsError``.
    """
    refuse_standby(connection)
    refuse_former(connection)
    return migrating.migrate(connection)


def refuse_outdated(connection: Connection) -> None:
    """Raise ``SchemaError`` if there is anything to migrate, for a run that must not do it."""
    line = migrating.outstanding(connection)
    if line:
        raise SchemaError(f"--no-migrate: {line} is outstanding; a run without --no-migrate does it")


def rezone(connection: Connection, tz: str) -> str | None:
    """Give tables that exist another time zone. Until they are rebuilt, no state claims that its rows are right.

    Returns the zone that they had; ``None`` if nothing changes. Raises ``SchemaError``, ``SettingsError``.
    """
    refuse_standby(connection)
    built = change_zone(connection, tz)
    if built:
        prepare(connection, tz)
        suspect(connection, list(states()))
    return built


def refuse_standby(connection: Connection) -> None:
    """Raise ``SettingsError`` if the server follows another one, and so can only be read."""
    if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
        raise SettingsError(
            "this server is a standby, on which --dry-run, --explain, --validate, --check and --html work; "
            "to write, name its primary in --db-url or TARGET_DB_URL"
        )


def _watch(connection: Connection, lacking: Lacking) -> None:
    """Create the triggers that are missing. Without a good reason for that, rows may have been lost unnoticed."""
    tables = unwatched(connection, METADATA.tables)
    if not tables:
        return
    watch(connection, tables)
    _empty_without_places(connection, lacking)
    created = {table.name for table in lacking.tables}
    is_upgrade = any(column.name == _PREDATES for column in lacking.columns)
    suspect(connection, [name for name in tables if name in created or not is_upgrade])


def _watch_parts(connection: Connection) -> None:
    """The same for partitions, new ones among them: what was in a lost one has to be built again."""
    parts = partitions.existing_cuts(connection, existing_kinds(connection, partitions.CUT)).parts
    new = unwatched_parts(connection, parts) if parts else []
    if new:
        watch_parts(connection, {part: parts[part] for part in new})
        suspect_parts(connection, new)


def _empty_without_places(connection: Connection, lacking: Lacking) -> None:
    """Packed averages mean nothing once the table that says which is where is gone."""
    created = {table.name for table in lacking.tables}
    for _, leg in legs():
        if leg.averages and leg.places in created and leg.table not in created:
            connection.execute(text(f"TRUNCATE {leg.table}"))


def verify(connection: Connection) -> Lacking:
    """What does not exist yet. Raises ``SchemaError`` if something that exists does not fit."""
    refuse_former(connection)
    names = list(METADATA.tables)
    kinds = existing_kinds(connection, names)
    columns, indexes = existing_columns(connection, names), existing_indexes(connection, names)
    problems: list[str] = []
    added: list[Column[Any]] = []
    for name, kind in kinds.items():
        table = METADATA.tables[name]
        is_other = wrong_kind(name, kind)
        if is_other:
            problems.append(is_other)
            continue
        own = [column for column in table.columns if _is_added(column) and column.name not in columns.get(name, {})]
        added += own
        names_added = [column.name for column in own]
        problems += column_problems(table, columns.get(name, {}), added=names_added)
        problems += key_problems(table, indexes.get(name, ()), added=names_added)
    if problems:
        raise SchemaError("the tables do not fit: " + "; ".join(problems))
    missing = tuple(table for name, table in METADATA.tables.items() if name not in kinds)
    cuts = partitions.existing_cuts(connection, kinds)
    return Lacking(tables=missing, columns=tuple(added), views=tuple(_missing_views(connection)), cuts=cuts)


def _missing_views(connection: Connection) -> Iterator[Table]:
    views = [leg.target for _, leg in legs() if leg.averages]
    kinds = existing_kinds(connection, views)
    return (TARGET_TABLES[name] for name in views if name not in kinds)


def _is_added(column: Column[Any]) -> bool:
    """Whether a run adds the column where it is missing: the table is ours alone, and its rows have a value for it.

    A number that only counts rows says nothing about them, whosever the table is.
    """
    if column.identity is not None:
        return True
    if column.table.name not in OURS_ALONE:
        return False
    return bool(column.nullable) or column.server_default is not None


@contextmanager
def looking(engine: Engine, tz: str | None = None, parts: int | None = None) -> Iterator[Connection]:
    """A transaction that can only read, on verified tables; those of ours that do not exist read as empty.

    Raises ``SchemaError`` and, if ``tz`` or ``parts`` is not that of the tables, ``SettingsError``. Tables of an older
    layout are read as they are.
    """
    with engine.connect() as session:
        connection = session.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            migrating.layout_of(connection)
            lacking = verify(connection)
            partitions.number_of_new(connection, parts, lacking.cuts)
            reading = read_as_if_prepared(connection, (*lacking.tables, *lacking.views), lacking.columns)
            if tz is not None:
                check_time_zone(reading, tz)
            yield reading


def is_built(connection: Connection) -> bool:
    """Whether every table of ours exists."""
    return not verify(connection).tables


def _insert_absent(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(METADATA.tables[table]).values(rows).on_conflict_do_nothing())


def verify_source(connection: Connection, source: Table, optional: frozenset[str]) -> ExistingColumns:
    """The columns that the source table has. Raises ``SchemaError`` that lists what is missing or of another type."""
    existing = existing_columns(connection, [source.name]).get(source.name)
    if existing is None:
        raise SchemaError(
            f"table {source.name} does not exist in this database; check --db-url, "
            f"or create it by loading price files: {command('load')} FILE..."
        )
    required = [column.name for column in source.columns if column.name not in optional]
    missing = [name for name in required if name not in existing]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise SchemaError(f"table {source.name} lacks the {noun} {listed(missing)}")
    refuse_other_types(source, existing, existing_kinds(connection, [source.name])[source.name])
    return existing
