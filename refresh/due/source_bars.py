"""The daily bars of the present source, and how they differ from the stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from refresh.core.daily import DailyBars, build_daily_bars
from refresh.core.fold import Folded, build_folded_bars, stacked_rejects
from refresh.core.rows import Rows, merge, take
from refresh.due import folding
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
    before = inputs.read_daily_before(connection, dues, scope.tz)
    now = np.datetime64(scope.now.replace(tzinfo=None), "us")
    plain = [due for due in dues if not due.fold]
    parts = []
    if plain or not dues:
        parts.append(build_daily_bars(inputs.read_raw(connection, scope.source, plain), before, now=now))
    folded = folding.read_folded(connection, scope.source, dues, now)
    parts += [build_folded_bars(part, _of(before, part)) for part in folded]
    if len(parts) == 1:
        return parts[0]
    return DailyBars(
        bars=merge([part.bars for part in parts], ("id", "day")),
        rejects=stacked_rejects([part.rejects for part in parts]),
    )


def _of(before: Rows, folded: Folded) -> Rows:
    """The last bars of the assets that are folded."""
    return take(before, np.isin(before["id"], folded.ids))


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
    return find_revisions(stored, built.bars, {due.id: states[due.id] for due in dues}, rebuilt, built.rejects)
