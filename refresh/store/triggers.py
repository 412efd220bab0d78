"""Triggers that note rows that somebody else deletes: the state of a table must not claim rows that are gone.

Tables have up to a billion rows, so a run cannot count them. Builders delete with ``refresh.writing`` on, which costs
them nothing. An UPDATE is not noted: a changed value is what a validation finds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, text

from refresh.catalog import legs
from refresh.store.partitions import Part
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import MONTHS, REJECTS, ROWS_LOST

FUNCTION, PART_FUNCTION = "refresh_note_lost_rows", "refresh_note_lost_part"
_ROWS, _TABLE, _PART = "refresh_lost_rows", "refresh_lost_table", "refresh_lost_part"
"""The trigger of each deleted row, that of a TRUNCATE, and that of a TRUNCATE of a partition alone."""
_TRIGGERS = [_ROWS, _TABLE]


def _marking(condition: str) -> str:
    return f"UPDATE public.%I SET version = {ROWS_LOST} WHERE version <> {ROWS_LOST} AND {condition}"


_STATEMENTS = {
    "asset": _marking("id = $1.id"),
    "tf": _marking("id = $1.id AND tf = $1.tf"),
    "series": _marking("tf = $1.tf AND $1.period = ANY (periods)"),
    "reject": "DELETE FROM public.%I WHERE id = $1.id",
}
"""What a lost row makes true, by what a state row is about. $1 is the row; months that are forgotten are read again."""


def states() -> Mapping[str, tuple[str, str]]:
    """Each table whose lost rows are noted: where, and what a row there is about."""
    watched = {}
    for _, leg in legs():
        has_own_timeframe = leg.table == leg.target and leg.shape.has_timeframes
        watched[leg.table] = (leg.state, "tf" if has_own_timeframe else "asset")
        if leg.averages:
            watched[leg.places] = (leg.state, "series")
    return {**watched, REJECTS: (MONTHS, "reject")}


def _body() -> str:
    cases = "\n".join(f"        WHEN '{kind}' THEN statement := '{sql}';" for kind, sql in _STATEMENTS.items())
    return f"""
DECLARE
    statement text;
    number bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        IF TG_ARGV[1] = 'reject' THEN
            EXECUTE format('DELETE FROM public.%I', TG_ARGV[0]);
        ELSE
            EXECUTE format('UPDATE public.%I SET version = {ROWS_LOST}', TG_ARGV[0]);
        END IF;
        RETURN NULL;
    END IF;
    CASE TG_ARGV[1]
{cases}
    END CASE;
    EXECUTE format(statement, TG_ARGV[0]) USING OLD;
    GET DIAGNOSTICS number = ROW_COUNT;
    IF number = 0 THEN -- a builder may have replaced the row of the state meanwhile
        EXECUTE format(statement, TG_ARGV[0]) USING OLD;
    END IF;
    RETURN NULL;
EXCEPTION WHEN undefined_table OR undefined_column THEN
    RETURN NULL; -- without a state everything is built
END
"""


_PART_BODY = f"""
BEGIN
    EXECUTE format('UPDATE public.%I SET version = {ROWS_LOST} WHERE version <> {ROWS_LOST} AND '
        'satisfies_hash_partition($1, $2, $3, id)', TG_ARGV[0])
        USING to_regclass(format('public.%I', TG_ARGV[1]))::oid, TG_ARGV[2]::int, TG_ARGV[3]::int;
    RETURN NULL;
EXCEPTION WHEN undefined_table OR undefined_column THEN
    RETURN NULL; -- without a state everything is built
END
"""


_BY_OTHERS = "current_setting('refresh.writing', true) IS DISTINCT FROM 'on'"
"""The condition of every trigger: not a builder deletes, but somebody else."""


def unwatched(connection: Connection, tables: Collection[str]) -> list[str]:
    """Which of these tables lack a trigger, have it disabled, or with another definition of what it does."""
    query = text(f"""
        SELECT c.relname, count(*) FILTER (
                   WHERE t.tgenabled IN ('O', 'A') AND p.proname = :function AND p.pronamespace = 2200
                     AND p.prosrc = :body AND t.tgname = ANY (:triggers)) AS number
        FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid LEFT JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n) GROUP BY c.relname
    """)
    names = sorted(set(tables).intersection(states()))
    values = {"names": names, "function": FUNCTION, "body": _body(), "triggers": _TRIGGERS}
    numbers = {row.relname: row.number for row in connection.execute(query, values)}
    return [name for name in names if numbers.get(name) != len(_TRIGGERS)]


def watch(connection: Connection, tables: Collection[str]) -> None:
    """Create the triggers of some tables, in place of those that are there."""
    if not tables:
        return
    function = f"""
        CREATE OR REPLACE FUNCTION public.{FUNCTION}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $body${_body()}$body$
    """
    connection.execute(text(function))
    for table in tables:
        call = "public.{}('{}', '{}')".format(FUNCTION, *states()[table])
        connection.execute(
            text(f"""
                DROP TRIGGER IF EXISTS {_ROWS} ON {table};
                DROP TRIGGER IF EXISTS {_TABLE} ON {table};
                CREATE TRIGGER {_ROWS} AFTER DELETE ON {table} FOR EACH ROW WHEN ({_BY_OTHERS}) EXECUTE FUNCTION {call};
                CREATE TRIGGER {_TABLE} AFTER TRUNCATE ON {table} FOR EACH STATEMENT WHEN ({_BY_OTHERS})
                    EXECUTE FUNCTION {call};
            """)
        )


def unwatched_parts(connection: Connection, parts: Mapping[Part, str]) -> list[Part]:
    """Which of these partitions, given with their names, note no TRUNCATE or no deleted row."""
    query = text(f"""
        SELECT c.relname, count(*) FILTER (
                   WHERE t.tgenabled IN ('O', 'A') AND p.pronamespace = 2200
                     AND (t.tgname, p.proname) IN ((:rows, :of_rows), (:part, :of_part))
                     AND (p.prosrc = :body OR t.tgname = :rows)) AS number
        FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid LEFT JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n) GROUP BY c.relname
    """)
    values = {"names": sorted(parts.values()), "body": _PART_BODY, "rows": _ROWS, "of_rows": FUNCTION}
    rows = connection.execute(query, {**values, "part": _PART, "of_part": PART_FUNCTION})
    numbers = {row.relname: row.number for row in rows}
    return [part for part, name in parts.items() if numbers.get(name) != len(_TRIGGERS)]


def watch_parts(connection: Connection, parts: Mapping[Part, str]) -> None:
    """Have partitions note a TRUNCATE that leaves the others alone; deleted rows are noted as those of the table."""
    if not parts:
        return
    function = f"""
        CREATE OR REPLACE FUNCTION public.{PART_FUNCTION}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $body${_PART_BODY}$body$
    """
    connection.execute(text(function))
    for part, name in parts.items():
        values = f"'{states()[part.table][0]}', '{part.table}', '{part.number}', '{part.remainder}'"
        connection.execute(
            text(f"""
                DROP TRIGGER IF EXISTS {_PART} ON {SCHEMA}.{name};
                CREATE TRIGGER {_PART} AFTER TRUNCATE ON {SCHEMA}.{name} FOR EACH STATEMENT WHEN ({_BY_OTHERS})
                    EXECUTE FUNCTION public.{PART_FUNCTION}({values});
                ALTER TABLE {SCHEMA}.{name} ENABLE TRIGGER {_ROWS};
            """)
        )


def suspect_parts(connection: Connection, parts: Collection[Part]) -> None:
    """Rows of these partitions may have been lost while nobody noted it."""
    for part in parts:
        state = states()[part.table][0]
        is_in = f"satisfies_hash_partition(CAST({relation(':table')} AS oid), :number, :remainder, id)"
        values = {"table": part.table, "number": part.number, "remainder": part.remainder}
        connection.execute(text(f"UPDATE {state} SET version = {ROWS_LOST} WHERE {is_in}"), values)


def keep_to_ourselves(connection: Connection) -> None:
    """Let nobody else make triggers of the functions, which work with our rights on the table that their caller names.

    The triggers that exist need no right to them, whoever's statement fires them.
    """
    are_open = text("""
        SELECT p.proname FROM pg_proc p WHERE p.proname = ANY (CAST(:functions AS text[])) AND p.pronamespace = 2200
            AND has_function_privilege('public', p.oid, 'EXECUTE') AND pg_has_role(p.proowner, 'USAGE')
    """)
    for name in connection.execute(are_open, {"functions": [FUNCTION, PART_FUNCTION]}).scalars():
        connection.execute(text(f"REVOKE ALL ON FUNCTION public.{name}() FROM PUBLIC"))


def suspect(connection: Connection, tables: Collection[str]) -> None:
    """Rows of these tables may have been lost while nobody noted it."""
    for table in tables:
        state, kind = states()[table]
        if kind == "reject":
            connection.execute(text(f"DELETE FROM {state}"))
        else:
            connection.execute(text(f"UPDATE {state} SET version = {ROWS_LOST}"))
