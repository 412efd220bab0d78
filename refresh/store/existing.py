"""What the database has of some tables: their kind, columns and indexes, as the catalogue of PostgreSQL says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from refresh.store.statements import relation

_OURS = f"c.oid = ANY (SELECT {relation('n')} FROM unnest(CAST(:names AS text[])) AS n)"
_COLUMNS = text(f"""
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type, a.attnotnull,
           format_type(coalesce(nullif(y.typbasetype, 0), y.oid), NULL) AS base_type,
           a.atthasdef OR a.attidentity <> '' AS has_default,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AS is_required
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type y ON y.oid = a.atttypid
    WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.oid, a.attnum
""")
_KINDS = text(f"SELECT c.relname, c.relkind::text FROM pg_class c WHERE {_OURS}")
_INDEXES = text(f"""
    SELECT c.relname, x.relname AS name, i.indisunique, i.indisprimary,
           i.indisvalid AND i.indisready AS is_valid, pg_get_expr(i.indpred, i.indrelid) AS predicate,
           ARRAY(SELECT coalesce(a.attname::text, '') || CASE WHEN i.indoption[n] & 1 = 1 THEN ' DESC' ELSE '' END
                 FROM generate_series(0, i.indnkeyatts - 1) AS n
                 LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] ORDER BY n) AS columns
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE {_OURS} ORDER BY 1, 2
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingColumn:
    """A column that the database has: its type, whether it may be NULL, and whether an insert must name it.

    ``base_type``: of a domain, the type that it is of.
    """

    type: str
    base_type: str
    is_required: bool
    is_nullable: bool
    has_default: bool


ExistingColumns = Mapping[str, ExistingColumn]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingIndex:
    """An index that the database has. ``columns``: those of its key, in order; "" for an expression."""

    name: str
    columns: tuple[str, ...]
    predicate: str
    is_unique: bool
    is_primary: bool
    is_valid: bool


def existing_columns(connection: Connection, names: Iterable[str]) -> Mapping[str, ExistingColumns]:
    """The columns of those tables that exist, by table."""
    tables: dict[str, dict[str, ExistingColumn]] = {}
    for row in connection.execute(_COLUMNS, {"names": list(names)}):
        column = ExistingColumn(
            type=row.type,
            base_type=row.base_type,
            is_required=row.is_required,
            is_nullable=not row.attnotnull,
            has_default=row.has_default,
        )
        tables.setdefault(row.relname, {})[row.attname] = column
    return tables


def existing_kinds(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """The kind of each relation that exists, as ``pg_class.relkind`` has it."""
    return {row.relname: row.relkind for row in connection.execute(_KINDS, {"names": list(names)})}


def existing_indexes(connection: Connection, names: Iterable[str]) -> Mapping[str, Sequence[ExistingIndex]]:
    """The indexes of those tables that exist, by table; keys are among them."""
    tables: dict[str, list[ExistingIndex]] = {}
    for row in connection.execute(_INDEXES, {"names": list(names)}):
        index = ExistingIndex(
            name=row.name,
            columns=tuple(row.columns),
            predicate=plain(row.predicate or ""),
            is_unique=row.indisunique,
            is_primary=row.indisprimary,
            is_valid=row.is_valid,
        )
        tables.setdefault(row.relname, []).append(index)
    return tables


def plain(predicate: str) -> str:
    """A condition without the brackets that PostgreSQL adds."""
    return predicate.removeprefix("(").removesuffix(")")
