"""The rows of assets that are folded into days, read in slices that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from refresh.core.fold import Folded, fold, joined
from refresh.due.decision import Due
from refresh.store import inputs
from refresh.store.granularity import slices
from refresh.store.source import Source

ROWS_AT_ONCE = 100_000
"""The rows of a slice, unless a month has more."""


def read_folded(connection: Connection, source: Source, dues: Sequence[Due], now: np.datetime64) -> Iterator[Folded]:
    """The days of all assets that are folded: of those with few rows at once, of every other one in slices."""
    short = [due for due in dues if due.fold and not due.in_slices]
    if short:
        raw = inputs.read_raw(connection, source, short)
        yield replace(fold(raw, now=now), ids=[due.id for due in short])
    for due in dues:
        if due.in_slices:
            yield read_in_slices(connection, source, due, now)


def read_in_slices(connection: Connection, source: Source, due: Due, now: np.datetime64) -> Folded:
    """The days of one asset."""
    parts = slices(connection, source, due, ROWS_AT_ONCE)
    folded = [fold(inputs.read_raw_slice(connection, source, part), now=now) for part in parts]
    return replace(joined(folded), ids=[due.id])
