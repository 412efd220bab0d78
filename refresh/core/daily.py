"""Raw rows -> one honest bar per asset and day: what is refused, what is repaired, what is kept.

Data is repaired or refused here and nowhere else; everything downstream trusts these bars. The rules are those of
docs/bars.md, "The daily bar", applied to all rows of all assets at once. This module knows nothing of where rows come
from, of what is stored already, and of what time it is.
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
"""The number columns of a raw row; bit i of its ``nulls`` is set where the i-th of them is NULL and not NaN."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyBars:
    """Every raw row once: as a bar or as a reject.

    ``bars``: the columns of a daily bar, and ``day``; sorted by id, day and therefore by timestamp. ``rejects``: id,
    timestamp, reason, copy, TIMES and NUMBERS; sorted by id, timestamp (NULL first), reason, copy. The number columns
    of rejects are masked arrays: a masked value was NULL, a NaN was NaN.
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
    Raises ``SequenceError`` if an asset's bar in ``before`` is not before its first bar here.
    """
    rows = in_order(raw)
    reason = refusals(rows, now)
    reason[_replaced(rows, reason == b"")] = Reason.DUPLICATE_DAY.encode()
    is_refused = reason != b""
    bars = bars_of(take(rows, ~is_refused), before)
    rejects = rejects_of(take(rows, is_refused), reason[is_refused])
    return DailyBars(bars=bars, rejects=rejects)


def in_order(raw: Rows) -> Rows:
    """The rows by id, day, timestamp, load_ts, all NULL first, then by every other column.

    So the last row of a day is the one to keep, and the order in which rows arrive cannot change the result, even if
    the source has no primary key. -0.0 becomes 0.0: the database takes them for equal and would keep the first.
    """
    rows = raw | {name: raw[name] + 0.0 for name in NUMBERS}
    keys = [_sortable(rows[name]) for name in ("id", "day", "timestamp")]
    order = np.lexsort(keys[::-1])
    keys = [key[order] for key in keys]
    is_tied = ~(starts(*keys) & ends(*keys))
    tied = order[is_tied]
    columns = ("id", "timestamp", "load_ts", *TIMES, *NUMBERS, "nulls", "name", "source_file")
    tie_keys = [_sortable(rows[name][tied]) for name in reversed(columns)]
    order[is_tied] = tied[np.lexsort(tie_keys)]
    return take(rows, order)


def _sortable(column: Array) -> Array:
    """The column as a sort key: NaT is the lowest integer, so it comes first and equals itself."""
    return column.view(np.int64) if column.dtype.kind == "M" else column


def ends(*keys: Array) -> Array:
    """Where a run of equal keys ends, shape (rows,), bool; the last row always ends one."""
    return starts(*(key[::-1] for key in keys))[::-1]


def _is_null(rows: Rows, *names: str) -> Array:
    """Whether any of these number columns is NULL, shape (rows,), bool; a NaN is not NULL."""
    bits = rows["nulls"] & sum(1 << NUMBERS.index(name) for name in names)
    return bits.astype(bool)


def refusals(rows: Rows, now: np.datetime64) -> Array:
    """Why each row would be refused if it were alone on its day, shape (rows,), bytes; empty if it would not."""
    prices = np.stack([rows[name] for name in _OHLC])
    volume, timestamp = rows["volume"], rows["timestamp"]
    timeopen, timeclose = rows["timeopen"], rows["timeclose"]
    facts = {
        Reason.NULL_OHLC: _is_null(rows, *_OHLC),
        Reason.NONFINITE_OHLC: ~np.isfinite(prices).all(axis=0),
        Reason.NONPOSITIVE_OHLC: (prices <= 0).any(axis=0),
        Reason.NULL_TIME: np.isnat(timestamp) | np.isnat(timeopen) | np.isnat(timeclose),
        Reason.TIME_ORDER: timeopen > timeclose,
        Reason.BAD_VOLUME: ~_is_null(rows, "volume") & ~(np.isfinite(volume) & (volume >= 0)),
        Reason.FUTURE_TIMESTAMP: timestamp > now.astype(TIME) + _AHEAD,
    }
    reasons = [np.bytes_(reason.encode()) for reason in facts]
    return np.select(list(facts.values()), reasons, np.bytes_(b""))


def _replaced(rows: Rows, is_good: Array) -> Array:
    """The indices of the good rows that a later good row of the same asset and day replaces; ``rows`` in order."""
    index = np.flatnonzero(is_good)
    return index[~ends(rows["id"][index], rows["day"][index])]


def bars_of(rows: Rows, before: Rows) -> Rows:
    """The bars of accepted rows, one per asset and day, in order."""
    size = count(rows)
    return {
        "id": rows["id"],
        "timestamp": rows["timestamp"],
        "day": rows["day"],
        "tf": np.full(size, TF),
        **_continued(rows, before),
        "time_open": rows["timeopen"],
        "time_close": rows["timeclose"],
        **_repaired_times(rows),
        "open": rows["open"],
        "close": rows["close"],
        **_repaired_prices(rows),
        "volume": rows["volume"],
        "market_cap": rows["marketcap"],
        "is_partial_start": np.zeros(size, bool),
        "is_partial_end": np.zeros(size, bool),
        "src_name": rows["name"],
        "src_load_ts": rows["load_ts"],
        "src_file": rows["source_file"],
    }


def _continued(rows: Rows, before: Rows) -> Rows:
    """How each bar follows the asset's previous one: its number, and the calendar days missing in between.

    The bars of ``before`` are put in front of those of their asset and removed at the end.
    """
    ids = np.concatenate([before["id"], rows["id"]])
    days = np.concatenate([before["day"], rows["day"]])
    numbers = np.concatenate([before["bar_seq"], np.ones(count(rows), np.int64)])
    order = np.argsort(ids, kind="stable")
    ids, days, numbers = ids[order], days[order], numbers[order]
    is_new = order >= count(before)
    missing = _missing_days(ids, days)[is_new].astype(np.int32)
    return {
        "bar_seq": (numbers[run_heads(ids)] + positions(ids))[is_new],
        "is_missing_days": missing > 0,
        "count_missing_days": missing,
    }


def _missing_days(ids: Array, days: Array) -> Array:
    """The calendar days between each bar and the asset's previous one; 0 for the first. Raises ``SequenceError``."""
    steps = np.diff(days, prepend=days[:1]).astype(np.int64)
    missing = np.where(starts(ids), 0, steps - 1)
    if (missing < 0).any():
        wrong = int(np.argmin(missing))
        raise SequenceError(
            f"asset {ids[wrong]} has a bar of {days[wrong]} that does not follow its bar of {days[wrong - 1]}: "
            "'before' must hold the last bar before the stretch"
        )
    return missing


def _repaired_times(rows: Rows) -> Rows:
    """The times of the extremes within [timeopen, timeclose].

    A time that is NULL follows from the day's direction: a rising or flat day has its low at the open and its high at
    the close, a falling day the other way round. Each repair is flagged.
    """
    opens, closes = rows["timeopen"], rows["timeclose"]
    is_rising = rows["close"] >= rows["open"]
    implied = {"high": np.where(is_rising, closes, opens), "low": np.where(is_rising, opens, closes)}
    times: Rows = {}
    for name, absent in implied.items():
        given = rows[f"time{name}"]
        inside = np.minimum(np.maximum(given, opens), closes)
        time = np.where(np.isnat(given), absent, inside)
        times |= {f"time_{name}": time, f"repaired_time{name}": time != given}
    return times


def _repaired_prices(rows: Rows) -> Rows:
    """High and low such that open and close are between them; flagged where they were not."""
    high = np.maximum(rows["high"], np.maximum(rows["open"], rows["close"]))
    low = np.minimum(rows["low"], np.minimum(rows["open"], rows["close"]))
    return {
        "high": high,
        "low": low,
        "repaired_high": high != rows["high"],
        "repaired_low": low != rows["low"],
    }


def rejects_of(rows: Rows, reason: Array) -> Rows:
    """The refused rows as they were, numbered so that (id, timestamp, reason, copy) identifies each of them."""
    order = np.lexsort([reason, _sortable(rows["timestamp"]), rows["id"]])
    rows, reason = take(rows, order), reason[order]
    copy = positions(rows["id"], _sortable(rows["timestamp"]), reason) + 1
    rejects = {
        "id": rows["id"],
        "timestamp": rows["timestamp"],
        "reason": reason,
        "copy": copy.astype(np.int32),
    }
    for name in TIMES:
        rejects[name] = rows[name]
    for name in NUMBERS:
        rejects[name] = np.ma.MaskedArray(rows[name], mask=_is_null(rows, name))
    return rejects
