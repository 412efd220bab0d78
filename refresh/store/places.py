"""Where the series of packed averages are: each has a shelf, a row of its own per day, and a lane in its arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, text

from refresh.catalog import Leg
from refresh.core.packing import Lanes
from refresh.core.rows import Array
from refresh.core.series import Series
from refresh.store.tables import METADATA, SETTINGS


@dataclass(frozen=True, slots=True)
class Place:
    """The shelf and the lane of a series, both counted from 0, and the days of its timeframe as they are stored."""

    shelf: int
    lane: int
    tf_days: int


@dataclass(frozen=True, slots=True)
class Places:
    """The place of each series (timeframe, period) of a table."""

    of: Mapping[tuple[str, int], Place]

    def by_shelf(self, series: Iterable[tuple[str, int]]) -> dict[int, Lanes]:
        """Some series by shelf, in the order of shelves. Raises ``KeyError`` for a series without a place."""
        positions: dict[int, list[int]] = defaultdict(list)
        lanes: dict[int, list[int]] = defaultdict(list)
        for position, pair in enumerate(series):
            place = self.of[pair]
            positions[place.shelf].append(position)
            lanes[place.shelf].append(place.lane)
        by_shelf = {}
        for shelf in sorted(positions):
            others = self._others(shelf, lanes[shelf])
            by_shelf[shelf] = Lanes(series=np.array(positions[shelf]), lanes=np.array(lanes[shelf]), others=others)
        return by_shelf

    def are_all(self, shelf: int, of_shelf: Lanes) -> bool:
        """Whether these are all series of a shelf."""
        return len(of_shelf.lanes) == sum(place.shelf == shelf for place in self.of.values())

    def _others(self, shelf: int, lanes: Sequence[int]) -> Array:
        of_shelf = [place.lane for place in self.of.values() if place.shelf == shelf]
        is_other = np.zeros(1 + max(of_shelf), bool)
        is_other[of_shelf] = True
        is_other[lanes] = False
        return is_other


def read_places(connection: Connection, leg: Leg) -> Places:
    """The place of every series that has ever been built; one outside of the row is none."""
    query = text(f"SELECT tf, period, tf_days, shelf, place FROM {leg.places} WHERE place BETWEEN 1 AND :width")
    rows = connection.execute(query, {"width": leg.shelf_width})
    return Places({(row.tf, row.period): Place(row.shelf, row.place - 1, row.tf_days) for row in rows})


def give_places(connection: Connection, leg: Leg, series: Sequence[Series]) -> None:
    """Give each series of packed averages a place that has none; others need none.

    Series that begin early come first, so that a row is defined up to some lane, and its arrays end there.
    """
    ordered = sorted(series, key=lambda member: member.rank)
    if leg.averages:
        give_numbers(connection, leg, [(m.timeframe.tf, m.period, m.timeframe.days_nominal) for m in ordered])


def give_numbers(connection: Connection, leg: Leg, series: Sequence[tuple[str, int, int]]) -> None:
    """Give each series (timeframe, period, days of the timeframe) a place that has none, in this order.

    A place is given once: that of a series that goes stays empty.
    """
    if not _without_place(connection, leg, series):
        return
    connection.execute(text(f"LOCK TABLE {leg.places} IN SHARE ROW EXCLUSIVE MODE"))
    new = _without_place(connection, leg, series)
    if new:
        outside = text(f"DELETE FROM {leg.places} WHERE place NOT BETWEEN 1 AND :width")
        connection.execute(outside, {"width": leg.shelf_width})
        number = _next_number(connection, leg, len(new))
        rows = [_row(leg, *member, number + position) for position, member in enumerate(new)]
        connection.execute(METADATA.tables[leg.places].insert(), rows)


def _without_place(
    connection: Connection, leg: Leg, series: Sequence[tuple[str, int, int]]
) -> list[tuple[str, int, int]]:
    given = read_places(connection, leg).of
    return [(tf, period, days) for tf, period, days in series if (tf, period) not in given]


def _row(leg: Leg, tf: str, period: int, days: int, number: int) -> dict[str, object]:
    shelf, lane = divmod(number, leg.shelf_width)
    return {"tf": tf, "period": period, "tf_days": days, "shelf": shelf, "place": lane + 1}


def _next_number(connection: Connection, leg: Leg, count: int) -> int:
    """The first of ``count`` numbers that no series of the table has ever had, as far as that is remembered."""
    query = text(f"""
        INSERT INTO {SETTINGS} AS s (name, value)
        SELECT :name, coalesce(max(shelf * :width + place), 0) + :count FROM {leg.places}
        ON CONFLICT (name) DO UPDATE SET value = greatest(s.value::int + :count, excluded.value::int) RETURNING value
    """)
    values = {"name": f"{leg.places} given", "width": leg.shelf_width, "count": count}
    return int(connection.execute(query, values).scalar_one()) - count
