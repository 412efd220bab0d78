"""A database full of look-alikes: what a stranger can put where a session may look for names.

Each function and operator raises an error that says so; each table is empty and each type takes no value.
"""

from __future__ import annotations

import re

from programs import PROJECT
from sqlalchemy import Engine
from statements import execute

from refresh.store.names import OURS

USED = "a stranger was called"
SCHEMA = "strangers"
ROLE = "stranger_of_tests"

_CALLED = r"\b([a-z_0-9]+)\("
_INSTEAD = {
    "as they are": "'{}'::jsonb",
    "smaller numbers": """'{"bigint": "integer", "numeric": "integer", "double precision": "numeric"}'""",
    "larger numbers": """'{"integer": "bigint", "numeric": "double precision", "bigint": "numeric"}'""",
    "other texts and times": """'{"text": "character varying", "timestamp with time zone": "date",
                                  "timestamp without time zone": "timestamp with time zone"}'""",
    "any is a number": """'{"\\"any\\"": "integer", "anyelement": "integer", "anycompatible": "integer",
                            "anyarray": "integer[]", "anycompatiblearray": "integer[]"}'""",
    "any is a text": """'{"\\"any\\"": "text", "anyelement": "text", "anycompatible": "text", "anyarray": "text[]"}'""",
    "any is a time": """'{"\\"any\\"": "timestamptz", "anyelement": "timestamptz", "anyarray": "timestamptz[]"}'""",
}
"""How the types of the arguments of PostgreSQL's functions are replaced by others, which may fit a call better."""

_FUNCTIONS = """
    DO $do$
    DECLARE
        instead jsonb;
        f record;
    BEGIN
        FOREACH instead IN ARRAY ARRAY[{instead}]::jsonb[] LOOP
            FOR f IN
                SELECT DISTINCT p.proname, (
                    SELECT coalesce(string_agg(coalesce(instead ->> format_type(t, NULL), format_type(t, NULL)), ', '
                                               ORDER BY n), '')
                    FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(t, n)) AS types
                FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a', 'w')
                 AND p.proname = ANY (ARRAY[{called}])
            LOOP
                BEGIN
                    EXECUTE format('CREATE FUNCTION {schema}.%I(%s) RETURNS bool LANGUAGE plpgsql AS %L',
                                   f.proname, f.types, 'BEGIN RAISE EXCEPTION ''{used}''; END');
                EXCEPTION WHEN duplicate_function OR invalid_function_definition OR datatype_mismatch
                            OR feature_not_supported OR undefined_object THEN
                    NULL; -- of a type that only functions in C may have
                END;
            END LOOP;
        END LOOP;
    END $do$
"""
_OPERATORS = """
    DO $do$
    DECLARE
        types text[] := '{{record, text, varchar, int4, int8, numeric, float8, bool, date, timestamptz, timestamp,
                           interval, jsonb, oid, name, text[], int4[], float8[], tid, bytea}}';
        a text;
        b text;
        sign text;
    BEGIN
        FOREACH a IN ARRAY types LOOP
            FOREACH b IN ARRAY types LOOP
                EXECUTE format('CREATE FUNCTION {schema}.compared(%s, %s) RETURNS bool LANGUAGE plpgsql AS %L', a, b,
                               format('BEGIN RAISE EXCEPTION ''{used}: %s and %s''; END', a, b));
                FOREACH sign IN ARRAY '{{=, <>, <, >, <=, >=, ||, +, -, *, /, %, &, |, <<, >>, ~, !~, &&, @>, <@, ->,
                                         ->>}}'::text[] LOOP
                    EXECUTE format('CREATE OPERATOR {schema}.%s (FUNCTION = {schema}.compared, '
                                   'LEFTARG = %s, RIGHTARG = %s)', sign, a, b);
                END LOOP;
            END LOOP;
        END LOOP;
    END $do$
"""
_TYPES = "text varchar int4 int8 numeric float8 bool date timestamptz interval jsonb oid name regclass bytea tid"
_CATALOGUES = "pg_class pg_attribute pg_index pg_proc pg_trigger pg_locks pg_stat_activity pg_database"


def move_in(engine: Engine) -> None:
    """Fill ``public`` and a schema, which a ``search_path`` may name first, with look-alikes."""
    execute(engine, f"GRANT CREATE ON SCHEMA public TO {ROLE}", f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {ROLE}")
    for schema in ("public", SCHEMA):
        execute(engine, f"SET ROLE {ROLE}", "SET search_path = pg_catalog", *_look_alikes(schema))


def come_first(engine: Engine) -> None:
    """Let every session of a database, which may be a copy of one in which they are, find them first."""
    execute(engine, f"ALTER DATABASE {engine.url.database} SET search_path = {SCHEMA}, public, pg_catalog")


def _look_alikes(schema: str) -> list[str]:
    text = "".join(file.read_text() for file in (PROJECT / "refresh").rglob("*.py"))
    called = ", ".join(f"'{name}'" for name in sorted(set(re.findall(_CALLED, text))))
    instead = ", ".join(_INSTEAD.values())
    tables = [*_CATALOGUES.split(), *(OURS if schema == SCHEMA else [])]
    return [
        _FUNCTIONS.format(instead=instead, called=called, schema=schema, used=USED),
        _OPERATORS.format(schema=schema, used=USED),
        *(f"CREATE DOMAIN {schema}.{name} AS pg_catalog.{name} CHECK (false)" for name in _TYPES.split()),
        *(f"CREATE TABLE {schema}.{name} (stranger int)" for name in tables),
    ]
