"""Moving averages from the former layout, a table with a row per value, into packed rows behind a view of its name.

Asset by asset, each in a transaction of its own that compares what it has packed with what it was packed from. The
former table stays as it is until every asset of it is packed; then the view takes its place in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from refresh.catalog import Leg
from refresh.core.packing import Lanes, gather
from refresh.core.rows import Array, Rows, count, take
from refresh.errors import SchemaError
from refresh.shapes import CLOSED
from refresh.store import bulk
from refresh.store.database import begin_writing, read_committed, transaction
from refresh.store.existing import existing_columns, existing_kinds
from refresh.store.packed import append
from refresh.store.partitions import CUT, create_tables, existing_cuts, number_of_new
from refresh.store.places import Places, give_numbers, read_places
from refresh.store.problems import column_problems
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import METADATA, TARGET_TABLES
from refresh.store.triggers import watch
from refresh.store.views import VIEWS

ROWS_AT_ONCE = 200_000


def prepare_move(connection: Connection, leg: Leg) -> list[int]:
    """Create the tables that a leg is packed into, if they do not exist. Returns the assets that are not packed yet.

    Raises ``SchemaError`` if the former table has not the columns that it had.
    """
    target = TARGET_TABLES[leg.target]
    problems = list(column_problems(target, existing_columns(connection, [leg.target])[leg.target]))
    if problems:
        raise SchemaError("the former table does not fit: " + "; ".join(problems))
    tables = [METADATA.tables[name] for name in (leg.places, leg.table)]
    existing = existing_kinds(connection, [table.name for table in tables])
    cuts = existing_cuts(connection, existing_kinds(connection, CUT - {leg.table}))
    missing = [table for table in tables if table.name not in existing]
    create_tables(connection, missing, number_of_new(connection, None, cuts))
    watch(connection, [table.name for table in tables])
    query = text(f"SELECT tf, period, tf_days FROM {leg.target} GROUP BY 1, 2, 3 ORDER BY tf_days * period, tf")
    give_numbers(connection, leg, [(row.tf, row.period, row.tf_days) for row in connection.execute(query)])
    return _unpacked_ids(connection, leg)


def _unpacked_ids(connection: Connection, leg: Leg) -> list[int]:
    """The assets that are not packed, or were written again since."""
    newest = "SELECT id, max(ingested_at) AS newest FROM {0} GROUP BY id"
    query = text(f"""
        SELECT id FROM ({newest.format(leg.target)}) f LEFT JOIN ({newest.format(leg.table)}) p USING (id)
        WHERE p.newest IS DISTINCT FROM f.newest ORDER BY id
    """)
    return list(connection.execute(query).scalars())


def pack_asset(engine: Engine, leg: Leg, id: int) -> None:
    """Pack the rows of an asset. Raises ``SchemaError`` if the view would then show others."""
    with transaction(engine) as connection:
        begin_writing(connection)
        places = read_places(connection, leg)
        connection.execute(text(f"DELETE FROM {leg.table} WHERE id = :id"), {"id": id})
        for rows in _former_rows(connection, leg, id):
            _pack(connection, leg, places, rows)
        former, packed = (_digest(connection, leg, source, id) for source in (leg.target, f"({VIEWS[leg.target]})"))
        if former != packed:
            raise SchemaError(
                f"{leg.target}: the {former[0]:,} rows of id {id} would not be the same once packed ({packed[0]:,}); "
                f"correct them, or drop the table and run --full-rebuild --ids {id}"
            )


def _former_rows(connection: Connection, leg: Leg, id: int) -> Iterator[Rows]:
    """The rows of an asset by day, as many whole days at once as fit into memory."""
    columns = [column.name for column in leg.shape.columns]
    query = f"SELECT * FROM {leg.target} WHERE id = :id AND ts >= :first AND ts <= :last ORDER BY ts"
    fields = bulk.fields(TARGET_TABLES[leg.target], columns)
    for first, last in _stretches(connection, leg, id):
        yield bulk.read(connection, query, {"id": id, "first": first, "last": last}, fields)


def _stretches(connection: Connection, leg: Leg, id: int) -> list[tuple[datetime, datetime]]:
    """The first and last day of stretches that have about ``ROWS_AT_ONCE`` rows."""
    query = text(f"""
        SELECT min(ts), max(ts) FROM (
            SELECT ts, sum(count(*)) OVER (ORDER BY ts) AS rows FROM {leg.target} WHERE id = :id GROUP BY ts) AS days
        GROUP BY rows::bigint / {ROWS_AT_ONCE} ORDER BY 1
    """)
    return [(first, last) for first, last in connection.execute(query, {"id": id})]


def _pack(connection: Connection, leg: Leg, places: Places, rows: Rows) -> None:
    pairs = [(tf.decode(), period) for tf, period in zip(rows["tf"].tolist(), rows["period"].tolist(), strict=True)]
    series = sorted(set(pairs))
    number = {pair: position for position, pair in enumerate(series)}
    position = np.array([number[pair] for pair in pairs])
    for shelf, lanes in places.by_shelf(series).items():
        of_series = np.full(len(series), -1)
        of_series[lanes.series] = lanes.lanes
        is_here = of_series[position] >= 0
        packed = _packed(leg, take(rows, is_here), of_series[position[is_here]], lanes)
        packed["shelf"] = np.full(count(packed), shelf, np.int32)
        append(connection, leg, packed)


def _packed(leg: Leg, rows: Rows, lanes: Array, of_shelf: Lanes) -> Rows:
    names = [name for average in leg.averages for name in average.columns]
    values = {CLOSED: ~rows[leg.averages[0].roll], **{name: rows[name] for name in names}}
    first, packed = gather(rows["ts"], values, lanes, of_shelf)
    newest = np.maximum.reduceat(rows["ingested_at"], first)
    return {"id": rows["id"][first], "ts": rows["ts"][first], **packed, "ingested_at": newest}


def _digest(connection: Connection, leg: Leg, source: str, id: int) -> tuple[int, str]:
    """The number of rows of an asset, and a digest of them that does not depend on their order."""
    columns = ", ".join(f'"{name}"' for name in leg.shape.compared)
    query = text(f"""
        SELECT count(*), coalesce(sum(hash_record_extended(ROW({columns}), 0)), 0)::text FROM {source} AS f
        WHERE id = :id
    """)
    rows, digest = connection.execute(query, {"id": id}).one()
    return rows, digest


def finish_move(engine: Engine, leg: Leg) -> list[int]:
    """Put the view in the place of the former table, unless assets have been written meanwhile: these are returned.

    Who may read the table may read the view. Raises ``SchemaError`` if something else depends on the table.
    """
    with read_committed(engine) as connection:
        connection.execute(text(f"LOCK TABLE {leg.target} IN ACCESS EXCLUSIVE MODE"))
        left = _unpacked_ids(connection, leg)
        if left:
            return left
        grants = _readers(connection, leg)
        _drop(connection, leg)
        connection.execute(text(f"CREATE VIEW {leg.target} AS {VIEWS[leg.target]}"))
        for reader in grants:
            connection.execute(text(f"GRANT SELECT ON {leg.target} TO {reader}"))
    return []


def _readers(connection: Connection, leg: Leg) -> list[str]:
    query = text(f"""
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) AS a
        WHERE c.oid = {relation(":name")} AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    """)
    return list(connection.execute(query, {"name": leg.target}).scalars())


def _drop(connection: Connection, leg: Leg) -> None:
    attempt = connection.begin_nested()
    try:
        connection.execute(text(f"DROP TABLE {leg.target}"))
    except DBAPIError as error:
        attempt.rollback()
        why = " ".join(str(error.orig).replace(f"{SCHEMA}.", "").split())
        raise SchemaError(
            f"{leg.target} is packed, but cannot be dropped yet: {why} To go on, drop what depends on it and move "
            "again; it can be created anew on the view"
        ) from None
    attempt.commit()
