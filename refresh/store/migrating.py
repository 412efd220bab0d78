"""Which layout a database has, and bringing it to the layout of this program: in the caller's transaction, in order.

The layout is a number in the settings. A database that has our tables and no such number is of the first layout.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, text

from refresh.errors import SchemaError, SettingsError
from refresh.store.comments import comment_on
from refresh.store.dimension_tables import ASSETS
from refresh.store.existing import existing_kinds
from refresh.store.migrations import FIRST, LATEST, MIGRATIONS, Migration
from refresh.store.settings import LAYOUT, begin_creating, remember
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import METADATA, SETTINGS
from refresh.store.views import VIEWS, replace_former
from refresh.wording import listed, quoted

_NUMBER = "[0-9]{1,9}"
_BY_LOADING = {SETTINGS, ASSETS}
"""Tables that loading prices creates, in a database in which nothing is built yet."""
_VALUE = text(f"SELECT to_jsonb(s) ->> 'value' FROM {SETTINGS} s WHERE to_jsonb(s) ->> 'name' = :name")
"""It fails on no columns that the table may have: what does not fit is found later, all at once."""
_OTHER_OWNERS = text(f"""
    SELECT DISTINCT pg_get_userbyid(c.relowner) AS owner, current_user AS role FROM pg_class c
    WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n)
      AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1
""")
_MAY_CREATE = text(f"SELECT has_schema_privilege('{SCHEMA}', 'CREATE') AS may, current_user AS role")


def layout_of(connection: Connection) -> int:
    """The layout of a database; that of this program where nothing is built yet.

    Raises ``SettingsError`` for a setting that is no layout, and ``SchemaError`` for a layout of a newer program.
    """
    return _layout(connection, _remembered(connection))


def _layout(connection: Connection, value: str | None) -> int:
    if value is None:
        is_built = bool(existing_kinds(connection, set(METADATA.tables) - _BY_LOADING))
        return FIRST if is_built else LATEST
    if not re.fullmatch(_NUMBER, value) or int(value) < FIRST:
        raise SettingsError(
            f"refresh_settings, {LAYOUT}: {quoted(value)} is not the number of a layout; set it back, "
            f"or delete the row: the tables then count as layout {FIRST}, and are migrated again"
        )
    if int(value) > LATEST:
        raise SchemaError(
            f"the tables have layout {value}, and this program knows none after {LATEST}: install the "
            "daily-refresh that made them, or a later one (in its checkout: git pull, then make setup)"
        )
    return int(value)


def _remembered(connection: Connection) -> str | None:
    if not existing_kinds(connection, [SETTINGS]):
        return None
    return connection.execute(_VALUE, {"name": LAYOUT}).scalar()


def outstanding(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> str:
    """What there is to migrate, in a line; empty if there is nothing. Raises what ``layout_of`` raises."""
    return _line(layout_of(connection), migrations)


def _line(layout: int, migrations: Sequence[Migration]) -> str:
    words = [migration.words for migration in migrations if migration.number > layout]
    return f"layout {layout} -> {migrations[-1].number}: {'; '.join(words)}" if words else ""


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> str:
    """Apply what is outstanding, and remember the layout. Returns what was done, in a line; empty if nothing was.

    Raises what ``layout_of`` raises, and ``SchemaError`` if this role may not do it.
    """
    begin_creating(connection)
    value = _remembered(connection)
    layout = _layout(connection, value)
    line = _line(layout, migrations)
    if line:
        _refuse_strangers(connection, line)
        for migration in migrations:
            if migration.number > layout:
                _apply(connection, migration)
    if line or value is None:
        remember(connection, LAYOUT, str(migrations[-1].number))
        comment_on(connection, _BY_LOADING)
    return line


def _apply(connection: Connection, migration: Migration) -> None:
    replace_former(connection, migration.former_views)
    for step in migration.steps:
        if callable(step):
            step(connection)
        else:
            connection.execute(text(step))


def _refuse_strangers(connection: Connection, line: str) -> None:
    """Raise ``SchemaError`` if the role does not own the tables, or may not create what they lack."""
    names = [*METADATA.tables, *VIEWS]
    owners = connection.execute(_OTHER_OWNERS, {"names": names}).all()
    if owners:
        raise SchemaError(
            f"{line}: only the owner of the tables can do this, not the role {owners[0].role}; "
            f"let the first run after the update be one of {listed(row.owner for row in owners)}"
        )
    right = connection.execute(_MAY_CREATE).one()
    if not right.may:
        raise SchemaError(
            f"{line}: the role {right.role} may create nothing here; "
            f"for this run, GRANT CREATE ON SCHEMA {SCHEMA} TO {right.role}"
        )
