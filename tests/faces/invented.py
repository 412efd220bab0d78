"""The invented data of a page: of many assets after an incomplete run, or of nothing."""

from __future__ import annotations

import gzip
import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from refresh.catalog import BUILDERS

NOW = datetime(2026, 11, 24, 2, 20, tzinfo=UTC)
TODAY = NOW.date()
EVIL = "<img src=x onerror=\"document.title='run'\"></script>"
PERIODS = (10, 20, 50, 100, 200, 252, 365)
SERIES = (
    ("cmc_price_bars_1d", "1D", "1D, EMAs of 7D", "cmc_ema_multi_tf_v2", 1),
    ("cmc_price_bars_multi_tf", "7D", "7D", "cmc_ema_multi_tf", 7),
    ("cmc_price_bars_multi_tf_cal_us", "2W_CAL_US", "2W_CAL_US", "cmc_ema_multi_tf_cal_us", 14),
    ("cmc_price_bars_multi_tf_cal_anchor_iso", "1M_CAL_ANCHOR_ISO", "1M", "cmc_ema_multi_tf_cal_anchor_iso", 30),
)
_NAMES = ("Bitcoin", "Litecoin", "Namecoin", "Terracoin", "Peercoin", "Novacoin", "Devcoin", "Feathercoin", "Mincoin")

Row = dict[str, Any]


def nothing() -> Row:
    """The data of a page about a database before its first run."""
    return {
        "generated_at": NOW.isoformat(),
        "database": "prices on db1",
        "headline": "No run has ended yet.",
        "severity": "info",
        "details": [],
        "summary": None,
        "since": None,
        "runs": [],
        "nights": [],
        "freshness": {"tables": tables(), "assets": []},
        "failures": [],
        "restatements": [],
    }


def tables() -> list[str]:
    """The target tables in the order of the builders."""
    return [leg.target for builder in BUILDERS for leg in builder.legs]


def many(number: int = 200, drawn: int | None = None) -> tuple[Row, dict[int, bytes]]:
    """The data of a page about many assets after an incomplete run, and the chart of each asset except the last.

    The name of the third asset is markup. ``drawn``: only so many assets have a chart.
    """
    dice = random.Random(number)  # noqa: S311 - prices, not secrets
    ids = [1, 7, 52, 825, *range(1027, 1023 + number)]
    failures = _failures()
    headline = (
        f"Not complete: 1 of {number} assets (ID 825) failed, skipped or not reached; 4 minutes of work left. "
        "Next: python run_daily_refresh.py --all --resume"
    )
    details = _details(failures)
    runs = [_run(dice, days_ago, number) for days_ago in range(14)]
    assets = [_asset(dice, position, id) for position, id in enumerate(ids)]
    data = nothing() | {
        "headline": headline,
        "severity": "error",
        "details": details,
        "summary": _summary(headline, details, failures, number),
        "runs": runs,
        "nights": _nights(runs),
        "freshness": {"tables": tables(), "assets": assets},
        "failures": failures,
        "restatements": _restatements(),
    }
    return data, {id: _chart(dice, 10 ** dice.uniform(-5, 4.8)) for id in ids[:-1][:drawn]}


def alone(number: int, *, failed: int = 0) -> Row:
    """A group of single builders that a scheduler ran after the last refresh; the last two are listed."""
    runs = [
        {
            "builder": "emas.v2",
            "command": f"python -m refresh.builder emas.v2 --ids 1 --note {EVIL}",
            "started_at": (NOW - timedelta(minutes=minutes)).isoformat(),
            "ended_at": (NOW - timedelta(minutes=minutes - 1)).isoformat(),
            "exit_code": int(minutes == 2 and failed > 0),
            "rows": 7,
        }
        for minutes in (2, 4)
    ]
    return {
        "kind": "builders",
        "number": number,
        "builders": ["bars.1d", "emas.v2"],
        "failed": failed,
        "unended": 0,
        "rows": 7 * number,
        "started_at": (NOW - timedelta(minutes=2 * number)).isoformat(),
        "ended_at": NOW.isoformat(),
        "runs": runs,
    }


def _details(failures: list[Row]) -> list[str]:
    return [
        "written: 3,245 bars, 81,240 EMAs",
        "gaps: 12 days without a bar",
        "repaired source values: high 3, low 1, timehigh 14",
        f"failed: bars.1d, ID 825: {failures[0]['why']} (since 2026-11-20)",
        "skipped: emas.multi_tf, ID 825: bars failed (since 2026-11-20)",
        "restated: ID 7, 2019-05-01, 1 row: close of 2019-05-01 changed from 5350.7 to 5402.7",
        "recovered: bars.cal_us, ID 52, 1027",
        "bars.cal_iso took three times as long as usual",
    ]


def _asset(dice: random.Random, position: int, id: int) -> Row:
    lags: list[int | None] = [0] * len(tables())
    if id == 825:
        lags = [4, 4, 4, 4, 4, 4, 5, 5, 5, 9, 12, None]
    elif dice.random() < 0.08:
        lags = [lag if dice.random() < 0.6 else dice.choice((1, 1, 2, 3, 6)) for lag in lags]
    return {"id": id, "name": _name(position), "last": str(TODAY - timedelta(days=2)), "lags": lags}


def _name(position: int) -> str:
    if position == 2:
        return EVIL
    name = _NAMES[position % len(_NAMES)]
    return name if position < len(_NAMES) else f"{name} {position}"


def _failures() -> list[Row]:
    why = "OperationalError: canceling statement due to statement timeout"
    shared = {"id": 825, "since": "2026-11-20T02:14:03.120+00:00", "at": "2026-11-24T02:15:01.512+00:00"}
    skipped = [
        {"builder": builder.key, "status": "skipped", "why": "bars failed", **shared} for builder in BUILDERS[1:]
    ]
    return [{"builder": "bars.1d", "status": "failed", "why": why, **shared}, *skipped]


def _restatements() -> list[Row]:
    reason = "close of 2019-05-01 changed from 5350.7 to 5402.7"
    one_day = {"id": 7, "first_day": "2019-05-01", "last_day": "2019-05-01", "rows": 1, "reason": reason}
    one_week = {
        "id": 52,
        "first_day": "2021-02-03",
        "last_day": "2021-02-09",
        "rows": 7,
        "reason": f"rows changed: {EVIL}",
    }
    return [
        {**one_day, "old_close": 5350.7, "new_close": 5402.7, "noted_at": "2026-11-24T02:14:03.120+00:00"},
        {**one_week, "old_close": 0.00001234, "new_close": None, "noted_at": "2026-11-21T02:14:03.120+00:00"},
    ]


def _summary(headline: str, details: list[str], failures: list[Row], number: int) -> Row:
    return {
        "version": 1,
        "kind": "run",
        "run_id": "run-0",
        "command": "python run_daily_refresh.py --all",
        "started_at": "2026-11-24T02:10:00+00:00",
        "seconds": 482.131,
        "exit_code": 1,
        "severity": "error",
        "headline": headline,
        "details": details,
        "assets": number,
        "rows": 84_485,
        "bars": 3_245,
        "emas": 81_240,
        "missing_days": 12,
        "ema_violations": 0,
        "repairs": {"repaired_high": 3, "repaired_low": 1, "repaired_timehigh": 14},
        "rejects": {"low above high": 2},
        "steps": [],
        "unfinished": failures,
        "recovered": [],
        "restated": [],
        "notices": [],
        "remaining_seconds": 240.0,
        "next_command": "python run_daily_refresh.py --all --resume",
        "stopped_by": None,
        "validation": None,
    }


def _run(dice: random.Random, days_ago: int, number: int) -> Row:
    """A run: every fifth was killed in its sixth builder, and every fifth from the newest on failed partly."""
    is_killed = days_ago % 5 == 3
    has_failed = days_ago % 5 == 0
    builders = BUILDERS[:6] if is_killed else BUILDERS
    started = now = NOW - timedelta(days=days_ago, minutes=10)
    steps: list[Row] = []
    for builder in builders:
        step = {"builder": builder.key, "title": builder.title, "started_at": now.isoformat()}
        status = "skipped" if steps else "failed"
        seconds, rows = round(dice.uniform(8, 90), 1), dice.randint(200, 15_000)
        outcomes = {"done": number - 1, status: 1} if has_failed else {"done": number}
        now += timedelta(seconds=seconds)
        steps.append(step | {"ended_at": now.isoformat(), "seconds": seconds, "rows": rows, "outcomes": outcomes})
    if is_killed:
        steps[-1] |= {"ended_at": None, "seconds": None, "rows": None, "outcomes": {"done": number // 3}}
    return {
        "kind": "refresh",
        "run_id": f"run-{days_ago}",
        "command": "python run_daily_refresh.py --all",
        "started_at": started.isoformat(),
        "ended_at": None if is_killed else now.isoformat(),
        "exit_code": None if is_killed else int(has_failed),
        "rows": sum(step["rows"] or 0 for step in steps),
        "assets": number,
        "steps": steps,
    }


def _chart(dice: random.Random, price: float) -> bytes:
    """At most 150 bars of each series; a young asset has fewer of the long ones."""
    age = dice.randint(400, 4000)
    series = [_series(dice, price, min(150, age // kind[-1]), *kind) for kind in SERIES]
    return gzip.compress(json.dumps({"series": series}).encode(), mtime=0)


def _series(dice: random.Random, price: float, bars: int, table: str, tf: str, title: str, emas: str, days: int) -> Row:
    last = (TODAY - date(1970, 1, 1)).days - 2
    closes = [price]
    for _ in range(bars):
        closes.append(closes[-1] * math.exp(dice.gauss(0, 0.02 * math.sqrt(days))))
    pairs = list(pairwise(closes))
    return {
        "table": table,
        "tf": tf,
        "title": title,
        "days": [last - days * (bars - 1 - position) for position in range(bars)],
        "open": [_short(previous) for previous, _ in pairs],
        "high": [_short(max(pair) * (1 + abs(dice.gauss(0, 0.01)))) for pair in pairs],
        "low": [_short(min(pair) / (1 + abs(dice.gauss(0, 0.01)))) for pair in pairs],
        "close": [_short(close) for _, close in pairs],
        **({"marks": _marks(last, bars), "volume": [_short(dice.uniform(1, 9e3)) for _ in pairs]} if days == 1 else {}),
        "forming": days > 1,
        "ema_table": emas,
        "emas": {str(period): _ema(closes[1:], period) for period in PERIODS},
    }


def _marks(last: int, bars: int) -> list[list[Any]]:
    """A mark of each kind, two on one day, and one on a day without a bar; a young asset has fewer."""
    marks: list[list[Any]] = [
        [last - 90, "missing", "2 days before this bar have none"],
        [last - 60, "repaired", "repaired high"],
        [last - 30, "refused", f"refused: {EVIL}"],
        [last - 30, "restated", "3 rows changed, 2026-10-20 to 2026-10-23"],
        [last + 1, "refused", "refused: null_ohlc"],
    ]
    return [mark for mark in marks if mark[0] > last - bars]


def _nights(runs: list[Row]) -> list[Row]:
    ended = [run for run in reversed(runs) if run["ended_at"]]
    return [
        {
            "started_at": run["started_at"],
            "exit_code": run["exit_code"],
            "rows": run["rows"],
            "seconds": sum(step["seconds"] for step in run["steps"]),
            "failed": run["exit_code"],
            "bytes": 1_000_000_000 + run["rows"] * 120,
        }
        for run in ended
    ]


def _ema(closes: list[float], period: int) -> list[float | None]:
    """The EMA after a third of its period, so that fast EMAs begin early and slow ones late."""
    value, emas = closes[0], list[float | None]()
    for position, close in enumerate(closes):
        value += (close - value) * 2 / (period + 1)
        emas.append(_short(value) if position >= period // 3 else None)
    return emas


def _short(value: float) -> float:
    return float(f"{value:.6g}")
