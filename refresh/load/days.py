"""Times as they are written -> the day that each is of, and moments in UTC.

A date is that day in the zone of the refresh, and so is a time without an offset; a time with an offset is of the day
that is written. Midnight says no more than a date. Refuses to know notations and files.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from refresh.core.rows import DAY, TIME, Array, Rows
from refresh.load.stamps import Stamps

_LAST_MOMENT = np.timedelta64(1, "ms")
"""A day ends a millisecond before the next one, as in CoinMarketCap's exports."""
_ONE_DAY = np.timedelta64(1, "D")
_STEP = np.timedelta64(15, "m")
"""Clocks are set at multiples of it."""
_MINUTE = np.timedelta64(1, "m")


@dataclass(frozen=True, slots=True)
class Zone:
    """The time zone in which the days of a refresh begin; ``name`` as in the IANA database."""

    name: str

    def moments(self, local: Array) -> Array:
        """Local times M8[us] in UTC; NaT stays NaT."""
        if self.name == "UTC":
            return local
        steps, positions = np.unique(local.astype("M8[s]") - _since_step(local), return_inverse=True)
        ahead = np.array([_ahead(self.name, step) for step in steps.tolist()], "m8[s]")
        return np.asarray(local - ahead[positions].astype("m8[us]"))

    def starts(self, days: Array) -> Array:
        """The moments at which days M8[D] begin."""
        return self.moments(days.astype(TIME))

    def ends(self, days: Array) -> Array:
        """The last moments of days M8[D]."""
        return np.asarray(self.starts(days + _ONE_DAY) - _LAST_MOMENT)


def _since_step(local: Array) -> Array:
    seconds = local.astype("M8[s]").astype(np.int64) % int(_STEP / np.timedelta64(1, "s"))
    return np.where(np.isnat(local), 0, seconds).astype("m8[s]")


@lru_cache(65_536)
def _ahead(zone: str, local: datetime | None) -> int:
    """The seconds by which a zone is ahead of UTC at a local time."""
    if local is None:
        return 0
    moment = local.replace(tzinfo=ZoneInfo(zone))
    try:
        return int((moment.replace(tzinfo=UTC) - moment.astimezone(UTC)).total_seconds())
    except OverflowError:  # at the ends of the calendar
        return 0


def placed(stamps: Stamps, zone: Zone) -> Rows:
    """The day of each stamp: ``day`` M8[D] and ``timestamp``, ``stamped``, ``timeopen``, ``timeclose``, M8[us] in UTC.

    ``timestamp`` lies in the day in ``zone``: the moment that is written, or the last of the day where a midnight, or
    none of that day, is written. ``stamped`` is what is written in any case. ``timeopen`` and ``timeclose`` are the
    bounds of the day on the writer's clock, or the moment for the latter where a time of day is written.
    """
    day = stamps.local.astype(DAY)
    is_midnight = stamps.local == day.astype(TIME)
    stamped = moments(stamps, zone)
    starts, ends = zone.starts(day), zone.ends(day)
    is_inside = (stamped >= starts) & (stamped < ends + _LAST_MOMENT)
    timestamp = np.where(is_inside & ~is_midnight, stamped, ends)
    has_offset = stamps.has_offset
    opens = np.where(has_offset, _in_utc(day.astype(TIME), stamps), starts)
    closes = np.where(has_offset, _in_utc((day + _ONE_DAY).astype(TIME), stamps) - _LAST_MOMENT, ends)
    return {
        "day": day,
        "timestamp": timestamp,
        "stamped": stamped,
        "timeopen": opens,
        "timeclose": np.where(is_midnight, closes, stamped),
    }


def moments(stamps: Stamps, zone: Zone) -> Array:
    """What is written, as moments in UTC."""
    if not stamps.has_offset.any():
        return zone.moments(stamps.local)
    return np.where(stamps.has_offset, _in_utc(stamps.local, stamps), zone.moments(stamps.local))


def _in_utc(local: Array, stamps: Stamps) -> Array:
    minutes = np.where(stamps.has_offset, stamps.offset, 0) * _MINUTE
    return np.asarray(local - minutes.astype("m8[us]"))
