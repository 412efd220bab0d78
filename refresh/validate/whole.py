"""Whole tables judged: every row that the daily bars imply, none besides, laws of single rows, and the states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from refresh.builder.recipes import RECIPES
from refresh.catalog import DAILY, Alignment, Leg
from refresh.core.rows import DAY
from refresh.core.window import first_day
from refresh.due.scope import Scope
from refresh.store import checks
from refresh.validate.finding import Finding

_TOLERANCE = 1e-9
"""Relative: how far rounding may carry a mean outside its closes."""
_BAR_LAW = "low <= open, close <= high and times in order"


def check_daily(connection: Connection, ids: Sequence[int], tz: str) -> list[Finding]:
    """The daily bars: one a day, numbered without a hole, within their own high and low, and as their state says."""
    findings: list[Finding] = []
    for row in checks.daily_facts(connection, ids, tz):
        findings += _daily_findings(row)
    return findings


def _daily_findings(row: Any) -> Iterator[Finding]:
    if row.days != row.rows:
        yield Finding(table=DAILY, id=row.id, expected=f"{row.rows} days", found=f"{row.days} days in {row.rows} rows")
    if (row.first_number, row.last_number) != (1, row.rows):
        numbers = f"bar_seq {row.first_number} to {row.last_number}"
        yield Finding(table=DAILY, id=row.id, expected=f"bar_seq 1 to {row.rows}", found=numbers)
    if row.lawless:
        yield Finding(table=DAILY, id=row.id, time=row.lawless, expected=_BAR_LAW, found="a bar without")
    if (row.first, row.last) != (row.daily_min_seen, row.last_src_ts):
        state = f"rows from {row.daily_min_seen} to {row.last_src_ts}, as the state says"
        yield Finding(table=DAILY, id=row.id, expected=state, found=f"{row.first} to {row.last}")


def check_series(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> list[Finding]:
    """Bars over windows or averages: number and first row as the daily bars imply, their laws, and their state."""
    series = scope.series_of(leg)
    if not series or not ids:
        return []
    needed = RECIPES[scope.builder.kind].needed
    wanted = [(one, needed(one)) for one in series]
    starts = _starts(connection, scope, leg, ids)
    expected = checks.expected_series(connection, leg, ids, wanted, starts, scope.tz)
    stored = checks.stored_series(connection, leg, ids)
    states = checks.state_series(connection, leg, ids)
    bounds = checks.price_bounds(connection, leg, ids)
    selected = {(one.timeframe.tf, one.period) for one in series}
    findings: list[Finding] = []
    for key in sorted({*expected, *(key for key in stored if key[1:] in selected)}):
        facts = _Facts(expected.get(key), stored.get(key), states.get(key), _tolerant(bounds.get(key[0], (0.0, 0.0))))
        if problem := _problem(leg, facts):
            if problem.is_lawless:
                problem = problem.at(checks.first_lawless(connection, leg, key, facts.bounds))
            findings.append(problem.finding(leg, key))
    return findings


def _starts(connection: Connection, scope: Scope, leg: Leg, ids: Sequence[int]) -> list[tuple[int, str, date]]:
    """The first day of each aligned timeframe of each asset; averages begin where their bars do."""
    if leg.averages or leg.family is None or leg.family.alignment is not Alignment.ALIGNED:
        return []
    first_days = checks.first_days(connection, ids, scope.tz)
    days = np.array(list(first_days.values()), DAY)
    starts: list[tuple[int, str, date]] = []
    for series in scope.series_of(leg):
        begins = first_day(series.timeframe, days).tolist()
        starts += [(id, series.timeframe.tf, day) for id, day in zip(first_days, begins, strict=True)]
    return starts


def _tolerant(bounds: checks.Bounds) -> checks.Bounds:
    return bounds[0] * (1 - _TOLERANCE), bounds[1] * (1 + _TOLERANCE)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of one series: the rows it should have, those it has, its state, and the bounds of its prices."""

    expected: Any
    stored: Any
    state: Any
    bounds: checks.Bounds


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is wrong with one series: what should be there, what is, where it begins, or that a row breaks a law."""

    expected: str
    found: str
    time: datetime | None = None
    is_lawless: bool = False

    def at(self, time: datetime | None) -> _Problem:
        """The same from some time on."""
        return _Problem(self.expected, self.found, time)

    def finding(self, leg: Leg, key: checks.Key) -> Finding:
        """The finding of a series."""
        id, tf, period = key
        return Finding(
            table=leg.target,
            id=id,
            tf=tf,
            period=period or None,
            time=self.time,
            expected=self.expected,
            found=self.found,
        )


def _problem(leg: Leg, facts: _Facts) -> _Problem | None:
    """What is wrong with a series, if anything."""
    if facts.stored and not facts.stored.is_lawful:
        return _Problem("every average" if leg.averages else _BAR_LAW, "a row without", is_lawless=True)
    if facts.stored and _is_outside(facts):
        low, high = facts.bounds
        extremes = f"{facts.stored.lowest} to {facts.stored.highest}"
        return _Problem(f"averages within the prices {low} to {high}", extremes, is_lawless=True)
    stored, expected = _extent(facts.stored), _extent(facts.expected)
    if stored != expected:
        return _Problem(_words(*expected), _words(*stored), stored[1] or expected[1])
    last, state = stored[2], facts.state.last_ts if facts.state else None
    if state == last:
        return None
    return _Problem(f"a last row at {state}, as the state says", f"one at {last}", last)


def _is_outside(facts: _Facts) -> bool:
    if facts.stored.lowest is None:
        return False
    low, high = facts.bounds
    return not (low <= facts.stored.lowest and facts.stored.highest <= high)


def _extent(row: Any) -> tuple[int, datetime | None, datetime | None]:
    return (row.rows, row.first, row.last) if row else (0, None, None)


def _words(rows: int, first: datetime | None, last: datetime | None) -> str:
    return f"{rows} rows from {first} to {last}" if rows else "no rows"
