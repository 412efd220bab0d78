"""Some assets recomputed from the source in memory, and compared with what is stored, value for value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.builder.recipes import RECIPES
from refresh.builder.work import batches_of
from refresh.catalog import SOURCE, Leg
from refresh.core.compare import difference, rows_in_order
from refresh.core.rows import NULL_TEXT, Array, Rows, count, take
from refresh.core.series import Series
from refresh.due.decision import Action, Due
from refresh.due.scope import Scope
from refresh.store import checks, inputs
from refresh.validate.finding import Finding

SHOWN = 100
"""How many rows of a table are reported at most."""


def compare(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> Iterator[Finding]:
    """Where the tables do not hold what a rebuild of these assets would write; table by table."""
    findings: dict[str, list[Finding]] = {leg.target: [] for scope in scopes for leg in scope.builder.legs}
    for id in ids:
        for leg, expected, stored in _rebuilt(connection, scopes, id):
            findings[leg.target] += differences(leg, expected, stored)
    for of_table in findings.values():
        yield from sorted(of_table, key=_order)[:SHOWN]


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.id, finding.time, finding.tf, finding.period or 0


def _rebuilt(connection: Connection, scopes: Sequence[Scope], id: int) -> Iterator[tuple[Leg, Rows, Rows]]:
    """The rows that each table should hold of an asset, and those that it does, in parts that fit into memory."""
    everything = Due(id=id, action=Action.REBUILD)
    tables = {SOURCE: inputs.read_raw(connection, scopes[0].source, [everything])}
    for scope in scopes:
        recipe = RECIPES[scope.builder.kind]
        for leg in scope.builder.legs:
            parts: list[Rows] = []
            for series in _parts(scope, leg, everything, count(tables[SOURCE])):
                expected = recipe.rebuild(scope, leg, series, tables)
                yield leg, expected, checks.read_rows(connection, leg, id, series)
                parts.append(expected)
            if not leg.averages:
                tables[leg.target] = parts[0]


def _parts(scope: Scope, leg: Leg, due: Due, days: int) -> Iterator[Sequence[Series]]:
    """The series of a leg in parts of a size that builders compute at once; bars, which others read, are one part."""
    series = scope.series_of(leg)
    if not leg.averages:
        yield series
        return
    whole = Due(id=due.id, action=due.action, days=days, series=tuple(range(len(series))))
    for batch in batches_of(RECIPES[scope.builder.kind], leg, [whole] if series else []):
        yield scope.chosen(leg, batch.series)


def differences(leg: Leg, expected: Rows, stored: Rows) -> Iterator[Finding]:
    """The rows that are not the same on both sides, a finding each."""
    names = leg.shape.compared
    expected = {name: expected[name] for name in names} | {checks.NULLS: _nulls(expected, names)}
    values = [*(name for name in names if name not in leg.shape.key), checks.NULLS]
    wrong = difference(stored, expected, leg.shape.key, values)
    stored, expected = take(stored, wrong.stale), take(expected, wrong.fresh)
    unpaired = difference(stored, expected, leg.shape.key, ())
    for row in _rows(take(expected, unpaired.fresh)):
        yield _finding(leg, row, "a row", "none")
    for row in _rows(take(stored, unpaired.stale)):
        yield _finding(leg, row, "no row", "a row")
    pairs = zip(
        _rows(rows_in_order(take(expected, ~unpaired.fresh), leg.shape.key)),
        _rows(rows_in_order(take(stored, ~unpaired.stale), leg.shape.key)),
        strict=True,
    )
    for should_be, row in pairs:
        different = [name for name in names if should_be[name] != row[name]]
        yield _finding(leg, row, _shown(should_be, different), _shown(row, different))


def _nulls(rows: Rows, names: Sequence[str]) -> Array:
    """The bits of NULL columns, as ``read_rows`` has them."""
    bits = np.zeros(count(rows), np.int64)
    for bit, name in enumerate(names):
        bits |= _is_null(rows[name]).astype(np.int64) << bit
    return bits


def _is_null(column: Array) -> Array:
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype.kind == "M":
        return np.isnat(column)
    if column.dtype.kind == "S":
        return np.asarray(column == NULL_TEXT)
    return np.zeros(len(column), bool)


def _rows(rows: Rows) -> Iterator[dict[str, str]]:
    """The first rows as texts by column; NULL is ``None``, as people read it."""
    shown = take(rows, slice(SHOWN))
    names = [name for name in shown if name != checks.NULLS]
    columns = [shown[name].tolist() for name in names]
    for *values, bits in zip(*columns, shown[checks.NULLS].tolist(), strict=True):
        yield {
            name: str(None) if bits >> bit & 1 else _text(value)
            for bit, (name, value) in enumerate(zip(names, values, strict=True))
        }


def _text(value: Any) -> str:
    """A value as PostgreSQL writes it in JSON."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        fraction = f"{value:%f}".rstrip("0")
        return f"{value:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}+00:00"
    if isinstance(value, float):
        return _number(value)
    return str(value)


_EXACT = 1e15


def _number(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    is_short = value.is_integer() and abs(value) < _EXACT
    return str(int(value)) if is_short else repr(value)


def _shown(row: dict[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)


def _finding(leg: Leg, row: dict[str, str], expected: str, found: str) -> Finding:
    return Finding(
        table=leg.target,
        id=int(row["id"]),
        tf=row["tf"],
        period=int(row["period"]) if leg.shape.has_periods else None,
        time=datetime.fromisoformat(row[leg.shape.time]).astimezone(UTC),
        expected=expected,
        found=found,
    )
