"""A flip of any stored bit of packed averages is found, and named by series and column."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from validate.varied_prices import Parts, finding, in_words, judged, undone

from refresh.catalog import Leg, legs
from refresh.shapes import CLOSED
from refresh.validate.finding import Finding
from refresh.validate.recompute import SHOWN

LEGS = [leg for _, leg in legs() if leg.averages]
COLUMNS = [
    pytest.param(leg, name, id=f"{leg.target.removeprefix('cmc_')}-{name}")
    for leg in LEGS
    for average in leg.averages
    for name in average.columns
]
few = settings(max_examples=4, deadline=None)
of_every_column = pytest.mark.parametrize(("leg", "column"), COLUMNS)
of_every_table = pytest.mark.parametrize("leg", LEGS, ids=lambda leg: leg.target)


def lanes(connection: Connection, leg: Leg, column: str) -> Sequence[Any]:
    """What is stored of a column: an item per packed row and series, in the order in which findings are reported."""
    query = f"""
        SELECT p.id, p.ts AS time, p.shelf, s.tf, s.period, s.place, p.{column}[s.place] AS value,
               p.{leg.averages[0].name}[s.place] IS NOT NULL AS is_row
        FROM {leg.table} p JOIN {leg.places} s USING (shelf) ORDER BY p.id, p.ts, s.tf, s.period
    """
    return connection.execute(text(query)).all()


def damaged(connection: Connection, parts: Parts, leg: Leg, lane: Any, change: str, **values: Any) -> list[Finding]:
    """The findings after a change of the packed row of a lane."""
    query = f"UPDATE {leg.table} SET {change} WHERE id = :id AND ts = :time AND shelf = :shelf"
    keys = {"id": lane.id, "time": lane.time, "shelf": lane.shelf, "place": lane.place}
    with undone(connection):
        assert connection.execute(text(query), {**keys, **values}).rowcount == 1
        return judged(connection, parts[leg.target])


def words(connection: Connection, leg: Leg, column: str, value: Any) -> str:
    """How a finding shows a number."""
    in_json = connection.execute(text("SELECT to_jsonb(CAST(:value AS float8))"), {"value": value}).scalar_one()
    return in_words(leg.target, column, in_json)


def beside(lane: Any, of_column: Sequence[Any]) -> list[Any]:
    """The lanes of the packed row of this one."""
    return [other for other in of_column if (other.id, other.time, other.shelf) == (lane.id, lane.time, lane.shelf)]


def flipped(number: float, bit: int) -> float:
    """A number with one of its 64 bits another."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", number))
    (changed,) = struct.unpack("<d", struct.pack("<Q", bits ^ 1 << bit))
    return float(changed)


# Items of lists


@of_every_column
@few
@given(data=st.data(), bit=st.integers(0, 63))
def test_bit_of_a_number(
    varied_session: Connection, parts: Parts, leg: Leg, column: str, data: st.DataObject, bit: int
) -> None:
    """Each bit of each number counts."""
    stored = [lane for lane in lanes(varied_session, leg, column) if lane.value is not None]
    lane = data.draw(st.sampled_from(stored))
    value = flipped(lane.value, bit)
    assume(value != lane.value)  # 0 and -0 are equal numbers
    found = damaged(
        varied_session, parts, leg, lane, f"{column} = public.with_item({column}, :place, :value)", value=value
    )
    before, after = (words(varied_session, leg, column, number) for number in (lane.value, value))
    assert found == [finding(leg.target, lane, before, after)]


@of_every_column
@few
@given(data=st.data())
def test_number_that_is_gone(
    varied_session: Connection, parts: Parts, leg: Leg, column: str, data: st.DataObject
) -> None:
    """A NULL in place of a number is found, also where readers no longer see the row."""
    stored = [lane for lane in lanes(varied_session, leg, column) if lane.value is not None]
    lane = data.draw(st.sampled_from(stored))
    found = damaged(varied_session, parts, leg, lane, f"{column} = public.with_item({column}, :place, NULL)")
    assert found == [finding(leg.target, lane, words(varied_session, leg, column, lane.value), f"{column} None")]


@of_every_column
@few
@given(data=st.data(), value=st.sampled_from([math.nan, math.inf, 0.0, 50.0]))
def test_number_where_none_is(
    varied_session: Connection, parts: Parts, leg: Leg, column: str, data: st.DataObject, value: float
) -> None:
    """A number or NaN in place of a NULL is found, also beside what readers see."""
    absent = [lane for lane in lanes(varied_session, leg, column) if lane.value is None]
    lane = data.draw(st.sampled_from(absent))
    found = damaged(
        varied_session, parts, leg, lane, f"{column} = public.with_item({column}, :place, :value)", value=value
    )
    sides = {True: (f"{column} None", words(varied_session, leg, column, value)), False: ("no row", "a row")}
    assert found == [finding(leg.target, lane, *sides[lane.is_row])]


# Whole lists


@of_every_column
@few
@given(data=st.data())
def test_list_that_is_too_short(
    varied_session: Connection, parts: Parts, leg: Leg, column: str, data: st.DataObject
) -> None:
    """A list without its end, or none, is found in every series that it lacks."""
    stored = lanes(varied_session, leg, column)
    lane = data.draw(st.sampled_from([lane for lane in stored if lane.value is not None]))
    found = damaged(varied_session, parts, leg, lane, f"{column} = nullif({column}[1 : :place - 1], '{{}}')")
    lost = [other for other in beside(lane, stored) if other.place >= lane.place and other.value is not None]
    assert found == [
        finding(leg.target, other, words(varied_session, leg, column, other.value), f"{column} None") for other in lost
    ]


@of_every_column
@pytest.mark.parametrize("change", ["('[2:' || 1 + cardinality({0}) || ']=' || {0}::text)::float8[]", "ARRAY[{0}]"])
def test_list_that_is_none(varied_session: Connection, parts: Parts, leg: Leg, column: str, change: str) -> None:
    """A list that does not begin with item 1, or has two dimensions, is found in every series of its row."""
    stored = lanes(varied_session, leg, column)
    lane = next(lane for lane in reversed(stored) if lane.value is not None)
    found = damaged(varied_session, parts, leg, lane, f"{column} = {change.format(column)}")
    lost = [other for other in beside(lane, stored) if other.value is not None]
    assert [(wrong.tf, wrong.period) for wrong in found] == [(other.tf, other.period) for other in lost]
    assert {wrong.found for wrong in found} == {f"{column} None"}


@of_every_column
def test_list_that_is_too_long(varied_session: Connection, parts: Parts, leg: Leg, column: str) -> None:
    """Numbers beyond the last series are those of no series, and hide nothing of others."""
    stored = lanes(varied_session, leg, column)
    lane = next(lane for lane in reversed(stored) if lane.value is not None)
    longer = f"{column} = public.with_item(public.with_item({column}, 200, 7), :place, :value)"
    assert damaged(varied_session, parts, leg, lane, longer, value=lane.value) == []
    found = damaged(varied_session, parts, leg, lane, longer, value=7)
    assert [(wrong.tf, wrong.period, wrong.found) for wrong in found] == [(lane.tf, lane.period, f"{column} 7")]


# Bits of days


@of_every_table
@few
@given(data=st.data())
def test_bit_of_a_day(varied_session: Connection, parts: Parts, leg: Leg, data: st.DataObject) -> None:
    """The bit of every day of every series counts, also where the series is not defined."""
    lane = data.draw(st.sampled_from(lanes(varied_session, leg, leg.averages[0].name)))
    query = text(f"SELECT get_bit({CLOSED}, :place - 1) = 0 FROM {leg.table} WHERE id = :id AND ts = :time")
    roll = varied_session.execute(query, {"place": lane.place, "id": lane.id, "time": lane.time}).scalar_one()
    change = f"{CLOSED} = set_bit({CLOSED}, :place - 1, :bit)"
    found = damaged(varied_session, parts, leg, lane, change, bit=int(roll))
    flip = [in_words(leg.target, "roll", value) for value in (roll, not roll)]
    sides = {True: flip, False: ["no row", "a row"]}
    assert found == [finding(leg.target, lane, *sides[lane.is_row])]


@of_every_table
def test_bits_that_are_gone(varied_session: Connection, parts: Parts, leg: Leg) -> None:
    """Bits that are not there are those of days that are not canonical."""
    query = text(f"SELECT id, ts AS time, tf, period FROM {leg.target} WHERE NOT roll ORDER BY ts DESC, id LIMIT 1")
    day = varied_session.execute(query).one()
    of_day = beside_day(lanes(varied_session, leg, leg.averages[0].name), day)
    found = damaged(varied_session, parts, leg, of_day[0], f"{CLOSED} = ''")
    assert (day.tf, day.period) in {(wrong.tf, wrong.period) for wrong in found}
    assert {(wrong.expected, wrong.found) for wrong in found} == {
        (in_words(leg.target, "roll", False), in_words(leg.target, "roll", True))
    }


def beside_day(of_column: Sequence[Any], day: Any) -> list[Any]:
    """The lanes of an asset and day."""
    return [lane for lane in of_column if (lane.id, lane.time) == (day.id, day.time)]


# Keys


@of_every_table
@pytest.mark.parametrize(
    "change", ["id = id + 1024", "ts = ts + interval '1 microsecond'", "shelf = shelf + 1", "shelf = -1 - shelf"]
)
def test_key_of_a_row(varied_session: Connection, parts: Parts, leg: Leg, change: str) -> None:
    """A packed row of another asset, time or shelf is missing in every series of its day."""
    stored = lanes(varied_session, leg, leg.averages[0].name)
    lane = stored[len(stored) // 3]
    found = damaged(varied_session, parts, leg, lane, change)
    missing = [finding(leg.target, other, "a row", "none") for other in beside(lane, stored) if other.is_row]
    assert [wrong for wrong in found if wrong.found == "none"] == missing
    extra = [(wrong.tf, wrong.period) for wrong in found if wrong.found == "a row"]
    assert extra == [(wrong.tf, wrong.period) for wrong in missing] * change.startswith("ts")


@of_every_table
@pytest.mark.parametrize(
    "change",
    [
        "tf = tf || ' '",
        "period = period + 1024",
        "shelf = shelf + 1",
        "shelf = -1 - shelf",
        "place = place + 32",
        "place = 1 - place",
        "place = place + 1024",
        "place = place | 1 << 30",
        "place = place | 1 << 31",
    ],
)
def test_place_of_a_series(varied_session: Connection, parts: Parts, leg: Leg, change: str) -> None:
    """A series whose rows are looked for elsewhere is missing from the first day on."""
    stored = [lane for lane in lanes(varied_session, leg, leg.averages[0].name) if lane.is_row]
    lane = stored[len(stored) // 3]
    query = text(f"UPDATE {leg.places} SET {change} WHERE tf = :tf AND period = :period")
    with undone(varied_session):
        varied_session.execute(query, {"tf": lane.tf, "period": lane.period})
        found = judged(varied_session, parts[leg.target])
    of_series = [other for other in stored if (other.tf, other.period) == (lane.tf, lane.period)]
    assert found == [finding(leg.target, other, "a row", "none") for other in of_series[:SHOWN]]


@of_every_table
def test_places_that_are_swapped(varied_session: Connection, parts: Parts, leg: Leg) -> None:
    """Two series with each other's place are found, and no other is."""
    stored = [lane for lane in lanes(varied_session, leg, leg.averages[0].name) if lane.is_row]
    lane, other = stored[-2:]
    query = text(f"UPDATE {leg.places} SET place = :place WHERE tf = :tf AND period = :period")
    with undone(varied_session):
        for series, place in ((lane, leg.shelf_width), (other, lane.place), (lane, other.place)):
            varied_session.execute(query, {"tf": series.tf, "period": series.period, "place": place})
        found = judged(varied_session, parts[leg.target])
    assert {(wrong.tf, wrong.period) for wrong in found} == {(lane.tf, lane.period), (other.tf, other.period)}
    assert any(wrong.found.startswith("ema ") for wrong in found)
