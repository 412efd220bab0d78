"""Timestamps of the source that contradict the time zone of the tables: midnight elsewhere, filed on another day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import Connection

from refresh.store.source import Source
from refresh.store.stamps import Stamps, regular_stamps
from refresh.wording import shown_ids

LEAST = 20
"""The least number of timestamps that say something about an asset."""
NEARLY_ALL = 0.9
_MARKETS = (
    "Asia/Tokyo", "America/New_York", "Europe/London", "Europe/Berlin", "Asia/Kolkata", "Asia/Hong_Kong",
    "Asia/Shanghai", "Asia/Singapore", "Asia/Seoul", "Australia/Sydney", "America/Sao_Paulo", "America/Chicago",
    "Europe/Moscow", "Europe/Istanbul", "Europe/Athens", "Asia/Dubai", "Pacific/Auckland", "America/Los_Angeles",
    "America/Denver", "UTC",
)  # fmt: skip
"""The zones that are proposed first: of several with the same offsets, the one that most prices are from."""
_MIDNIGHT = time()


def contradictions(connection: Connection, source: Source, ids: Sequence[int], *, is_settled: bool) -> list[str]:
    """A sentence for each other zone in which some of these assets are midnight, with the option that fits.

    ``is_settled``: the zone of the tables is remembered, so that changing it takes a rebuild.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for stamps in regular_stamps(connection, source, ids, least=LEAST) if ids else ():
        zone = fitting_zone(stamps.times)
        if zone and zone != source.tz:
            groups.setdefault((zone, _offsets(stamps, zone)), []).append(stamps.id)
    return [_sentence(zone, offsets, of_zone, is_settled=is_settled) for (zone, offsets), of_zone in groups.items()]


def fitting_zone(times: Sequence[datetime]) -> str | None:
    """The first zone in which nearly all times are midnight."""
    for zone in _zones():
        place = ZoneInfo(zone)
        if _is_midnight(times[0], place) + _is_midnight(times[-1], place) and _fits(times, place):
            return zone
    return None


def _zones() -> Iterator[str]:
    yield from _MARKETS
    yield from _other_zones()


@lru_cache(maxsize=1)
def _other_zones() -> list[str]:
    """Names of places; those like Etc/GMT-9 read as the opposite of what they are."""
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))


def _fits(times: Iterable[datetime], place: ZoneInfo) -> bool:
    found = [_is_midnight(moment, place) for moment in times]
    return sum(found) >= NEARLY_ALL * len(found)


def _is_midnight(moment: datetime, place: ZoneInfo) -> bool:
    return moment.astimezone(place).time() == _MIDNIGHT


def _offsets(stamps: Stamps, zone: str) -> str:
    """The offsets of a zone at these times, e.g. ``-05:00 and -04:00``."""
    place = ZoneInfo(zone)
    offsets = {moment.astimezone(place).utcoffset() or timedelta(0) for moment in stamps.times}
    return " and ".join(map(_shown, sorted(offsets)))


def _shown(offset: timedelta) -> str:
    minutes = round(offset / timedelta(minutes=1))
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{hours:02d}:{rest:02d}"


def _sentence(zone: str, offsets: str, ids: Sequence[int], *, is_settled: bool) -> str:
    noun = "asset" if len(ids) == 1 else "assets"
    advice = f"--tz {zone}"
    if is_settled:
        advice += f"; change the zone of all assets with --all --full-rebuild --tz {zone}"
    return f"all times of {noun} {shown_ids(ids)} are midnight at {offsets}: {advice}"
