"""Pieces of work for the tests of what is due."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from refresh.due.decision import Action, Due
from refresh.due.revision import Restatement

ASSET = 5


def utc(*parts: int) -> datetime:
    """A time in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def due(action: Action, days: int = 1, series: tuple[int, ...] = (), *, id: int = 1, **facts: Any) -> Due:
    """Work on an asset."""
    return Due(id=id, action=action, days=days, series=series, **facts)


def restatement(**facts: Any) -> Restatement:
    """A restatement of one day of May 2024, from a close of 7.5 to none, except for what is given."""
    day = date(2024, 5, 2)
    usual: dict[str, Any] = {"first": day, "last": day, "old_close": 7.5, "new_close": None, "change": None}
    return Restatement(**usual | {"is_last_day_only": False, "factor": None} | facts)
