"""What a database remembers of how its tables are built: the time zone in which a day starts."""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from refresh.errors import SettingsError
from refresh.store.existing import existing_kinds
from refresh.store.statements import SCHEMA
from refresh.store.tables import METADATA, SETTINGS

_CREATION_LOCK = 0x7265_6672  # "refr"
_TZ = "tz"
_MAY_CREATE = f"SELECT has_schema_privilege('{SCHEMA}', 'CREATE')"


def begin_creating(connection: Connection) -> None:
    """Wait until no other transaction creates tables of ours; none will until this one ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})


def remembered_zone(connection: Connection) -> str | None:
    """The time zone of the tables; ``None`` if none is remembered yet, or nothing exists that could."""
    return remembered(connection, _TZ)


def remember_zone(connection: Connection, tz: str) -> None:
    """Remember the time zone of the tables, in the caller's transaction. Creates the table of settings, and only that.

    Raises ``SettingsError`` if another time zone is remembered.
    """
    begin_creating(connection)
    if not existing_kinds(connection, [SETTINGS]):
        METADATA.tables[SETTINGS].create(connection, checkfirst=False)
    row = {"name": _TZ, "value": tz}
    connection.execute(insert(METADATA.tables[SETTINGS]).values(row).on_conflict_do_nothing())
    check_time_zone(connection, tz)


def settled_zone(connection: Connection, typed: str | None) -> str:
    """The time zone of the tables for whoever fills the source: settled here, where none is remembered and that can be.

    Raises ``SettingsError`` if another one was ``typed``.
    """
    tz = remembered_zone(connection)
    if tz is None:
        tz = typed or "UTC"
        if typed or connection.execute(text(_MAY_CREATE)).scalar_one():
            remember_zone(connection, tz)
    elif typed:
        check_time_zone(connection, typed)
    return tz


def check_time_zone(connection: Connection, tz: str) -> None:
    """Raise ``SettingsError`` if the tables were built with another time zone."""
    built = remembered_zone(connection)
    if built not in {None, tz}:
        raise SettingsError(
            f"--tz {tz}: the tables were built with {built}; use --tz {built}, or drop the tables and rebuild"
        )


def remembered(connection: Connection, name: str) -> str | None:
    """The value of a setting; ``None`` if there is none."""
    if not existing_kinds(connection, [SETTINGS]):
        return None
    query = text(f"SELECT value FROM {SETTINGS} WHERE name = :name")
    return connection.execute(query, {"name": name}).scalar()
