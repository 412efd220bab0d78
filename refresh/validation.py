"""Are the tables right? Whole tables are checked against the daily bars; a sample of assets is computed anew.

What is computed anew is compared value for value, bit for bit. Nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from sqlalchemy import Connection, Engine

from refresh.builder.recipes import RECIPES
from refresh.builder.work import batches_of
from refresh.catalog import Alignment, Kind, Leg
from refresh.core.rows import DAY
from refresh.core.span import Cause, Due
from refresh.core.validity import Finding, Validity, sample
from refresh.core.window import first_day
from refresh.store import checks, freshness, shadow, source, survey
from refresh.store.database import prefer_indexes, transaction, use_all_cores
from refresh.store.survey import Scope

ASSETS_A_SHADOW = 10
"""How many assets are computed anew in one transaction."""
SHARE = 100
"""One asset of so many is computed anew where nothing else is asked."""


def validate(engine: Engine, scopes: Sequence[Scope], ids: Sequence[int], number: int | None, today: date) -> Validity:
    """Check every table; compute ``number`` assets anew (``None``: one of a hundred, at least one).

    An asset for which something is due is not judged: its tables are right as soon as it is refreshed. A state that
    contradicts its table is a finding, though a refresh would mend it. Nor is one judged that the source has no more.
    """
    began = time.monotonic()
    with transaction(engine) as connection:
        dues = _dues(connection, scopes)
        pending = {due.id for each in dues.values() for due in each}
        settled = [id for id in _sourced(connection, scopes[0], ids) if id not in pending]
        use_all_cores(connection)
        findings = [
            *_contradictions(dues),
            *_unowned(connection, scopes),
            *_checked(connection, scopes, settled),
        ]
    chosen = sample(settled, max(1, len(settled) // SHARE) if number is None else number, today)
    recomputed: list[int] = []
    for first in range(0, len(chosen), ASSETS_A_SHADOW):
        some, found = _compared(engine, scopes, chosen[first : first + ASSETS_A_SHADOW])
        recomputed += some
        findings += found
    moved = set(chosen) - set(recomputed)
    seconds = time.monotonic() - began
    late = tuple(sorted((pending & set(ids)) | moved))
    return Validity(len(settled) - len(moved), tuple(recomputed), late, tuple(findings), seconds)


def _dues(connection: Connection, scopes: Sequence[Scope]) -> dict[Leg, list[Due]]:
    return {leg: survey.due(connection, scope, leg) for scope in scopes for leg in scope.builder.legs}


def _sourced(connection: Connection, scope: Scope, ids: Sequence[int]) -> list[int]:
    """The assets that the source still has."""
    last = freshness.read(connection, scope.now).last
    return [id for id in ids if id in last]


def _contradictions(dues: Mapping[Leg, Sequence[Due]]) -> Iterator[Finding]:
    for leg, each in dues.items():
        for due in each:
            if due.cause is Cause.CONTRADICTION:
                yield Finding(leg.target, due.id, None, None, None, "an end as the state says", due.reason)


def _unowned(connection: Connection, scopes: Sequence[Scope]) -> Iterator[Finding]:
    """Rows of unknown assets; looked for where all assets are asked for."""
    if scopes[0].ids is None:
        known = set(source.known_ids(connection))
        for scope in scopes:
            for leg in scope.builder.legs:
                yield from checks.check_owners(connection, leg, known)


def _checked(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> list[Finding]:
    found: list[Finding] = []
    for scope in scopes:
        if scope.builder.kind is Kind.DAILY:
            found += checks.check_daily(connection, ids, scope.tz)
        else:
            for leg in scope.builder.legs:
                starts = _starts(connection, scope, leg, ids)
                found += checks.check_leg(connection, scope.builder, leg, scope.of(leg), ids, starts)
    return found


def _starts(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> list[tuple[int, str, date]]:
    """The first day of each aligned timeframe of each asset."""
    if scope.builder.kind is not Kind.WINDOWED or leg.family is None or leg.family.alignment is not Alignment.ALIGNED:
        return []
    firsts = checks.first_days(connection, ids, scope.tz)
    days = np.array(list(firsts.values()), DAY)
    return [
        (id, one.timeframe.tf, day)
        for one in scope.of(leg)
        for id, day in zip(firsts, first_day(one.timeframe, days).tolist(), strict=True)
    ]


def _compared(engine: Engine, scopes: Sequence[Scope], ids: Sequence[int]) -> tuple[list[int], list[Finding]]:
    """Build some assets in the shadow of the tables, and compare; leave out for whom something has come to be due."""
    with transaction(engine) as connection:
        narrow = [replace(scope, ids=tuple(ids)) for scope in scopes]
        moved = {due.id for each in _dues(connection, narrow).values() for due in each}
        still = [id for id in ids if id not in moved]
        build_shadow(connection, scopes, still)
        found = [
            finding
            for scope in scopes
            for leg in scope.builder.legs
            for finding in shadow.differences(connection, leg, scope.of(leg), still)
        ]
        return still, found


def build_shadow(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> None:
    """Every table of some assets as built today, in tables that only this transaction sees."""
    shadow.cast_shadow(connection)
    prefer_indexes(connection)
    for scope in (replace(scope, ids=tuple(ids)) for scope in scopes):
        for leg in scope.builder.legs:
            recipe = RECIPES[scope.builder.kind]
            for batch in batches_of(recipe, leg, survey.due(connection, scope, leg)):
                recipe.refresh(connection, scope, leg, batch)
