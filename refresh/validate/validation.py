"""Are the tables right? Whole tables are checked against the daily bars; a sample of assets is recomputed.

What is recomputed is compared value for value. Nothing is written, not even a temporary table.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from sqlalchemy import Connection, Engine

from refresh.catalog import Leg
from refresh.due import survey
from refresh.due.decision import Cause, Due
from refresh.due.freshness import read_freshness
from refresh.due.scope import Scope
from refresh.store import checks, source
from refresh.store.database import prefer_indexes, use_all_cores
from refresh.store.schema import looking
from refresh.validate.finding import Finding, Validity, sample
from refresh.validate.recompute import compare
from refresh.validate.whole import check_tables

ASSETS_AT_ONCE = 10
"""The number of assets that are recomputed in one transaction."""
SHARE = 100
"""One asset of this many is recomputed by default."""


def validate(engine: Engine, scopes: Sequence[Scope], ids: Sequence[int], number: int | None, today: date) -> Validity:
    """Check every table; recompute ``number`` assets (``None``: one of a hundred, at least one).

    An asset for which something is due is not judged: its tables are right as soon as it is refreshed. A state that
    contradicts its table is a finding, although a refresh would repair it. An asset that is gone from the source is not
    judged either.
    """
    began = time.monotonic()
    pending, settled, findings = _judged(engine, scopes, ids)
    if number is None:
        number = max(1, len(settled) // SHARE)
    chosen = sample(settled, number, today)
    recomputed: list[int] = []
    for first in range(0, len(chosen), ASSETS_AT_ONCE):
        still_settled, wrong = _recomputed(engine, scopes, chosen[first : first + ASSETS_AT_ONCE])
        recomputed += still_settled
        findings += wrong
    moved = set(chosen).difference(recomputed)
    return Validity(
        judged=len(settled) - len(moved),
        recomputed=tuple(recomputed),
        pending=tuple(sorted(moved.union(pending))),
        findings=tuple(findings),
        seconds=time.monotonic() - began,
    )


def _judged(engine: Engine, scopes: Sequence[Scope], ids: Sequence[int]) -> tuple[list[int], list[int], list[Finding]]:
    """The assets that are not up to date, those that are, and what is wrong in their tables without recomputing."""
    with looking(engine) as connection:
        dues = _dues(connection, scopes)
        due_ids = _ids_of(dues)
        pending = [id for id in ids if id in due_ids]
        settled = [id for id in _in_source(connection, scopes[0], ids) if id not in due_ids]
        use_all_cores(connection)
        findings = [
            *_contradictions(dues),
            *_unowned(connection, scopes),
            *check_tables(connection, scopes, settled),
        ]
    return pending, settled, findings


def _ids_of(dues: Mapping[Leg, Sequence[Due]]) -> set[int]:
    return {due.id for of_leg in dues.values() for due in of_leg}


def _dues(connection: Connection, scopes: Sequence[Scope]) -> dict[Leg, list[Due]]:
    return {leg: survey.due(connection, scope, leg) for scope in scopes for leg in scope.builder.legs}


def _in_source(connection: Connection, scope: Scope, ids: Sequence[int]) -> list[int]:
    """The assets that the source still has."""
    last = read_freshness(connection, scope.now).last
    return [id for id in ids if id in last]


def _contradictions(dues: Mapping[Leg, Sequence[Due]]) -> Iterator[Finding]:
    for leg, of_leg in dues.items():
        for due in of_leg:
            if due.cause is Cause.CONTRADICTION:
                yield Finding(table=leg.target, id=due.id, expected="an end as the state says", found=due.reason)


def _unowned(connection: Connection, scopes: Sequence[Scope]) -> Iterator[Finding]:
    """Rows of unknown assets; looked for where all assets are selected."""
    if scopes[0].selection.ids is not None:
        return
    known = set(source.known_ids(connection))
    claimed = known.difference(source.unclaimed_ids(connection))
    for scope in scopes:
        for leg in scope.builder.legs:
            for id in checks.strangers(connection, leg, known if leg.shape.has_timeframes else claimed):
                yield Finding(table=leg.target, id=id, expected="no rows of an unknown asset", found="some")


def _recomputed(engine: Engine, scopes: Sequence[Scope], ids: Sequence[int]) -> tuple[list[int], list[Finding]]:
    """Recompute some assets and compare; leave out those for which something has become due."""
    with looking(engine) as connection:
        narrowed = [scope.narrowed(ids) for scope in scopes]
        due_ids = _ids_of(_dues(connection, narrowed))
        settled = [id for id in ids if id not in due_ids]
        prefer_indexes(connection)
        return settled, compare(connection, scopes, settled)
