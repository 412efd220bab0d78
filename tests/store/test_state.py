"""The state tables: how far every series has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from statements import ask
from store.table_rows import day

from refresh.catalog import by_key
from refresh.store import state
from refresh.store.marks import Mark, mark_dirty
from refresh.store.state import Advance

BARS_LEG, EMAS_LEG = (by_key(key).legs[0] for key in ("bars.multi_tf", "emas.multi_tf"))

Row = tuple[int, str, tuple[int, ...], int | None, int | None, int | None, float]
Selected = tuple[str, int, int]
"""A timeframe, a period, and the bars that it needs before its first row."""

WEEKS: list[Selected] = [("7D", 10, 10), ("7D", 14, 14)]


def advance(asset: int, tf: str, through: datetime | None, bars: int, close_sum: float) -> Advance:
    """How far a timeframe of an asset has come."""
    return Advance(id=asset, tf=tf, through=through, bars=bars, close_sum=close_sum)


def save(engine: Engine, selected: list[Selected], *advances: Advance) -> None:
    """Advance series of the rolling EMAs."""
    with engine.begin() as connection:
        state.save_emas(connection, EMAS_LEG, advances, selected)


def saved(engine: Engine) -> list[Row]:
    """The state of the rolling EMAs: id, tf, periods, days of seen_ts, last_ts and dirty_from, close_sum."""
    days = [f"extract(day FROM {name})::int" for name in ("seen_ts", "last_ts", "dirty_from")]
    query = f"SELECT id, tf, periods, {', '.join(days)}, close_sum FROM {EMAS_LEG.state} ORDER BY id, tf, periods"
    return [(row[0], row[1], tuple(row[2]), *row[3:]) for row in ask(engine, query)]


def test_equally_far_periods_share_a_row(engine: Engine) -> None:
    """Periods that have rows share one state row, and those that wait for more bars share another."""
    selected = [*WEEKS, ("7D", 20, 20), ("7D", 30, 30)]
    save(engine, selected, advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10, 14), 9, 9, None, 150.5), (1, "7D", (20, 30), 9, None, None, 150.5)]


def test_periods_that_are_left_out_stay(engine: Engine) -> None:
    """A run that names some periods moves only these."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    save(engine, WEEKS[:1], advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10,), 11, 11, None, 160.5), (1, "7D", (14,), 9, 9, None, 150.5)]


def test_periods_meet_again(engine: Engine) -> None:
    """Periods that come to the same day one after the other share a row again."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    for week in WEEKS:
        save(engine, [week], advance(1, "7D", day(11), 16, 160.5))
    assert saved(engine) == [(1, "7D", (10, 14), 11, 11, None, 160.5)]


def test_others_stay(engine: Engine) -> None:
    """Other timeframes and other assets are not touched."""
    selected = [("7D", 10, 10), ("14D", 10, 10)]
    save(engine, selected, *(advance(asset, tf, day(9), 15, 1.5) for asset in (1, 2) for tf in ("7D", "14D")))
    save(engine, [("7D", 10, 10)], advance(1, "7D", day(11), 16, 2.5))
    assert saved(engine) == [
        (1, "14D", (10,), 9, 9, None, 1.5),
        (1, "7D", (10,), 11, 11, None, 2.5),
        (2, "14D", (10,), 9, 9, None, 1.5),
        (2, "7D", (10,), 9, 9, None, 1.5),
    ]


def test_saving_removes_the_marks_of_written_series(engine: Engine) -> None:
    """Only periods that were rewritten lose their mark."""
    save(engine, WEEKS, advance(1, "7D", day(9), 15, 150.5))
    with engine.begin() as connection:
        mark_dirty(connection, EMAS_LEG, [Mark(id=1, tf="7D", time=day(4))])
    save(engine, WEEKS[:1], advance(1, "7D", day(9), 15, 150.5))
    assert saved(engine) == [(1, "7D", (10,), 9, 9, None, 150.5), (1, "7D", (14,), 9, 9, 4, 150.5)]


def test_series_of_an_asset_without_bars(engine: Engine) -> None:
    """A series may have seen that there are no bars at all."""
    save(engine, WEEKS[:1], advance(1, "7D", day(9), 15, 150.5))
    save(engine, WEEKS[:1], advance(1, "7D", None, 0, 0.0))
    assert saved(engine) == [(1, "7D", (10,), None, None, None, 0.0)]


# How rows are written


def written(connection: Connection, table: str) -> list[int]:
    """What the session has lately done to a table: rows inserted, updated, of these without its indexes, deleted."""
    kinds = ("inserted", "updated", "hot_updated", "deleted")
    counts = ", ".join(f"pg_stat_get_xact_tuples_{kind}(CAST(:table AS regclass))" for kind in kinds)
    return list(connection.execute(text(f"SELECT {counts}"), {"table": f"public.{table}"}).one())


@contextmanager
def writes(connection: Connection, table: str, *expected: int) -> Iterator[None]:
    """The block writes as many rows: inserted, updated, of these without its indexes, deleted."""
    before = written(connection, table)
    yield
    after = written(connection, table)
    assert tuple(now - then for now, then in zip(after, before, strict=True)) == expected


def test_rows_whose_periods_stay_together_are_updated(engine: Engine) -> None:
    """An append writes no index of the state: each row has room for its next version in its page."""
    everything = [(tf, period, period) for tf in ("7D", "14D") for period in (10, 20)]
    assets = range(1, 201)
    save(engine, everything, *(advance(asset, tf, day(9), 15, 1.5) for asset in assets for tf in ("7D", "14D")))
    with engine.begin() as connection:
        advances = [advance(asset, tf, day(11), 16, 2.5) for asset in assets for tf in ("7D", "14D")]
        with writes(connection, EMAS_LEG.state, 0, 800, 800, 0):
            state.save_emas(connection, EMAS_LEG, advances, everything)


def test_only_rows_whose_periods_part_are_replaced(engine: Engine) -> None:
    """Of two assets, the one whose period gets its first row has its rows replaced."""
    selected = [("7D", 10, 10), ("7D", 16, 16), ("7D", 30, 30)]
    save(engine, selected, advance(1, "7D", day(9), 15, 150.5), advance(2, "7D", day(9), 12, 1.5))
    with engine.begin() as connection:
        advances = [advance(1, "7D", day(11), 16, 160.5), advance(2, "7D", day(11), 13, 2.5)]
        with writes(connection, EMAS_LEG.state, 2, 2, 2, 2):
            state.save_emas(connection, EMAS_LEG, advances, selected)
    assert saved(engine) == [
        (1, "7D", (10, 16), 11, 11, None, 160.5),
        (1, "7D", (30,), 11, None, None, 160.5),
        (2, "7D", (10,), 11, 11, None, 2.5),
        (2, "7D", (16, 30), 11, None, None, 2.5),
    ]


def test_bars_that_have_a_state_are_updated(engine: Engine) -> None:
    """The state of bars is updated where it is, and timeframes without one get theirs."""
    first = [advance(asset, "7D", day(9), 1, 0.0) for asset in (1, 2)]
    with engine.begin() as connection:
        state.save_bars(connection, BARS_LEG, first)
    with engine.begin() as connection:
        with writes(connection, BARS_LEG.state, 0, 2, 2, 0):
            later = [advance(1, "7D", day(11), 1, 0.0), advance(2, "7D", day(11), 0, 0.0)]
            state.save_bars(connection, BARS_LEG, later)
        state.save_bars(connection, BARS_LEG, [advance(2, tf, day(12), 1, 0.0) for tf in ("7D", "14D")])
    days = [f"extract(day FROM {name})::int" for name in ("seen_ts", "last_ts", "dirty_from")]
    rows = ask(engine, f"SELECT id, tf, {', '.join(days)} FROM {BARS_LEG.state} ORDER BY id, tf")
    assert list(map(tuple, rows)) == [(1, "7D", 11, 11, None), (2, "14D", 12, 12, None), (2, "7D", 12, 12, None)]
