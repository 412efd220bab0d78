"""The daily bars of the present source, and how they differ from the stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from refresh.core.daily import DailyBars, build_daily_bars
from refresh.due.comparison import PRICES, find_revisions
from refresh.due.decision import Due
from refresh.due.revision import Revision
from refresh.due.scope import Scope
from refresh.store import inputs
from refresh.store.daily_state import DailyState
from refresh.store.source import ChangedMonth
from refresh.store.spans import Spans


def build_from_source(connection: Connection, scope: Scope, dues: Sequence[Due]) -> DailyBars:
    """The daily bars and rejects of each asset from its ``since`` on, built from the source."""
    raw = inputs.read_raw(connection, scope.source, dues)
    before = inputs.read_daily_before(connection, dues, scope.tz)
    return build_daily_bars(raw, before, now=np.datetime64(scope.now.replace(tzinfo=None), "us"))


def compare_daily(
    connection: Connection,
    scope: Scope,
    dues: Sequence[Due],
    states: Mapping[int, DailyState],
    rebuilt: Mapping[int, Sequence[ChangedMonth]],
) -> dict[int, Revision]:
    """How the daily bars built from the source differ from the stored ones, per asset.

    ``rebuilt``: the changed months of the assets that are built from the first day.
    """
    built = build_from_source(connection, scope, dues)
    whole = Spans(
        ids=[due.id for due in dues],
        begins=[due.since for due in dues],
        carries=[None] * len(dues),
        throughs=[states[due.id].last for due in dues],
    )
    stored = inputs.read_daily(connection, whole, scope.tz, ("id", "timestamp", *PRICES))
    return find_revisions(stored, built.bars, {due.id: states[due.id] for due in dues}, rebuilt)
