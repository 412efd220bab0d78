"""Views over all shards in one database: foreign tables of postgres_fdw, and the union of them under the same names.

What a reader asks about ``id`` goes to the shards with the query, so they answer from their indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg2.extensions import adapt
from sqlalchemy import Connection, text

from refresh.catalog import SOURCE, legs
from refresh.errors import SchemaError
from refresh.store.address import read_address
from refresh.store.dimension_tables import ASSETS
from refresh.store.statements import SCHEMA

ALL_SHARDS = "all_shards"
"""The schema of the views."""
_EXTENSION = "postgres_fdw"
_OF_USERS = {"user", "password", "passfile", "sslpassword"}
_ROWS_AT_ONCE = 10_000


def viewed() -> list[str]:
    """What can be read over all shards: what builders write, the source, and the names of assets."""
    return [*(leg.target for _, leg in legs()), SOURCE, ASSETS]


def create_views(connection: Connection, addresses: Mapping[str, str]) -> None:
    """Create the views in the place of those that exist. Raises ``SchemaError`` without postgres_fdw."""
    found = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = :name)"
    if not connection.execute(text(found), {"name": _EXTENSION}).scalar_one():
        raise SchemaError(f"this server has no {_EXTENSION}; install it (it is in postgresql-contrib), or name another")
    for statement in _statements(addresses):
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _statements(addresses: Mapping[str, str]) -> Iterator[str]:
    yield f"CREATE EXTENSION IF NOT EXISTS {_EXTENSION} WITH SCHEMA {SCHEMA}"
    yield f"DROP SCHEMA IF EXISTS {ALL_SHARDS} CASCADE"
    yield f"CREATE SCHEMA {ALL_SHARDS}"
    for name, address in addresses.items():
        yield from _foreign(name, address)
    for table in viewed():
        rows = " UNION ALL ".join(f"SELECT '{name}' AS shard, * FROM {_schema(name)}.{table}" for name in addresses)
        yield f"CREATE VIEW {ALL_SHARDS}.{table} AS {rows}"


def _foreign(name: str, address: str) -> Iterator[str]:
    """The server of a shard, who reads from it, and its tables."""
    server, schema = f"refresh_{name}", _schema(name)
    parameters = read_address(address).parameters
    of_user = {key: value for key, value in parameters.items() if key in _OF_USERS}
    of_server = {key: value for key, value in parameters.items() if key not in of_user}
    of_server |= {"fetch_size": str(_ROWS_AT_ONCE), "use_remote_estimate": "true"}
    yield f"DROP SERVER IF EXISTS {server} CASCADE"
    yield f"CREATE SERVER {server} FOREIGN DATA WRAPPER {_EXTENSION} OPTIONS ({_options(of_server)})"
    needs_none = {} if "password" in of_user else {"password_required": "false"}
    yield f"CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({_options(of_user | needs_none)})"
    yield f"DROP SCHEMA IF EXISTS {schema} CASCADE"
    yield f"CREATE SCHEMA {schema}"
    yield f"IMPORT FOREIGN SCHEMA {SCHEMA} LIMIT TO ({', '.join(viewed())}) FROM SERVER {server} INTO {schema}"


def _schema(name: str) -> str:
    return f"shard_{name}"


def _options(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {_literal(value)}" for key, value in values.items())


def _literal(value: str) -> str:
    quoted = adapt(value)
    quoted.encoding = "utf-8"
    return str(quoted.getquoted().decode())
