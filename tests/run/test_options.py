"""What can be typed, what it means, and what builders are told of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.catalog import BUILDERS, by_key
from refresh.errors import UsageError
from refresh.option_values import (
    COUNT,
    DAYS,
    DESCRIPTOR,
    FILE,
    HOW,
    ID,
    IDS,
    JOBS,
    NAMES,
    NUMBERS,
    PAIRS,
    PERCENT,
    RUN,
    SAMPLE,
    SPAN,
    TIME,
    URL,
    ZONE,
    Text,
    read_span,
    show_span,
)
from refresh.options import (
    OPTIONS,
    Command,
    Option,
    Request,
    builder_arguments,
    parse,
    parser,
    remembered,
    resumed,
    selected,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPED: dict[Text, tuple[str, Any]] = {
    NAMES: ("7d, 1W_CAL_US", ("7d", "1W_CAL_US")),
    IDS: ("52,1", (52, 1)),
    NUMBERS: ("10,20", (10, 20)),
    PAIRS: ("7d:10,1w:20", (("7d", 10), ("1w", 20))),
    HOW: ("lookback", "lookback"),
    DAYS: ("30", 30),
    COUNT: ("0", 0),
    JOBS: ("3", 3),
    ID: ("825", 825),
    SPAN: ("36h", timedelta(hours=36)),
    FILE: ("plan.json", "plan.json"),
    SAMPLE: ("all", "all"),
    PERCENT: ("12.5", 12.5),
    ZONE: ("Asia/Tokyo", "Asia/Tokyo"),
    URL: ("postgresql://user:secret@host/prices", "postgresql://user:secret@host/prices"),
    RUN: ("2026-01-31T02:00:00+00:00", "2026-01-31T02:00:00+00:00"),
    TIME: ("2026-01-31T02:00:00+00:00", datetime(2026, 1, 31, 2, tzinfo=UTC)),
    DESCRIPTOR: ("7", 7),
}
"""By kind of value: something to type and what it means."""
BEGINNINGS = {Command.DAILY: ["--all"], Command.BARS: [], Command.EMAS: [], Command.BUILDER: ["bars.1d"]}
NEEDS = {
    "detect": ["--lookback-days", "30"],
    "lookback_days": ["--detect", "lookback"],
    "max_age": ["--check"],
    "sample": ["--validate"],
}
TARGETS = ("all", "bars", "emas")
SPAN_UNITS = ("seconds", "minutes", "hours", "days")
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
    accept_restatement=True,
    prune=True,
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
    max_age=timedelta(hours=26),
    db_url="postgresql://user:secret@host/prices",
    tz="Asia/Tokyo",
    quiet=True,
    verbose=True,
    run_id="secret run",
)
FORWARDED = [option.name for option in OPTIONS if option.forwarded]
LISTS = [option for option in OPTIONS if option.text in {NAMES, IDS, NUMBERS, PAIRS}]


def typed(option: Option) -> tuple[list[str], Any]:
    """What to type for an option, and the value that it then has."""
    if option.text is None:
        return [option.flag], True
    text, value = TYPED[option.text]
    return [option.flag, text], value


def refusal(command: Command, arguments: Sequence[str]) -> str:
    """What is said to a command line that is refused: one line, for exit code 2."""
    with pytest.raises(UsageError) as caught:
        selected(command, parse(command, arguments))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for option in OPTIONS for command in Command if command in option.where],
    ids=lambda one: one.name,
)
def test_option_is_read(command: Command, option: Option) -> None:
    """Every program reads each of its options as what it means, and everything else stays as it is without."""
    words, value = typed(option)
    beginning = [] if option.name in TARGETS else BEGINNINGS[command]
    companions = NEEDS.get(option.name, [])
    expected = parse(command, [*beginning, *companions]) if beginning and not companions else None
    found = parse(command, [*beginning, *words, *companions])
    assert getattr(found, option.name) == value
    if expected:
        assert replace(found, **{option.name: getattr(expected, option.name)}) == expected


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for option in OPTIONS for command in Command if command not in option.where],
    ids=lambda one: one.name,
)
def test_option_of_another_program(command: Command, option: Option) -> None:
    """A program refuses the options of others."""
    words, _ = typed(option)
    assert "unrecognized arguments" in refusal(command, [*BEGINNINGS[command], *words])


def test_every_field_can_be_typed() -> None:
    """The request holds an option's value under the option's name, else only what the rest means."""
    assert {field.name for field in fields(Request)} == {option.name for option in OPTIONS} | {"builder", "launches"}


@pytest.mark.parametrize("command", Command, ids=lambda command: command.name)
def test_help_shows_every_option(command: Command) -> None:
    """The help of a program lists its options with their help, and those of others not."""
    text = " ".join(parser(command).format_help().split())
    for option in OPTIONS:
        assert (f" {option.flag} " in text.replace("]", " ")) == (command in option.where)
        assert (option.help in text) == (command in option.where)


@pytest.mark.parametrize("command", [Command.BARS, Command.EMAS, Command.BUILDER], ids=lambda command: command.name)
def test_nothing_typed(command: Command) -> None:
    """Without options nothing is narrowed and nothing is switched on."""
    name = "bars.1d" if command is Command.BUILDER else None
    assert parse(command, BEGINNINGS[command]) == Request(builder=name)


@pytest.mark.parametrize("option", LISTS, ids=lambda option: option.name)
@pytest.mark.parametrize("value", ["", ",", " , "])
def test_empty_list_is_not_everything(option: Option, value: str) -> None:
    """A list without an entry is refused and never taken for the whole."""
    command = next(command for command in Command if command in option.where)
    assert f"{option.flag}: the list is empty" in refusal(command, [*BEGINNINGS[command], option.flag, value])


@pytest.mark.parametrize("key", [builder.key for builder in BUILDERS])
@pytest.mark.parametrize("name", ["tfs", "periods", "tf_period_combos"])
def test_empty_selection_reaches_no_builder(key: str, name: str) -> None:
    """Neither no assets nor an emptied filter becomes a builder's everything."""
    builder = by_key(key)
    refusal(Command.BUILDER, builder_arguments(builder, Request(), []))
    emptied: dict[str, Any] = {name: ()}
    arguments = builder_arguments(builder, Request(**emptied), [1])
    if len(arguments) > len([key, "--ids", "1"]):
        refusal(Command.BUILDER, arguments)


@pytest.mark.parametrize("ids", ["all", "ALL", " all "])
def test_all_assets(ids: str) -> None:
    """The word for every asset is the same as not naming any."""
    assert parse(Command.BARS, ["--ids", ids]).ids is None


def test_lists_forgive_spaces_and_repetitions() -> None:
    """Blanks around entries, empty entries and entries that were said before do not matter."""
    assert parse(Command.BARS, ["--tfs", " 7d,, 1w ,7d,"]).tfs == ("7d", "1w")


def test_a_list_in_parts_is_one_list() -> None:
    """A list option that is given twice names what both name, each once; anything else is what was said last."""
    arguments = ["--ids", "1,52", "--ids", "52,825", "--tfs", "7d", "--tfs", "1w", "--jobs", "2", "--jobs", "3"]
    read = parse(Command.BARS, arguments)
    assert (read.ids, read.tfs, read.jobs) == ((1, 52, 825), ("7d", "1w"), 3)


def test_any_number_of_assets_reaches_a_builder() -> None:
    """More assets than one argument can name are named in several, which a process can be started with."""
    ids = tuple(range(2**31 - 100_000, 2**31))
    arguments = builder_arguments(by_key("bars.1d"), Request(), ids)
    assert parse(Command.BUILDER, arguments).ids == ids
    program = "import sys; print(len(sys.argv))"
    told = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert int(told.stdout) == len(arguments) + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ids", "1,x"], "'1,x' is not a list of whole numbers"),
        (["--ids", "1.5"], "'1.5' is not a list of whole numbers"),
        (["--periods", "ten"], "'ten' is not a list of whole numbers"),
        (["--tf-period-combos", "7d"], "'7d' is not a list of timeframe:period"),
        (["--tf-period-combos", "7d:10,7d:x"], "is not a list of timeframe:period"),
        (["--tz", "Mars/Phobos"], "'Mars/Phobos' is not a time zone"),
        (["--tz", ""], "'' is not a time zone"),
        (["--tz", "Europe"], "'Europe' is not a time zone"),
        (["--restate-limit", "101"], "'101' is not a percentage"),
        (["--restate-limit", "nan"], "'nan' is not a percentage"),
        (["--retries", "-1"], "'-1' is not a number"),
        (["--retries", "many"], "'many' is not a number"),
        (["--jobs", "0"], "0 builders do nothing"),
        (["--jobs", "two"], "'two' is not a number"),
        (["--explain", "1,52"], "'1,52' is not the id of one asset"),
        (["--explain", "all"], "'all' is not the id of one asset"),
        (["--max-lag", "36"], "'36' is not a length of time"),
        (["--timeout", "1d12h"], "'1d12h' is not a length of time"),
        (["--wait-lock", ""], "'' is not a length of time"),
        (["--tz"], "expected one argument"),
        (["--full"], "unrecognized arguments: --full"),
        (["bars.1d"], "unrecognized arguments: bars.1d"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
    ids=" ".join,
)
def test_value_that_cannot_be_read(arguments: list[str], said: str) -> None:
    """The line names the option and the value."""
    line = refusal(Command.EMAS, arguments)
    assert said in line
    assert arguments[0] in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "not none of them"),
        (["--bars", "--emas"], "not --bars and --emas"),
        (["--all", "--bars", "--emas"], "not --all and --bars and --emas"),
        (["--bars", "--refreshers", "v2"], "--refreshers names EMA refreshers, but --bars runs none"),
        (["--emas", "--builders", "1d"], "--builders names bar builders, but --emas runs none"),
        (["--all", "--detect", "lookback"], "--detect lookback and --lookback-days go together"),
        (["--all", "--lookback-days", "3"], "--detect lookback and --lookback-days go together"),
        (["--all", "--max-age", "26h"], "--max-age goes with --check"),
        (["--explain", "1", "--bars", "--emas"], "not --bars and --emas"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_options_that_do_not_fit_together(arguments: list[str], said: str) -> None:
    """What contradicts itself is refused, and the line says why."""
    assert said in refusal(Command.DAILY, arguments)


@pytest.mark.parametrize("target", TARGETS)
def test_explain_keeps_its_target(target: str) -> None:
    """An asset is explained for the builders that were asked for."""
    targets: dict[str, Any] = {target: True}
    assert parse(Command.DAILY, [f"--{target}", "--explain", "825"]) == Request(**targets, explain=825)


def test_explain_needs_no_target() -> None:
    """Without a target an asset is explained for all builders; programs that have their own keep it."""
    assert parse(Command.DAILY, ["--explain", "825"]) == Request(all=True, explain=825, launches=False)
    assert parse(Command.DAILY, ["--explain", "0"]) == Request(all=True, explain=0, launches=False)
    assert parse(Command.BARS, ["--explain", "825"]) == Request(explain=825)
    assert chosen(Command.DAILY, "--explain", "825") == BAR_KEYS + EMA_KEYS
    assert chosen(Command.EMAS, "--explain", "825") == EMA_KEYS


def test_check_needs_no_target() -> None:
    """Whether the last good run is recent enough is asked of all builders unless a target is named."""
    assert parse(Command.DAILY, ["--check"]) == Request(all=True, check=True, launches=False)
    assert parse(Command.DAILY, ["--emas", "--check"]) == Request(emas=True, check=True)
    assert "not --bars and --emas" in refusal(Command.DAILY, ["--bars", "--emas", "--check"])


@pytest.mark.parametrize(
    ("text", "span", "shown"),
    [
        ("90s", timedelta(seconds=90), "90s"),
        ("120s", timedelta(minutes=2), "2m"),
        ("10m", timedelta(minutes=10), "10m"),
        ("36h", timedelta(hours=36), "36h"),
        ("48h", timedelta(days=2), "2d"),
        ("1d", timedelta(days=1), "1d"),
        ("1.5h", timedelta(minutes=90), "90m"),
        ("0.25s", timedelta(milliseconds=250), "0.25s"),
        ("0m", timedelta(0), "0s"),
    ],
)
def test_lengths_of_time(text: str, span: timedelta, shown: str) -> None:
    """A length of time is a number and a unit, and is shown in the largest unit that is whole."""
    assert read_span(text) == span
    assert show_span(span) == shown
    assert read_span(shown) == span


@given(number=st.integers(0, 99_999), unit=st.sampled_from([timedelta(**{one: 1}) for one in SPAN_UNITS]))
def test_every_length_of_time_is_read_as_shown(number: int, unit: timedelta) -> None:
    """Whatever the length, what is shown of it means the same."""
    assert read_span(show_span(number * unit)) == number * unit


@pytest.mark.parametrize("text", ["", "1", "d", "1w", "1 d", "-1d", "1,5h", ".5h", "1.h", "1D", "1d1h", "1e3s", "nans"])
def test_no_length_of_time(text: str) -> None:
    """Anything else is refused, with examples of what is meant."""
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read_span(text)
    assert str(caught.value) == f"{text!r} is not a length of time such as 90s, 10m, 36h or 1d"


def chosen(command: Command, *arguments: str) -> list[str]:
    """The keys of the builders that a command line runs."""
    return [builder.key for builder in selected(command, parse(command, arguments))]


BAR_KEYS = [f"bars.{name}" for name in ("1d", "multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso")]
EMA_KEYS = [f"emas.{name}" for name in ("multi_tf", "cal", "cal_anchor", "v2")]


def test_targets() -> None:
    """Bars come before EMAs, each in their fixed order."""
    assert chosen(Command.DAILY, "--all") == BAR_KEYS + EMA_KEYS
    assert chosen(Command.DAILY, "--bars") == chosen(Command.BARS) == BAR_KEYS
    assert chosen(Command.DAILY, "--emas") == chosen(Command.EMAS) == EMA_KEYS


def test_named_builders() -> None:
    """Names narrow their own group, by name or by key, and the fixed order stays."""
    assert chosen(Command.BARS, "--builders", "cal_us,1d") == ["bars.1d", "bars.cal_us"]
    assert chosen(Command.EMAS, "--refreshers", "emas.v2,cal") == ["emas.cal", "emas.v2"]
    assert chosen(Command.DAILY, "--all", "--builders", "multi_tf") == ["bars.multi_tf", *EMA_KEYS]
    assert chosen(Command.DAILY, "--all", "--refreshers", "multi_tf") == [*BAR_KEYS, "emas.multi_tf"]


def test_skipped_builders() -> None:
    """A name skips every builder that has it; a key skips one."""
    both = {"bars.multi_tf", "emas.multi_tf"}
    assert set(BAR_KEYS + EMA_KEYS) - set(chosen(Command.DAILY, "--all", "--skip", "multi_tf")) == both
    assert set(BAR_KEYS + EMA_KEYS) - set(chosen(Command.DAILY, "--all", "--skip", "emas.multi_tf")) == {
        "emas.multi_tf"
    }
    assert chosen(Command.BARS, "--builders", "1d,cal_us", "--skip", "1d") == ["bars.cal_us"]


@pytest.mark.parametrize(
    ("command", "arguments", "near"),
    [
        (Command.BARS, ["--builders", "cal_usa"], "cal_us"),
        (Command.BARS, ["--builders", "1d,mult_tf"], "multi_tf"),
        (Command.BARS, ["--builders", "CAL_ISO"], "cal_iso"),
        (Command.EMAS, ["--refreshers", "v3"], "v2"),
        (Command.EMAS, ["--skip", "cal_anchr"], "cal_anchor"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_unknown_builder(command: Command, arguments: list[str], near: str) -> None:
    """A name that no builder has is refused by the name, and the nearest one comes first."""
    line = refusal(command, arguments)
    assert line.startswith(f"{arguments[0]} {arguments[1].rpartition(',')[2]}: no such builder; nearest: {near}")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (Command.BARS, ["--builders", "v2"]),
        (Command.EMAS, ["--refreshers", "1d"]),
        (Command.EMAS, ["--skip", "1d"]),
        (Command.DAILY, ["--bars", "--skip", "emas.v2"]),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_builder_of_the_other_group(command: Command, arguments: list[str]) -> None:
    """A builder that this command line does not run is no such builder."""
    assert "no such builder" in refusal(command, arguments)


def test_nothing_left_to_run() -> None:
    """A selection that skips what it names is refused, and does not run everything."""
    assert "leave nothing to run" in refusal(Command.BARS, ["--builders", "1d", "--skip", "1d"])


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.key)
def test_builders_are_told_what_concerns_them(builder: Any) -> None:
    """Of all options a builder is told those that it accepts, and reads them as they were typed."""
    told = parse(Command.BUILDER, builder_arguments(builder, EVERYTHING, [52, 1]))
    expected = {"builder": builder.key, "ids": (52, 1), "full_rebuild": True, "retries": 2, "tz": "Asia/Tokyo"}
    for concern, names in (
        ("tfs", ["tfs"]),
        ("periods", ["periods", "tf_period_combos"]),
        ("source", ["detect", "lookback_days", "restate_limit", "accept_restatement", "prune"]),
    ):
        if concern in builder.accepts:
            expected |= {name: getattr(EVERYTHING, name) for name in names}
    assert told == Request(**expected)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.key)
def test_builders_are_told_nothing_of_what_was_not_typed(builder: Any) -> None:
    """A bare request makes a bare command."""
    assert builder_arguments(builder, Request(all=True), None) == [builder.key, "--ids", "all"]
    assert parse(Command.BUILDER, builder_arguments(builder, Request(all=True), None)) == Request(builder=builder.key)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.key)
def test_builders_are_told_no_secret(builder: Any) -> None:
    """The database's address, which holds a password, is no argument of a builder."""
    assert "secret" not in " ".join(builder_arguments(builder, EVERYTHING, None))


NAME = st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True)


@given(
    tfs=st.none() | st.lists(NAME, min_size=1, unique=True).map(tuple),
    periods=st.none() | st.lists(st.integers(1, 10**6), min_size=1, unique=True).map(tuple),
    pairs=st.none() | st.lists(st.tuples(NAME, st.integers(1, 10**6)), min_size=1, unique=True).map(tuple),
    ids=st.none() | st.lists(st.integers(0, 2**31 - 1), min_size=1, unique=True).map(tuple),
    limit=st.none() | st.floats(0, 100),
    full_rebuild=st.booleans(),
)
def test_nothing_is_lost_on_the_way_to_a_builder(
    tfs: Any, periods: Any, pairs: Any, ids: Any, limit: float | None, *, full_rebuild: bool
) -> None:
    """Whatever the values are, the builder reads what the user wrote."""
    request = Request(tfs=tfs, periods=periods, tf_period_combos=pairs, restate_limit=limit, full_rebuild=full_rebuild)
    emas = parse(Command.BUILDER, builder_arguments(by_key("emas.v2"), request, ids))
    assert emas == replace(request, builder="emas.v2", ids=ids, restate_limit=None)
    daily = parse(Command.BUILDER, builder_arguments(by_key("bars.1d"), request, ids))
    assert (daily.restate_limit, daily.ids) == (limit, ids)


def test_what_is_remembered() -> None:
    """A run remembers everything that changes what builders do, and nothing else."""
    read = parse(Command.BUILDER, ["resumed", *remembered(EVERYTHING)])
    assert read == Request(builder="resumed", **{name: getattr(EVERYTHING, name) for name in FORWARDED})
    assert all(getattr(read, name) not in {None, False} for name in FORWARDED)
    assert remembered(Request(all=True)) == []


def test_no_secret_is_remembered() -> None:
    """What a run remembers can be stored: neither the database's address nor anything typed beside it is there."""
    assert "secret" not in " ".join(remembered(EVERYTHING))
    url = "postgresql://user:secret@host/prices"
    assert remembered(Request(all=True, db_url=url)) == []
    earlier = resumed(Request(), remembered(replace(EVERYTHING, db_url=url)))
    assert earlier.db_url is None


@pytest.mark.parametrize("name", ["tfs", "periods", "tf_period_combos", "detect", "restate_limit", "retries", "tz"])
def test_option_of_one_of_two_runs(name: str) -> None:
    """What only the earlier run was given holds again, what only the resuming one was given holds now."""
    values: dict[str, Any] = {name: getattr(EVERYTHING, name)}
    if name == "detect":
        values["lookback_days"] = 30
    one = Request(**values)
    assert resumed(Request(all=True, resume=True), remembered(one)) == replace(one, all=True, resume=True)
    assert resumed(replace(one, all=True), []) == replace(one, all=True)
    assert resumed(replace(one, all=True), remembered(one)) == replace(one, all=True)


@pytest.mark.parametrize("name", ["full_rebuild", "accept_restatement", "prune"])
def test_switch_of_one_of_two_runs(name: str) -> None:
    """What either run was told to do is done."""
    switches: dict[str, Any] = {name: True}
    switched, bare = Request(**switches), Request()
    assert resumed(bare, remembered(switched)) == switched
    assert resumed(switched, remembered(bare)) == switched
    assert resumed(bare, remembered(bare)) == bare


def test_filters_of_two_runs_intersect() -> None:
    """A resuming run is about what both were about, in the order in which it is asked for now."""
    now = Request(tfs=("1w", "7d", "1M"), periods=(20, 50, 10), tf_period_combos=(("7d", 10), ("1w", 20)))
    then = Request(tfs=("7d", "1w", "3M"), periods=(10, 20), tf_period_combos=(("1w", 20), ("1w", 50)))
    assert resumed(now, remembered(then)) == Request(tfs=("1w", "7d"), periods=(20, 10), tf_period_combos=(("1w", 20),))


def test_resuming_run_decides() -> None:
    """What cannot be narrowed is as it is asked for now."""
    now = Request(restate_limit=5.0, retries=1, tz="UTC", detect="lookback", lookback_days=3)
    then = Request(restate_limit=12.5, retries=2, tz="Asia/Tokyo", detect="lookback", lookback_days=30)
    assert resumed(now, remembered(then)) == now


@pytest.mark.parametrize(
    ("now", "then", "said"),
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
def test_two_runs_without_anything_in_common(now: Request, then: Request, said: str) -> None:
    """Filters that exclude each other are refused, with both lists, and never become everything."""
    with pytest.raises(UsageError) as caught:
        resumed(now, remembered(then))
    assert str(caught.value) == said
    assert caught.value.exit_code == 2


@given(
    tfs=st.none() | st.lists(NAME, min_size=1, unique=True).map(tuple),
    periods=st.none() | st.lists(st.integers(1, 10**6), min_size=1, unique=True).map(tuple),
    pairs=st.none() | st.lists(st.tuples(NAME, st.integers(1, 10**6)), min_size=1, unique=True).map(tuple),
    limit=st.none() | st.floats(0, 100),
    retries=st.none() | st.integers(0, 10**6),
    days=st.none() | st.integers(1, 10**6),
    switch=st.booleans(),
)
def test_nothing_is_lost_on_the_way_to_a_resuming_run(
    tfs: Any, periods: Any, pairs: Any, limit: float | None, retries: int | None, days: int | None, *, switch: bool
) -> None:
    """Whatever the values are, a run that is resumed does what it did, with the same filters."""
    request = Request(
        tfs=tfs,
        periods=periods,
        tf_period_combos=pairs,
        restate_limit=limit,
        retries=retries,
        detect="lookback" if days else None,
        lookback_days=days,
        prune=switch,
        full_rebuild=not switch,
    )
    again = resumed(Request(), remembered(replace(request, db_url="postgresql://user:secret@host/prices")))
    assert again == request
    assert again.filters == request.filters
    assert resumed(request, remembered(request)) == request
