"""What a resuming run takes over from an earlier one."""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.errors import UsageError
from refresh.options.arguments import remembered, resumed
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import Request

URL = "postgresql://user:secret@host/prices"
CHOICES: dict[str, dict[str, Any]] = {
    "tfs": {"tfs": ("7d", "1w")},
    "periods": {"periods": (10, 20)},
    "tf_period_combos": {"tf_period_combos": (("7d", 10), ("1w", 20))},
    "detect": {"detect": "lookback", "lookback_days": 30},
    "restate_limit": {"restate_limit": 12.5},
    "retries": {"retries": 2},
    "tz": {"tz": "Asia/Tokyo"},
}
"""Options that go together, by the first of them."""

NAME = st.text(f"{ascii_letters}{digits}_", min_size=1)
TFS = st.lists(NAME, min_size=1, unique=True).map(tuple)
PERIODS = st.lists(st.integers(1, 10**6), min_size=1, unique=True).map(tuple)
PAIRS = st.lists(st.tuples(NAME, st.integers(1, 10**6)), min_size=1, unique=True).map(tuple)
FILTERS: dict[str, Any] = {
    "tfs": st.none() | TFS,
    "periods": st.none() | PERIODS,
    "tf_period_combos": st.none() | PAIRS,
    "full_rebuild": st.booleans(),
    "restate_limit": st.floats(0, 100),
}


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_option_of_one_of_two_runs(values: dict[str, Any]) -> None:
    """What only the earlier run was given holds again, what only the resuming one was given holds now."""
    earlier = Request(**values)
    both = Request(**values, all=True)
    assert resumed(Request(all=True, resume=True), remembered(earlier)) == Request(**values, all=True, resume=True)
    assert resumed(both, []) == both
    assert resumed(both, remembered(earlier)) == both


@pytest.mark.parametrize("name", ["full_rebuild", "accept_restatement", "prune"])
def test_switch_of_one_of_two_runs(name: str) -> None:
    """A switch of either run holds."""
    switches: dict[str, Any] = {name: True}
    switched, bare = Request(**switches), Request()
    assert resumed(bare, remembered(switched)) == switched
    assert resumed(switched, remembered(bare)) == switched
    assert resumed(bare, remembered(bare)) == bare


def test_filters_of_two_runs_intersect() -> None:
    """A resuming run is about what both were about, in the order of its own options."""
    now = Request(tfs=("1w", "7d", "1M"), periods=(20, 50, 10), tf_period_combos=(("7d", 10), ("1w", 20)))
    then = Request(tfs=("7d", "1w", "3M"), periods=(10, 20), tf_period_combos=(("1w", 20), ("1w", 50)))
    assert resumed(now, remembered(then)) == Request(tfs=("1w", "7d"), periods=(20, 10), tf_period_combos=(("1w", 20),))


def test_resuming_run_decides() -> None:
    """What cannot be narrowed is as the resuming run says, even where that is the default."""
    now = Request(restate_limit=5.0, retries=1, tz="America/Lima", detect="lookback", lookback_days=3)
    then = Request(restate_limit=12.5, retries=2, tz="Asia/Tokyo", detect="lookback", lookback_days=30)
    assert resumed(now, remembered(then)) == now
    defaults = parse(
        Program.BARS, ["--restate-limit", "20", "--retries", "4", "--tz", "UTC", "--detect", "digest", "--resume"]
    )
    assert resumed(defaults, remembered(then)) == defaults


def test_resumed_run_is_remembered() -> None:
    """A run that resumes remembers what it took over, so that it can be resumed in its turn."""
    earlier = parse(Program.BARS, ["--tfs", "7d", "--retries", "4"])
    again = resumed(Request(resume=True), remembered(earlier))
    assert remembered(again) == remembered(earlier) == ["--tfs", "7d", "--retries", "4"]


@pytest.mark.parametrize(
    ("now", "then", "message"),
    [
        (Request(tfs=("7d", "1w")), Request(tfs=("1M",)), "--tfs 7d,1w: the run to resume had 1M"),
        (Request(periods=(10,)), Request(periods=(20, 50)), "--periods 10: the run to resume had 20,50"),
        (
            Request(tf_period_combos=(("7d", 10),)),
            Request(tf_period_combos=(("7d", 20), ("1w", 10))),
            "--tf-period-combos 7d:10: the run to resume had 7d:20,1w:10",
        ),
    ],
    ids=["tfs", "periods", "tf_period_combos"],
)
def test_two_runs_without_anything_in_common(now: Request, then: Request, message: str) -> None:
    """Filters that exclude each other are refused, with both lists, and never become everything."""
    with pytest.raises(UsageError) as caught:
        resumed(now, remembered(then))
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


@given(
    filters=st.fixed_dictionaries({}, optional={**FILTERS, "retries": st.integers(0, 10**6), "prune": st.booleans()}),
    days=st.none() | st.integers(1, 365_250),
)
def test_nothing_is_lost_on_the_way_to_a_resuming_run(filters: dict[str, Any], days: int | None) -> None:
    """Whatever the values are, a run that is resumed does what it did, with the same filters."""
    detection: dict[str, Any] = {"detect": "lookback", "lookback_days": days} if days else {}
    request = Request(**filters, **detection)
    again = resumed(Request(), remembered(Request(**filters, **detection, db_url=URL)))
    assert again == request
    assert again.selection == request.selection
    assert resumed(request, remembered(request)) == request
