"""Some assets recomputed from the source in memory, and compared with what is stored, value for value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.builder.reading import Rebuild
from refresh.builder.recipes import recipe_of
from refresh.builder.work import VALUES_AT_ONCE, rows_at_once
from refresh.catalog import SOURCE, Leg, legs
from refresh.core.compare import difference, rows_in_order
from refresh.core.rows import NULL_TEXT, Array, Rows, count, merge, take
from refresh.core.series import Series
from refresh.due import calendars
from refresh.due.batches import batches
from refresh.due.decision import Action, Due
from refresh.due.folding import read_in_slices
from refresh.due.granularity import folds
from refresh.due.scope import Scope
from refresh.store import inputs
from refresh.store.stored_rows import NULLS, read_rows
from refresh.validate.finding import Finding
from refresh.validate.texts import texts_of

SHOWN = 100
"""The number of rows of a table that are reported at most."""
COPIES_IN_MEMORY = 3
"""The rows that should be stored, those that are, and these as they arrive."""
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some series of one asset in the table of a leg, and the rows that they should have."""

    leg: Leg
    id: int
    series: Sequence[Series]
    rows: Rows


def compare(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> list[Finding]:
    """Where the tables do not hold what a rebuild of these assets would write, table by table."""
    by_table: dict[str, list[Finding]] = defaultdict(list)
    for id in ids:
        for part in recompute(connection, scopes, id):
            by_table[part.leg.target] += differences(connection, part)
    findings: list[Finding] = []
    for of_table in by_table.values():
        findings += first_of(of_table)
    return findings


def first_of(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a table that are reported: the first by asset, time, timeframe and period."""
    return sorted(findings, key=_order)[:SHOWN]


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.id, finding.time or _LATEST, finding.tf, finding.period or 0


def recompute(connection: Connection, scopes: Sequence[Scope], id: int) -> Iterator[Part]:
    """The rows that each table should hold of an asset, table by table, in parts that fit into memory."""
    everything = Due(id=id, action=Action.REBUILD)
    tables = {SOURCE: _raw_rows(connection, scopes[0], everything)}
    days = count(tables[SOURCE])
    chosen = {id: setting.calendar for id, setting in calendars.chosen(connection, [id]).items()}
    for scope in scopes:
        rebuild = recipe_of(scope.builder).rebuild
        for leg in scope.builder.legs:
            inputs_of_others: list[Rows] = []
            for series in _parts(scope, leg, days):
                rows = rebuild(Rebuild(leg=leg, series=series, tables=tables, now=scope.now, calendars=chosen))
                inputs_of_others.append(_read_by_others(leg, rows))
                yield Part(leg=leg, id=id, series=series, rows=rows)
            if any(inputs_of_others):
                tables[leg.target] = merge(inputs_of_others, leg.shape.key)


def _raw_rows(connection: Connection, scope: Scope, everything: Due) -> Rows:
    """The rows of an asset in the source, folded into days if that is its setting."""
    if not folds(connection, None, fold=False).has(everything.id):
        return inputs.read_raw(connection, scope.source, [everything])
    now = np.datetime64(scope.now.replace(tzinfo=None), "us")
    return read_in_slices(connection, scope.source, everything, now).rows


def _parts(scope: Scope, leg: Leg, days: int) -> Iterator[Sequence[Series]]:
    """The series of a leg in parts that fit into memory several times; daily bars are one part without series."""
    positions = tuple(range(len(scope.series_of(leg))))
    if leg.shape.has_timeframes and not positions:
        return
    everything = Due(id=0, action=Action.REBUILD, days=days, series=positions)
    values_at_once = VALUES_AT_ONCE // COPIES_IN_MEMORY
    limit = rows_at_once(recipe_of(scope.builder), leg, values_at_once)
    for batch in batches([everything], limit, assets_at_once=1, series_together=leg.shelf_width):
        yield scope.chosen(leg, batch.series)


def _read_by_others(leg: Leg, rows: Rows) -> Rows:
    """The columns of a table that other legs read, and its key; nothing where no leg reads it."""
    columns: set[str] = set()
    for _, other in legs():
        for table in (other.follows, other.price):
            if table.table == leg.target:
                columns.update(table.columns)
    if not columns:
        return {}
    columns.update(leg.shape.key, ["day"])
    return {name: column for name, column in rows.items() if name in columns}


def differences(connection: Connection, part: Part) -> list[Finding]:
    """The rows that are not the same on both sides, a finding each; of every kind at most the first ``SHOWN``."""
    leg, key = part.leg, part.leg.shape.key
    stored = read_rows(connection, leg, part.id, part.series)
    expected = _with_nulls({name: part.rows[name] for name in leg.shape.compared})
    values = [name for name in expected if name not in key]
    wrong = difference(stored, expected, key, values)
    stored, expected = take(stored, wrong.stale), take(expected, wrong.fresh)
    unpaired = difference(stored, expected, key, ())
    missing = _first_texts(take(expected, unpaired.fresh), key)
    extra = _first_texts(take(stored, unpaired.stale), key)
    before = _first_texts(take(expected, ~unpaired.fresh), key)
    after = _first_texts(take(stored, ~unpaired.stale), key)
    return [
        *(_finding(leg, row, "a row", "none") for row in missing),
        *(_finding(leg, row, "no row", "a row") for row in extra),
        *(_wrong_values(leg, *rows) for rows in zip(before, after, strict=True)),
    ]


def _with_nulls(rows: Rows) -> Rows:
    """The rows with a bit for each NULL, as ``read_rows`` has them."""
    bits = np.zeros(count(rows), np.int64)
    for bit, column in enumerate(rows.values()):
        bits |= _is_null(column).astype(np.int64) << bit
    return rows | {NULLS: bits}


def _is_null(column: Array) -> Array:
    match column.dtype.kind:
        case "f":
            return np.isnan(column)
        case "M":
            return np.isnat(column)
        case "S":
            return np.asarray(column == NULL_TEXT)
    return np.zeros(len(column), bool)


def _first_texts(rows: Rows, key: Sequence[str]) -> list[dict[str, str]]:
    return texts_of(take(rows_in_order(rows, key), slice(SHOWN)))


def _wrong_values(leg: Leg, expected: Mapping[str, str], stored: Mapping[str, str]) -> Finding:
    names = [name for name in expected if expected[name] != stored[name]]
    return _finding(leg, expected, _listed(expected, names), _listed(stored, names))


def _listed(row: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)


def _finding(leg: Leg, row: Mapping[str, str], expected: str, found: str) -> Finding:
    return Finding(
        table=leg.target,
        id=int(row["id"]),
        tf=row["tf"],
        period=int(row["period"]) if leg.shape.has_periods else None,
        time=_time(row[leg.shape.time]),
        expected=expected,
        found=found,
    )


def _time(text: str) -> datetime | None:
    """The time of a row; ``None`` where Python's calendar does not have it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
