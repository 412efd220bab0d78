"""What builders, the history and a resuming run get of a request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from string import ascii_letters, digits
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.due.selection import Elsewhere
from refresh.options.arguments import builder_arguments, remembered, resumed, typed
from refresh.options.declaration import Program
from refresh.options.parsing import parse
from refresh.options.request import OPTIONS, Request

Refusal = Callable[[Program, Sequence[str]], str]
URL = "postgresql://user:secret@host/prices"
EVERYTHING = Request(
    all=True,
    builders=("1d",),
    refreshers=("cal",),
    skip=("v2",),
    tfs=("7d", "1w"),
    periods=(10, 20),
    tf_period_combos=(("7d", 10), ("1w", 20)),
    full_rebuild=True,
    detect="lookback",
    lookback_days=30,
    restate_limit=12.5,
    elsewhere=Elsewhere(known=4000, restated=12),
    accept_restatement=True,
    prune=True,
    fold=True,
    retries=2,
    resume=True,
    dry_run=True,
    explain=825,
    max_lag=timedelta(hours=36),
    jobs=3,
    timeout=timedelta(hours=2),
    wait_lock=timedelta(minutes=10),
    json="secret.json",
    log_dir="secret folder",
    keep_logs=7,
    check=True,
    max_age=timedelta(hours=30),
    db_url=URL,
    tz="Asia/Tokyo",
    quiet=True,
    verbose=True,
    run_id="secret run",
)
FORWARDED = [option.name for option in OPTIONS if option.is_forwarded]
EVERY_BUILDER = pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.key)

NAME = st.text(f"{ascii_letters}{digits}_", min_size=1)
TFS = st.lists(NAME, min_size=1, unique=True).map(tuple)
PERIODS = st.lists(st.integers(1, 10**6), min_size=1, unique=True).map(tuple)
PAIRS = st.lists(st.tuples(NAME, st.integers(1, 10**6)), min_size=1, unique=True).map(tuple)
IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, unique=True).map(tuple)
FILTERS: dict[str, Any] = {
    "tfs": st.none() | TFS,
    "periods": st.none() | PERIODS,
    "tf_period_combos": st.none() | PAIRS,
    "full_rebuild": st.booleans(),
    "restate_limit": st.floats(0, 100),
}


@pytest.mark.parametrize("key", [builder.key for builder in BUILDERS])
@pytest.mark.parametrize("name", ["tfs", "periods", "tf_period_combos"])
def test_empty_selection_reaches_no_builder(refusal: Refusal, key: str, name: str) -> None:
    """Neither no assets nor an emptied filter becomes a builder's everything."""
    builder = by_key(key)
    refusal(Program.BUILDER, builder_arguments(builder, Request(), []))
    emptied: dict[str, Any] = {name: ()}
    arguments = builder_arguments(builder, Request(**emptied), [1])
    if len(arguments) > len([key, "--ids", "1"]):
        refusal(Program.BUILDER, arguments)


def test_any_number_of_assets_reaches_a_builder() -> None:
    """More assets than one argument can name are named in several, which a process can be started with."""
    ids = tuple(range(2**31 - 100_000, 2**31))
    arguments = builder_arguments(by_key("bars.1d"), Request(), ids)
    assert parse(Program.BUILDER, arguments).ids == ids
    program = "import sys; print(len(sys.argv))"
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert int(ended.stdout) == len(arguments) + 1


@EVERY_BUILDER
def test_builders_get_what_concerns_them(builder: BuilderConfig) -> None:
    """Of all options a builder gets those that it accepts, and reads them as they were typed."""
    request = parse(Program.BUILDER, builder_arguments(builder, EVERYTHING, [52, 1]))
    expected: dict[str, Any] = {"builder": builder.key, "ids": (52, 1)}
    expected |= {"full_rebuild": True, "retries": 2, "tz": "Asia/Tokyo"}
    for concern, names in (
        ("tfs", ["tfs"]),
        ("periods", ["periods", "tf_period_combos"]),
        ("source", ["detect", "lookback_days", "restate_limit", "elsewhere", "accept_restatement", "prune", "fold"]),
    ):
        if concern in builder.accepts:
            expected |= {name: getattr(EVERYTHING, name) for name in names}
    assert request == Request(**expected)


@EVERY_BUILDER
def test_builders_get_nothing_that_was_not_given(builder: BuilderConfig) -> None:
    """A bare request makes a bare command."""
    assert builder_arguments(builder, Request(all=True), None) == [builder.key, "--ids", "all"]
    assert parse(Program.BUILDER, builder_arguments(builder, Request(all=True), None)) == Request(builder=builder.key)


def test_builders_get_what_the_environment_gives() -> None:
    """What the environment says of builders reaches them as an argument, even where it is the default."""
    request = parse(Program.BARS, [], {"REFRESH_TZ": "UTC", "TARGET_DB_URL": URL, "REFRESH_LOG_DIR": "logs"})
    assert builder_arguments(by_key("bars.1d"), request, None) == ["bars.1d", "--ids", "all", "--tz", "UTC"]
    assert remembered(request) == ["--tz", "UTC"]


@EVERY_BUILDER
def test_builders_get_no_secret(builder: BuilderConfig) -> None:
    """The database's address, which holds a password, is no argument of a builder."""
    assert "secret" not in " ".join(builder_arguments(builder, EVERYTHING, None))


@given(filters=st.fixed_dictionaries({}, optional=FILTERS), ids=st.none() | IDS)
def test_nothing_is_lost_on_the_way_to_a_builder(filters: dict[str, Any], ids: tuple[int, ...] | None) -> None:
    """Whatever the values are, the builder reads what the user wrote."""
    request = Request(**filters)
    without_limit = {name: value for name, value in filters.items() if name != "restate_limit"}
    emas = parse(Program.BUILDER, builder_arguments(by_key("emas.v2"), request, ids))
    assert emas == Request(builder="emas.v2", ids=ids, **without_limit)
    daily = parse(Program.BUILDER, builder_arguments(by_key("bars.1d"), request, ids))
    assert (daily.restate_limit, daily.ids) == (request.restate_limit, ids)


@given(ids=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, unique=True))
def test_numbers_below_zero_are_no_options(ids: list[int]) -> None:
    """A list that begins with a minus is read as a list."""
    request = parse(Program.BUILDER, builder_arguments(by_key("emas.v2"), Request(periods=tuple(ids)), ids))
    assert (request.ids, request.periods) == (tuple(ids), tuple(ids))


def test_what_is_remembered() -> None:
    """A run remembers everything that changes what builders do, and nothing else."""
    request = parse(Program.BUILDER, ["resumed", *remembered(EVERYTHING)])
    assert request == Request(builder="resumed", **{name: getattr(EVERYTHING, name) for name in FORWARDED})
    assert request.given == {"builder", *FORWARDED}
    assert remembered(Request(all=True)) == []


def test_no_secret_is_remembered() -> None:
    """What a run remembers can be stored: neither the database's address nor anything typed beside it is there."""
    assert "secret" not in " ".join(remembered(EVERYTHING))
    assert remembered(Request(all=True, db_url=URL)) == []
    earlier = resumed(Request(), remembered(replace(EVERYTHING, db_url=URL)))
    assert earlier.db_url is None


def test_typed() -> None:
    """The command line is shown as it was typed, except the address of the database and what was not typed."""
    line = "run_daily_refresh.py --all --builders 1d,cal_us --ids 1,52 --restate-limit 20 --retries 4 --json - --quiet"
    arguments = [*line.split()[1:], "--db-url", URL]
    environ = {"REFRESH_TZ": "Asia/Tokyo", "REFRESH_LOG_DIR": "secret folder"}
    assert typed(Program.DAILY, parse(Program.DAILY, arguments, environ)) == line
    assert typed(Program.DAILY, parse(Program.DAILY, ["--validate"], environ)) == "run_daily_refresh.py --validate"
    words = ["--log-dir", "my logs", "--tz", "UTC", "--timeout", "90m"]
    assert typed(Program.BARS, parse(Program.BARS, words, environ)) == (
        "run_all_bar_builders.py --timeout 90m --tz UTC --log-dir 'my logs'"
    )
    assert typed(Program.BUILDER, parse(Program.BUILDER, ["bars.1d", "--ids", "52"])) == (
        "python -m refresh.builder bars.1d --ids 52"
    )
    assert typed(Program.EMAS, Request(ids=None, full_rebuild=False)) == "run_all_ema_refreshes.py"
