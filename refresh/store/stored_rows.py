"""Every stored row of some series of an asset, with what is NULL in it: for comparing value for value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.catalog import Leg
from refresh.core.rows import Array, Rows, count, stack
from refresh.core.series import Series
from refresh.shapes import CLOSED
from refresh.store import bulk
from refresh.store.packed import NULLS_OF, read_series
from refresh.store.places import read_places
from refresh.store.tables import METADATA

NULLS = "nulls"
"""The column of ``read_rows`` that has bit i set if the i-th compared column is NULL."""


def read_rows(connection: Connection, leg: Leg, id: int, series: Sequence[Series]) -> Rows:
    """Every stored row of some series of an asset, with ``NULLS``; daily bars have no series."""
    if leg.averages:
        return _read_averages(connection, leg, id, series)
    names = leg.shape.compared
    bits = [f'(t."{name}" IS NULL)::int::int8 << {bit}' for bit, name in enumerate(names)]
    tfs = [member.timeframe.tf for member in series]
    among = "t.tf = ANY(:tfs)" if leg.shape.has_timeframes else "true"
    query = f"SELECT t.*, ({') | ('.join(bits)}) AS {NULLS} FROM {leg.target} t WHERE t.id = :id AND {among}"
    values = {"id": id, "tfs": tfs}
    fields = bulk.fields(METADATA.tables[leg.target], names) | _texts(connection, leg, query, values)
    return bulk.read(connection, query, values, fields | {NULLS: bulk.BIGINT})


def _texts(connection: Connection, leg: Leg, query: str, values: Mapping[str, Any]) -> dict[str, bulk.Field]:
    """Fields that hold the texts of a query whole."""
    if leg.shape.has_timeframes:
        return {"tf": bulk.text_field(max(map(len, values["tfs"])))}
    texts = [column.name for column in leg.shape.columns if column.type == "text"]
    return bulk.text_widths(connection, query, values, texts)


def _read_averages(connection: Connection, leg: Leg, id: int, series: Sequence[Series]) -> Rows:
    """Everything that packed rows hold of some series, also beside what the view shows of them."""
    places = read_places(connection, leg)
    pairs = [(member.timeframe.tf, member.period) for member in series]
    tfs = np.array([tf.encode() for tf, _ in pairs])
    days = np.array([places.of[pair].tf_days if pair in places.of else 0 for pair in pairs], np.int32)
    periods = np.array([period for _, period in pairs], np.int32)
    parts = [_no_rows(leg), *read_series(connection, leg, places, id, pairs)]
    rows = stack(parts)
    of_series = {"tf": tfs, "period": periods, "tf_days": days}
    found = rows | {name: values[rows["series"]] for name, values in of_series.items()}
    found["id"] = np.full(count(rows), id, np.int32)
    found |= {average.roll: ~rows[CLOSED] for average in leg.averages}
    return {**{name: found[name] for name in leg.shape.compared}, NULLS: _nulls(leg, rows)}


def _no_rows(leg: Leg) -> Rows:
    columns = [name for average in leg.averages for name in average.columns]
    none: Rows = {"ts": np.array([], "M8[us]"), "series": np.array([], np.int64), CLOSED: np.array([], bool)}
    none |= {name: np.array([], float) for name in columns}
    return none | {NULLS_OF.format(name): np.array([], bool) for name in columns}


def _nulls(leg: Leg, rows: Rows) -> Array:
    nulls = np.zeros(count(rows), np.int64)
    for bit, name in enumerate(leg.shape.compared):
        if NULLS_OF.format(name) in rows:
            nulls |= rows[NULLS_OF.format(name)].astype(np.int64) << bit
    return nulls
