"""Reads the stored daily bars of a stretch beside those that the source now gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from refresh.core.comparison import PRICES, find_revisions
from refresh.core.daily import DailyBars, build_daily_bars
from refresh.core.revision import Revision
from refresh.core.span import DailyState, Due
from refresh.store import inputs
from refresh.store.source import Source


def build_from_source(connection: Connection, source: Source, dues: Sequence[Due], now: datetime) -> DailyBars:
    """The daily bars and rejects of each asset from its ``since`` on, as the source now gives them."""
    raw = inputs.read_raw(connection, source, dues)
    before = inputs.read_daily_before(connection, dues, source.tz)
    return build_daily_bars(raw, before, now=np.datetime64(now.replace(tzinfo=None), "us"))


def compare_daily(
    connection: Connection, source: Source, dues: Sequence[Due], states: Mapping[int, DailyState], now: datetime
) -> dict[int, Revision]:
    """How the daily bars of each asset differ from what its source now gives."""
    built = build_from_source(connection, source, dues, now)
    whole = inputs.Spans(
        ids=[due.id for due in dues],
        begins=[due.since for due in dues],
        carries=[None] * len(dues),
        throughs=[states[due.id].last for due in dues],
    )
    stored = inputs.read_daily(connection, whole, source.tz, ("id", "timestamp", *PRICES))
    return find_revisions(stored, built.bars, {due.id: states[due.id] for due in dues})
