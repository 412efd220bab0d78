"""Tables that tests make hold rows, and what that did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine
from statements import ask, execute
from store.table_rows import blank, floats, times

from refresh.catalog import Leg, by_key, dependants
from refresh.core.rows import Rows
from refresh.store.database import transaction
from refresh.store.replace import Extent, Target, mark_dependants, replace

DAILY, SNAPSHOTS = (by_key(key).legs[0] for key in ("bars.1d", "bars.multi_tf"))
ASSET_1 = Extent(ids=[1], begins=[None])
BOTH = Extent(ids=[1, 2], begins=[None, None])
PAIRS = [("2D", 10), ("2D", 14), ("3D", 10), ("3D", 14)]

Marks = dict[tuple[int, str], datetime]
"""By asset and timeframe, from when on a follower is dirty."""


@dataclass(frozen=True)
class Effect:
    """What replacing rows did: rows written per asset, the number deleted, and the marks of the first follower."""

    written: dict[int, int]
    deleted: int
    marks: Marks


def add_followers(engine: Engine) -> None:
    """Followers of the daily bars and of the rolling bars that have come far beyond every day of these tests."""
    averages = dependants(SNAPSHOTS.target)[0]
    for asset in (1, 2):
        execute(
            engine,
            f"INSERT INTO {SNAPSHOTS.state} (id, tf, seen_ts) VALUES (:asset, '2D', '2030-01-01')",
            f"""INSERT INTO {averages.state} (id, tf, periods, seen_ts, close_sum)
                SELECT :asset, tf, '{{10}}', '2030-01-01', 0 FROM unnest(CAST(:labels AS text[])) AS tf""",
            asset=asset,
            labels=list(map(label_of, PAIRS)),
        )


def label_of(pair: tuple[str, int]) -> str:
    """A timeframe and a period as the timeframe of a snapshot."""
    return f"{pair[0]}-{pair[1]}"


def put(engine: Engine, leg: Leg, rows: Rows, extent: Extent = ASSET_1, *, rewrite: bool = False) -> Effect:
    """Make the table of a leg hold the rows and mark its followers, in a transaction of its own."""
    with transaction(engine) as connection:
        changes = replace(connection, Target.of(leg), extent, rows, rewrite=rewrite)
        mark_dependants(connection, leg, extent, changes)
    return Effect(changes.written, changes.deleted, take_marks(engine, leg))


def take_marks(engine: Engine, leg: Leg) -> Marks:
    """The marks of the first follower of a leg, which loses them."""
    followers = dependants(leg.target)
    if not followers:
        return {}
    state = followers[0].state
    rows = ask(engine, f"SELECT id, tf, dirty_from FROM {state} WHERE dirty_from IS NOT NULL")
    execute(engine, f"UPDATE {state} SET dirty_from = NULL")
    return {(id, tf): time for id, tf, time in rows}


Key = tuple[int, int, str, int]
"""Asset, day of January 2024, timeframe, period."""
Values = tuple[float | None, float | None]
"""A column that others follow, and one that they do not."""
Pairs = Sequence[tuple[str, int]]
ABSENT = 3.0
"""Stands for NULL in a column that may not be NULL."""


def snapshots(rows: Mapping[Key, Values]) -> Rows:
    """Rows of the rolling bars, whose timeframes stand for pairs."""
    return blank(SNAPSHOTS.target, len(rows)) | {
        "id": np.array([asset for asset, _, _, _ in rows], np.int32),
        "tf": np.array([label_of((tf, period)) for _, _, tf, period in rows], "S5"),
        "timestamp": times(number for _, number, _, _ in rows),
        "bar_seq": np.ones(len(rows), np.int64),
        "close": floats(ABSENT if close is None else close for close, _ in rows.values()),
        "volume": floats(volume for _, volume in rows.values()),
    }


def part_of(pairs: Pairs, **rest: Any) -> Extent:
    """The extent of some pairs."""
    return Extent(tfs=tuple(map(label_of, pairs)), **rest)


def stored(engine: Engine) -> dict[Key, tuple[Values, str]]:
    """The stored values of the snapshots, each with the transaction that wrote its row."""
    rows = ask(
        engine,
        f"""SELECT id, extract(day FROM "timestamp")::int, split_part(tf, '-', 1), split_part(tf, '-', 2)::int,
                   nullif(close, {ABSENT}), volume, xmin::text
            FROM {SNAPSHOTS.target}""",
    )
    return {row[:4]: (row[4:6], row[6]) for row in rows}
