"""What a database remembers of how its tables are built: the time zone in which a day starts, and what is folded."""

from __future__ import annotations

from collections.abc import Collection
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from refresh.errors import SettingsError
from refresh.store.existing import existing_kinds
from refresh.store.statements import SCHEMA
from refresh.store.tables import METADATA, SETTINGS
from refresh.wording import quoted

_CREATION_LOCK = 0x7265_6672  # "refr"
_TZ, _FOLD = "tz", "fold"
LAYOUT = "schema"
"""The setting that says which layout the tables have."""
ALL = "all"
"""Every asset, also those to come."""
_MAY_CREATE = f"SELECT has_schema_privilege('{SCHEMA}', 'CREATE')"


def begin_creating(connection: Connection) -> None:
    """Wait until no other transaction creates tables of ours; none will until this one ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})


def remembered_zone(connection: Connection) -> str | None:
    """The time zone of the tables; ``None`` if none is remembered yet, or nothing exists that could.

    Raises ``SettingsError`` if somebody has written what is no time zone.
    """
    tz = remembered(connection, _TZ)
    if tz is not None and not _is_zone(tz):
        raise SettingsError(
            f"refresh_settings, tz: {quoted(tz)} is not the name of a time zone; set it back to that of the tables: "
            f"UPDATE {SETTINGS} SET value = 'UTC' WHERE name = '{_TZ}'"
        )
    return tz


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name).key)
    except (KeyError, ValueError, OSError):
        return False


def remember_zone(connection: Connection, tz: str) -> None:
    """Remember the time zone of the tables, in the caller's transaction. Creates the table of settings, and only that.

    Raises ``SettingsError`` if another time zone is remembered.
    """
    _create(connection)
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


def change_zone(connection: Connection, tz: str) -> str | None:
    """Give the tables another time zone; the caller sees to it that all of them are rebuilt.

    Returns the zone that they had; ``None`` if it is the same, or none is remembered.
    """
    begin_creating(connection)
    built = remembered_zone(connection)
    if built in {None, tz}:
        return None
    query = text(f"UPDATE {SETTINGS} SET value = :tz WHERE name = :name")
    connection.execute(query, {"name": _TZ, "tz": tz})
    return built


def check_time_zone(connection: Connection, tz: str) -> None:
    """Raise ``SettingsError`` if the tables were built with another time zone."""
    built = remembered_zone(connection)
    if built not in {None, tz}:
        raise SettingsError(
            f"--tz {tz}: the tables were built with {built}; use --tz {built}, "
            f"or change the zone of all assets with --all --full-rebuild --tz {tz}"
        )


def remembered_folds(connection: Connection) -> str | frozenset[int]:
    """The assets whose rows are folded into days: ``ALL``, or these. Raises ``SettingsError`` for anything else."""
    value = remembered(connection, _FOLD) or ""
    if value == ALL:
        return ALL
    try:
        return frozenset(map(int, value.replace(",", " ").split()))
    except ValueError:
        raise SettingsError(f"refresh_settings, fold: {quoted(value)} is neither 'all' nor a list of ids") from None


def remember_folds(connection: Connection, ids: Collection[int] | None) -> None:
    """Remember that the rows of these assets are folded, beside those that are already; ``None``: of all assets."""
    known = remembered_folds(connection)
    value = ALL if known == ALL or ids is None else ",".join(map(str, sorted({*map(int, known), *ids})))
    remember(connection, _FOLD, value)


def remembered(connection: Connection, name: str) -> str | None:
    """The value of a setting; ``None`` if there is none."""
    if not existing_kinds(connection, [SETTINGS]):
        return None
    query = text(f"SELECT value FROM {SETTINGS} WHERE name = :name")
    return connection.execute(query, {"name": name}).scalar()


def remember(connection: Connection, name: str, value: str) -> None:
    """Give a setting a value, in place of the one that it has."""
    _create(connection)
    connection.execute(
        text(f"""INSERT INTO {SETTINGS} AS s (name, value) VALUES (:name, :value)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE s.value <> excluded.value"""),
        {"name": name, "value": value},
    )


def _create(connection: Connection) -> None:
    """Create the table of settings, and only that, if it is missing."""
    begin_creating(connection)
    if not existing_kinds(connection, [SETTINGS]):
        METADATA.tables[SETTINGS].create(connection, checkfirst=False)
