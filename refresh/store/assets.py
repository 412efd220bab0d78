"""Which assets there are, and what the user calls them: the symbols and names in ``dim_asset``."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from refresh.store.daily_state import BUILT_IDS
from refresh.store.dimension_tables import ASSETS
from refresh.store.schema import looking
from refresh.store.settings import begin_creating
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import METADATA


def read_symbols(engine: Engine) -> dict[str, list[int]]:
    """The assets that each symbol names, as it is spelt. Raises ``SchemaError``."""
    with looking(engine) as connection:
        return symbols(connection)


def symbols(connection: Connection) -> dict[str, list[int]]:
    """The same, of verified tables."""
    query = text(f"SELECT btrim(symbol) AS symbol, id FROM {ASSETS} WHERE btrim(symbol) <> '' ORDER BY id")
    ids: dict[str, list[int]] = {}
    for row in connection.execute(query):
        ids.setdefault(row.symbol, []).append(row.id)
    return ids


def built_ids(connection: Connection) -> list[int]:
    """Every asset that has daily bars or a state of them, in order."""
    return list(connection.execute(text(f"{BUILT_IDS} ORDER BY id")).scalars())


def name_asset(connection: Connection, id: int, symbol: str, name: str | None) -> None:
    """Give an asset a row, unless it has one, or the role may not write it. The table is created if it is missing."""
    may_write = f"has_table_privilege({relation(':table')}, 'INSERT, UPDATE')"
    query = text(
        f"SELECT {relation(':table')} IS NOT NULL AS exists, {may_write} AS may_write, {_MAY_CREATE} AS may_create"
    )
    table = connection.execute(query, {"table": ASSETS}).one()
    if not table.exists and table.may_create:
        begin_creating(connection)
        METADATA.tables[ASSETS].create(connection, checkfirst=True)
    if table.may_write or (not table.exists and table.may_create):
        insertion = f"INSERT INTO {ASSETS} (id, symbol, name) VALUES (:id, :symbol, :name) ON CONFLICT DO NOTHING"
        connection.execute(text(insertion), {"id": id, "symbol": symbol, "name": name})


_MAY_CREATE = f"has_schema_privilege('{SCHEMA}', 'CREATE')"
