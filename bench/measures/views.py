"""The queries of readers through our views, and the same rows asked of plain tables by hand, in the best way known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

_BARS, _TF = "cmc_price_bars_multi_tf", "7D"
_ROLLING, _CALENDAR = "cmc_ema_multi_tf", "cmc_ema_multi_tf_cal_us"
Compared = tuple[str, str, str]
"""A name, the query of a view, and the query by hand."""


def queries(assets: int, asset: int, last: datetime) -> Iterator[Compared]:
    """Each view's usual queries. By hand, the last day and the assets are known."""
    yield from _latest(_BARS, "timestamp", assets, asset, last)
    yield from _latest(_ROLLING, "ts", assets, asset, last)
    yield from _latest(_CALENDAR, "ts", assets, asset, last)
    closed = f"tf = '{_TF}'"
    yield (
        f"{_BARS}_closed: one timeframe, all assets",
        f"SELECT * FROM {_BARS}_closed WHERE {closed}",
        f"SELECT * FROM {_BARS} WHERE {closed} AND NOT is_partial_end",
    )
    yield from _with_bars(asset)
    yield _freshness(assets)


def _latest(table: str, time: str, assets: int, asset: int, last: datetime) -> Iterator[Compared]:
    own = f"SELECT * FROM {table} t WHERE t.id = a AND t.{time} = '{last}'"
    yield (
        f"{table}_latest: all assets",
        f"SELECT * FROM {table}_latest",
        f"SELECT l.* FROM generate_series(1, {assets}) a CROSS JOIN LATERAL ({own} OFFSET 0) l",
    )
    yield (
        f"{table}_latest: one asset",
        f"SELECT * FROM {table}_latest WHERE id = {asset}",
        f"SELECT * FROM {table} WHERE id = {asset} AND {time} = '{last}'",
    )


def _with_bars(asset: int) -> Iterator[Compared]:
    view = f"SELECT id, \"timestamp\", close, ema, d1 FROM {_ROLLING}_with_bars WHERE tf = '{_TF}' AND period = 20"
    hand = f"""
        SELECT b.id, b."timestamp", b.close, e.ema, e.d1 FROM {_BARS} b
        JOIN {_ROLLING} e ON e.id = b.id AND e.ts = b."timestamp" AND e.tf = b.tf
        WHERE b.tf = '{_TF}' AND e.period = 20"""
    yield f"{_ROLLING}_with_bars: one series", f"{view} AND id = {asset}", f"{hand} AND b.id = {asset}"
    canonical = "AND NOT is_partial_end"
    yield (
        f"{_ROLLING}_with_bars: one series, finished bars",
        f"{view} AND id = {asset} {canonical}",
        (f"{hand} AND b.id = {asset} {canonical}"),
    )
    yield f"{_ROLLING}_with_bars: one series, all assets", view, hand


def _freshness(assets: int) -> Compared:
    """By hand, as one looks without the view: the last day of each asset in the source and in the twelve states."""
    states = ["cmc_price_bars_1d_state"]
    for group in ("price_bars", "ema"):
        states += [f"cmc_{group}_multi_tf{end}_state" for end in ("", *_CALENDARS)]
    states.append("cmc_ema_multi_tf_v2_state")
    reached = " UNION ALL ".join(f"SELECT id, min({_seen(name)}) FROM public.{name} GROUP BY id" for name in states)
    source = 'SELECT max("timestamp") FROM public.cmc_price_histories7 p WHERE p.id = a'
    hand = f"SELECT a, ({source}), r.* FROM generate_series(1, {assets}) a JOIN ({reached}) r ON r.id = a"
    return "refresh_freshness: all assets", "SELECT * FROM refresh_freshness", hand


_CALENDARS = ("_cal_us", "_cal_iso", "_cal_anchor_us", "_cal_anchor_iso")


def _seen(state: str) -> str:
    return "last_src_ts" if state == "cmc_price_bars_1d_state" else "seen_ts"
