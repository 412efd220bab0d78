"""A function in the database for the last time of each asset in the source, which a view can ask.

A view that names the price table would stand in the way of whoever drops that table, or changes the type of a column.
The statement in the function is only read when it is called. It runs with the rights of whoever asks.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.source_index import FUTURE_DAYS, IS_INDEXED, LAST_TIMES
from refresh.store.statements import SCHEMA, relation

FUNCTION = "refresh_source_times"
CALL = f"{SCHEMA}.{FUNCTION}()"
_HORIZON = f"now() + interval ''{FUTURE_DAYS} days''"


def _statement(is_indexed: bool) -> str:
    return LAST_TIMES[is_indexed].replace("'", "''").format(horizon=_HORIZON).replace(SOURCE, f"{SCHEMA}.{SOURCE}")


_BODY = f"""
BEGIN
    IF {relation(f"'{SOURCE}'")} IS NULL THEN
        RETURN;
    END IF;
    IF ({IS_INDEXED}) THEN
        RETURN QUERY EXECUTE '{_statement(is_indexed=True)}';
    ELSE
        RETURN QUERY EXECUTE '{_statement(is_indexed=False)}';
    END IF;
END
"""


def create_function(connection: Connection) -> None:
    """Create the function, unless it exists. Times without a zone are those of UTC."""
    exists = text("SELECT to_regprocedure(:call) IS NOT NULL")
    if connection.execute(exists, {"call": CALL}).scalar_one():
        return
    connection.execute(
        text(f"""
            CREATE FUNCTION {CALL} RETURNS TABLE (id integer, last timestamptz) LANGUAGE plpgsql STABLE
            SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $body${_BODY}$body$;
            COMMENT ON FUNCTION {CALL} IS 'The last timestamp of each asset in the source.'
        """)
    )
