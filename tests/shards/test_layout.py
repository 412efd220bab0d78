"""Where assets belong: each into one shard, evenly, and as few as possible elsewhere once a shard is added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.errors import SettingsError, UsageError
from refresh.shards.layout import Layout, addresses

THREE = Layout(shards={"east": "EAST", "north": "NORTH", "west": "WEST"})
MANY = range(1, 3001)
IDS = st.integers(-(2**31), 2**31 - 1)
NAMES = st.sampled_from(sorted(THREE.shards))


def test_known_places() -> None:
    """Assets are where they were in every release: the hash is part of what is stored."""
    ids = (1, 52, 825, 1027, 900_000_001, -7)
    assert [THREE.shard_of(id) for id in ids] == ["east", "north", "west", "north", "west", "east"]


def test_shares_are_even() -> None:
    """Each of three shards gets about a third."""
    for ids in THREE.split(MANY).values():
        assert 0.9 * len(MANY) / 3 < len(ids) < 1.1 * len(MANY) / 3


def test_new_shard_takes_from_all_and_moves_nothing_else() -> None:
    """An asset that does not belong to the new shard belongs where it did."""
    larger = THREE.with_shard("south", "SOUTH", MANY)
    homes = [(THREE.home_of(id), larger.home_of(id)) for id in MANY]
    assert all(after in {before, "south"} for before, after in homes)
    assert {before for before, after in homes if after == "south"} == set(THREE.shards)
    assert [larger.shard_of(id) for id in MANY] == [THREE.shard_of(id) for id in MANY]
    assert set(larger.waiting) == {id for id in MANY if larger.home_of(id) == "south"}


@given(st.lists(st.tuples(st.sets(IDS, max_size=4), NAMES), max_size=6), st.sets(IDS, max_size=5))
def test_assets_stay_until_they_arrive(moves: list[tuple[set[int], str]], others: set[int]) -> None:
    """However often assets are assigned elsewhere, they are where they were until they arrive where they belong."""
    layout = THREE
    every = others.union(*(ids for ids, _ in moves))
    for ids, to in moves:
        layout = layout.assigned(ids, to)
        assert {layout.home_of(id) for id in ids} <= {to}
        assert [layout.shard_of(id) for id in every] == [THREE.shard_of(id) for id in every]
    arrived = layout.arrived(every)
    assert [arrived.shard_of(id) for id in every] == [layout.home_of(id) for id in every]
    assert not arrived.waiting


def test_moved_back_is_no_exception() -> None:
    """An asset that belongs where its hash says is in no list."""
    away = next(name for name in THREE.shards if name != THREE.shard_of(1))
    moved = THREE.assigned([1], away)
    assert moved.placed == {1: away}
    assert moved.assigned([1], THREE.shard_of(1)) == THREE


def test_what_does_not_exist_is_refused() -> None:
    """A name of no shard and a variable that is not set are told with the way out."""
    with pytest.raises(UsageError, match="--to 'wst': no such shard; nearest: west"):
        THREE.check("wst", "--to")
    with pytest.raises(SettingsError, match="shard north: NORTH is not set"):
        addresses(THREE, {"EAST": "a", "WEST": "b"})
