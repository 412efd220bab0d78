"""Whole tables judged: every row that the daily bars imply, no others, laws of single rows, and the states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.builder.recipes import recipe_of
from refresh.catalog import DAILY, Leg
from refresh.core.rows import DAY
from refresh.core.window import first_day
from refresh.due.scope import Scope
from refresh.families import Alignment
from refresh.store import checks
from refresh.validate.finding import Finding

_TOLERANCE = 1e-9
"""Relative: how far rounding may carry a mean outside its closes."""
_BAR_LAW = "low <= open, close <= high and times in order"
_BREAKS_IT = "a bar that breaks this"


def check_tables(connection: Connection, scopes: Sequence[Scope], ids: Sequence[int]) -> list[Finding]:
    """What is wrong in the tables of some scopes, as far as it shows without recomputing; in one pass over each."""
    findings: list[Finding] = []
    for scope in scopes:
        for leg in scope.builder.legs:
            if leg.shape.has_timeframes:
                findings += _check_series(connection, scope, leg, ids)
            else:
                findings += _check_daily(connection, ids, scope.tz)
    return findings


def _check_daily(connection: Connection, ids: Sequence[int], tz: str) -> list[Finding]:
    """The daily bars: one a day, numbered without a hole, within their own high and low, and as their state says."""
    findings: list[Finding] = []
    for row in checks.daily_facts(connection, ids, tz):
        findings += _daily_findings(row)
    return findings


def _daily_findings(row: Any) -> Iterator[Finding]:
    if row.days != row.rows:
        days = f"{row.days} days in {row.rows} rows"
        yield Finding(table=DAILY, id=row.id, expected=f"{row.rows} days", found=days)
    if (row.first_number, row.last_number) != (1, row.rows):
        numbers = f"bar_seq {row.first_number} to {row.last_number}"
        yield Finding(table=DAILY, id=row.id, expected=f"bar_seq 1 to {row.rows}", found=numbers)
    if row.lawless:
        yield Finding(table=DAILY, id=row.id, time=row.lawless, expected=_BAR_LAW, found=_BREAKS_IT)
    if (row.first, row.last) != (row.daily_min_seen, row.last_src_ts):
        state = f"rows from {row.daily_min_seen} to {row.last_src_ts}, as the state says"
        yield Finding(table=DAILY, id=row.id, expected=state, found=f"{row.first} to {row.last}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """One series: the rows it should have, those it has, its state, and the bounds of its prices."""

    expected: Any
    stored: Any
    state: Any
    bounds: checks.Bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """What is wrong with one series: what should be there, what is there, and from when on.

    ``is_lawless``: some row breaks a law of single rows; its time is yet to be read.
    """

    expected: str
    found: str
    time: datetime | None = None
    is_lawless: bool = False


def _check_series(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> list[Finding]:
    """Bars over windows or averages: number and first row as the daily bars imply, their laws, and their state."""
    if not ids or not scope.series_of(leg):
        return []
    findings: list[Finding] = []
    for key, facts in _facts(connection, scope, leg, ids):
        problem = _problem(leg, facts)
        if problem and problem.is_lawless:
            time = checks.first_lawless(connection, leg, key, facts.bounds)
            problem = replace(problem, time=time) if time else None
        if problem:
            findings.append(_finding(leg, key, problem))
    return findings


def _finding(leg: Leg, key: checks.Key, problem: _Problem) -> Finding:
    id, tf, period = key
    return Finding(
        table=leg.target,
        id=id,
        tf=tf,
        period=period or None,
        time=problem.time,
        expected=problem.expected,
        found=problem.found,
    )


def _facts(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> Iterator[tuple[checks.Key, _Facts]]:
    """The facts of every series that should have rows or has some, in order."""
    wanted = _wanted(scope, leg)
    starts = _starts(connection, scope, leg, ids)
    expected = checks.expected_series(connection, leg, ids, wanted=wanted, starts=starts, tz=scope.tz)
    stored = checks.stored_series(connection, leg, ids)
    states = checks.state_series(connection, leg, ids)
    bounds = checks.price_bounds(connection, leg, ids)
    selected = {(series.tf, series.period) for series in wanted}
    present = {key for key in stored if key[1:] in selected}
    for key in sorted(present.union(expected)):
        low, high = bounds.get(key[0], (0.0, 0.0))
        yield (
            key,
            _Facts(
                expected=expected.get(key),
                stored=stored.get(key),
                state=states.get(key),
                bounds=(low * (1 - _TOLERANCE), high * (1 + _TOLERANCE)),
            ),
        )


def _wanted(scope: Scope, leg: Leg) -> list[checks.Wanted]:
    needed = recipe_of(scope.builder).needed
    return [
        checks.Wanted(tf=series.timeframe.tf, period=series.period, needed=needed(series))
        for series in scope.series_of(leg)
    ]


def _starts(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> list[checks.Start]:
    """The first day of each aligned timeframe of each asset; averages begin where their bars do."""
    if leg.averages or leg.family is None or leg.family.alignment is not Alignment.ALIGNED:
        return []
    first_days = checks.first_days(connection, ids, scope.tz)
    days = np.array(list(first_days.values()), DAY)
    starts: list[checks.Start] = []
    for series in scope.series_of(leg):
        begins = first_day(series.timeframe, days).tolist()
        for id, day in zip(first_days, begins, strict=True):
            starts.append(checks.Start(id=id, tf=series.timeframe.tf, day=day))
    return starts


def _problem(leg: Leg, facts: _Facts) -> _Problem | None:
    """What is wrong with a series, if anything."""
    return _wrong_extent(facts) or _wrong_state(facts) or _broken_law(leg, facts)


def _broken_law(leg: Leg, facts: _Facts) -> _Problem | None:
    stored = facts.stored
    if stored is None:
        return None
    if not stored.is_lawful and leg.averages:
        return _Problem(expected="every average", found="a row without", is_lawless=True)
    if not stored.is_lawful:
        return _Problem(expected=_BAR_LAW, found=_BREAKS_IT, is_lawless=True)
    low, high = facts.bounds
    if stored.lowest is None or (low <= stored.lowest and stored.highest <= high):
        return None
    law = f"averages within the prices {low} to {high}"
    return _Problem(expected=law, found=f"{stored.lowest} to {stored.highest}", is_lawless=True)


def _wrong_extent(facts: _Facts) -> _Problem | None:
    stored, expected = _extent(facts.stored), _extent(facts.expected)
    if stored == expected:
        return None
    first = stored.first or expected.first
    return _Problem(expected=expected.words, found=stored.words, time=first)


def _wrong_state(facts: _Facts) -> _Problem | None:
    last = _extent(facts.stored).last
    state = facts.state.last_ts if facts.state else None
    if state == last:
        return None
    return _Problem(expected=f"a last row at {state}, as the state says", found=f"one at {last}", time=last)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Extent:
    """The rows of a series: their number, and the times of the first and the last."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @property
    def words(self) -> str:
        """The extent in words."""
        return f"{self.rows} rows from {self.first} to {self.last}" if self.rows else "no rows"


def _extent(row: Any) -> _Extent:
    return _Extent(rows=row.rows, first=row.first, last=row.last) if row else _Extent()
