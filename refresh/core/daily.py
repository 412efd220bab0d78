"""Raw rows -> one honest bar per asset and day: what is refused, what is repaired, what is kept.

The only place where data is repaired or refused; everything downstream trusts its bars. It knows the rules of
docs/bars.md, "The daily bar", and computes them for all rows of all assets at once. It refuses to know where rows come
from, what stands in the tables already, and what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from refresh.core.rows import TIME, Array, Rows, count, positions, run_heads, starts, take
from refresh.errors import SequenceError

TIMES = ("timeopen", "timeclose", "timehigh", "timelow")
"""The time columns of a raw row, except its ``timestamp``."""

NUMBERS = ("open", "high", "low", "close", "volume", "marketcap")
"""The number columns of a raw row; bit i of its ``nulls`` is set where the i-th of them is NULL rather than NaN."""

TF = b"1D"

_OHLC = NUMBERS[:4]
_AHEAD = np.timedelta64(2, "D")


class Reason(StrEnum):
    """Why a raw row is no bar, in order of precedence: a row is refused for the first that applies to it."""

    NULL_OHLC = "null_ohlc"
    NONFINITE_OHLC = "nonfinite_ohlc"
    NONPOSITIVE_OHLC = "nonpositive_ohlc"
    NULL_TIME = "null_time"
    TIME_ORDER = "time_order"
    BAD_VOLUME = "bad_volume"
    FUTURE_TIMESTAMP = "future_timestamp"
    DUPLICATE_DAY = "duplicate_day"


@dataclass(frozen=True, slots=True)
class DailyBars:
    """Every raw row once: as a bar or as a reject.

    ``bars`` has the columns of the daily table but ``ingested_at``, and ``day``; sorted by id, day and so by timestamp.
    ``rejects`` has those of the rejects table but ``run_id`` and ``rejected_at``; sorted by id, timestamp (NULL first),
    reason, copy. Its number columns are masked arrays: a masked value was NULL, a NaN was NaN.
    """

    bars: Rows
    rejects: Rows


def build_daily_bars(raw: Rows, before: Rows, *, now: np.datetime64) -> DailyBars:
    """Sort raw rows, in any order and of any number of assets, into the bars of whole days and the rejects.

    ``raw`` has, for each row: id int32; timestamp, load_ts and TIMES, M8[us] in UTC; day M8[D], the date of timestamp
    in the run's time zone, NaT where that is NULL; NUMBERS, float64, NaN for NULL and for NaN; nulls int32, which tells
    the two apart; name and source_file, bytes.
    ``before`` has the last bar of each asset before the stretch that is read: id int32, day M8[D], bar_seq int64. An
    asset that is absent starts with bar 1. ``now`` is the run's clock in UTC.

    Neither is changed. The result is the same for every order of the rows, and for a stretch read at once or in parts.
    Raises ``SequenceError`` where an asset's bar in ``before`` does not lie before its first bar here.
    """
    rows = _in_order(raw)
    reason = _refusals(rows, now)
    reason[_displaced(rows, reason == b"")] = Reason.DUPLICATE_DAY.encode()
    refused = reason != b""
    return DailyBars(_bars(take(rows, ~refused), before), _rejects(take(rows, refused), reason[refused]))


def _in_order(raw: Rows) -> Rows:
    """The rows by id, day, timestamp, load_ts, all NULL first, then by every other column.

    So of two rows of a day the later one is the better one, and equal keys, which only a source without its primary
    key has, cannot make the result depend on how the rows arrived. -0.0 becomes 0.0: PostgreSQL takes them for equal
    and would keep the one that came first.
    """
    rows = raw | {name: raw[name] + 0.0 for name in NUMBERS}
    keys = [_sortable(rows[name]) for name in ("id", "day", "timestamp")]
    order = np.lexsort(keys[::-1])
    keys = [key[order] for key in keys]
    tied = ~(starts(*keys) & _ends(*keys))
    among = order[tied]
    by = ("id", "timestamp", "load_ts", *TIMES, *NUMBERS, "nulls", "name", "source_file")
    order[tied] = among[np.lexsort([_sortable(rows[name][among]) for name in reversed(by)])]
    return take(rows, order)


def _sortable(column: Array) -> Array:
    """The column as a sort key: NaT is the lowest integer, so it comes first and equals itself."""
    return column.view(np.int64) if column.dtype.kind == "M" else column


def _ends(*keys: Array) -> Array:
    """Where a run of equal keys ends, shape (rows,), bool; the last row always ends one."""
    return starts(*(key[::-1] for key in keys))[::-1]


def _is_null(rows: Rows, *names: str) -> Array:
    """Whether any of these number columns is NULL, shape (rows,), bool; a NaN is not NULL."""
    bits = rows["nulls"] & sum(1 << NUMBERS.index(name) for name in names)
    return bits.astype(bool)


def _refusals(rows: Rows, now: np.datetime64) -> Array:
    """Why each row would be refused were it alone on its day, shape (rows,), bytes; empty where it would not."""
    prices = np.stack([rows[name] for name in _OHLC])
    volume, timestamp, timeopen, timeclose = (rows[name] for name in ("volume", "timestamp", "timeopen", "timeclose"))
    facts = {
        Reason.NULL_OHLC: _is_null(rows, *_OHLC),
        Reason.NONFINITE_OHLC: ~np.isfinite(prices).all(axis=0),
        Reason.NONPOSITIVE_OHLC: (prices <= 0).any(axis=0),
        Reason.NULL_TIME: np.isnat(timestamp) | np.isnat(timeopen) | np.isnat(timeclose),
        Reason.TIME_ORDER: timeopen > timeclose,
        Reason.BAD_VOLUME: ~_is_null(rows, "volume") & ~(np.isfinite(volume) & (volume >= 0)),
        Reason.FUTURE_TIMESTAMP: timestamp > now.astype(TIME) + _AHEAD,
    }
    return np.select(list(facts.values()), [np.bytes_(reason.encode()) for reason in facts], np.bytes_(b""))


def _displaced(rows: Rows, is_good: Array) -> Array:
    """The indices of the good rows that a later good row of the same asset and day displaces; ``rows`` in order."""
    index = np.flatnonzero(is_good)
    return index[~_ends(rows["id"][index], rows["day"][index])]


def _bars(rows: Rows, before: Rows) -> Rows:
    """The bars of accepted rows, one per asset and day, in order."""
    size = count(rows)
    return {
        "id": rows["id"], "timestamp": rows["timestamp"], "day": rows["day"], "tf": np.full(size, TF),
        **_continued(rows, before),
        "time_open": rows["timeopen"], "time_close": rows["timeclose"], **_repaired_times(rows),
        "open": rows["open"], "close": rows["close"], **_repaired_prices(rows),
        "volume": rows["volume"], "market_cap": rows["marketcap"],
        "is_partial_start": np.zeros(size, bool), "is_partial_end": np.zeros(size, bool),
        "src_name": rows["name"], "src_load_ts": rows["load_ts"], "src_file": rows["source_file"],
    }  # fmt: skip


def _continued(rows: Rows, before: Rows) -> Rows:
    """How each bar follows the asset's previous one: its number, and the calendar days missing in between.

    The bars of ``before`` are laid in front of those of their asset and taken away again at the end.
    """
    ids = np.concatenate([before["id"], rows["id"]])
    order = np.argsort(ids, kind="stable")
    ids, day = ids[order], np.concatenate([before["day"], rows["day"]])[order]
    seq = np.concatenate([before["bar_seq"], np.ones(count(rows), np.int64)])[order]
    is_new = order >= count(before)
    missing = np.where(starts(ids), 0, np.diff(day, prepend=day[:1]).astype(np.int64) - 1)
    if (missing < 0).any():
        wrong = int(np.argmin(missing))
        raise SequenceError(
            f"asset {ids[wrong]} has a bar of {day[wrong]} that does not follow its bar of {day[wrong - 1]}: "
            "'before' must hold the last bar before the stretch"
        )
    missing = missing[is_new].astype(np.int32)
    return {
        "bar_seq": (seq[run_heads(ids)] + positions(ids))[is_new],
        "is_missing_days": missing > 0,
        "count_missing_days": missing,
    }


def _repaired_times(rows: Rows) -> Rows:
    """The times of the extremes within [timeopen, timeclose].

    A time that is NULL is taken from the course of the day: a rising or flat day has its low at the open and its high
    at the close, a falling day the other way round. Each of these is flagged.
    """
    opens, closes = rows["timeopen"], rows["timeclose"]
    rises = rows["close"] >= rows["open"]
    times: Rows = {}
    for name, rising, falling in (("high", closes, opens), ("low", opens, closes)):
        given = rows[f"time{name}"]
        inside = np.minimum(np.maximum(given, opens), closes)
        time = np.where(np.isnat(given), np.where(rises, rising, falling), inside)
        times |= {f"time_{name}": time, f"repaired_time{name}": time != given}
    return times


def _repaired_prices(rows: Rows) -> Rows:
    """High and low such that open and close lie between them; flagged where they did not."""
    high = np.maximum(rows["high"], np.maximum(rows["open"], rows["close"]))
    low = np.minimum(rows["low"], np.minimum(rows["open"], rows["close"]))
    return {"high": high, "low": low, "repaired_high": high != rows["high"], "repaired_low": low != rows["low"]}


def _rejects(rows: Rows, reason: Array) -> Rows:
    """The refused rows as they were, numbered so that (id, timestamp, reason, copy) names one of them."""
    order = np.lexsort([reason, _sortable(rows["timestamp"]), rows["id"]])
    rows, reason = take(rows, order), reason[order]
    copy = positions(rows["id"], _sortable(rows["timestamp"]), reason) + 1
    return {
        "id": rows["id"], "timestamp": rows["timestamp"], "reason": reason, "copy": copy.astype(np.int32),
        **{name: rows[name] for name in TIMES},
        **{name: np.ma.MaskedArray(rows[name], mask=_is_null(rows, name)) for name in NUMBERS},
    }  # fmt: skip
