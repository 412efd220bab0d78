"""Command lines and the environment: what each option means, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refresh.due.selection import Elsewhere
from refresh.options.cluster_value import CLUSTER
from refresh.options.connection import PARTS
from refresh.options.declaration import Option, Program
from refresh.options.elsewhere import ELSEWHERE
from refresh.options.load_request import options_of
from refresh.options.parsing import parse
from refresh.options.request import OPTIONS, Request
from refresh.options.values import (
    COUNT,
    DAYS,
    DESCRIPTOR,
    DETECTION,
    DIR,
    FILE,
    ID,
    IDS,
    JOBS,
    NAME,
    NAMES,
    NUMBERS,
    PAIRS,
    PERCENT,
    SAMPLE,
    SPAN,
    TEXT_ID,
    TIME,
    URL,
    ZONE,
    ValueKind,
)

Refusal = Callable[[Program, Sequence[str]], str]
TYPED: dict[ValueKind, tuple[str, Any]] = {
    NAME: ("bars.1d", "bars.1d"),
    NAMES: ("7d, 1W_CAL_US", ("7d", "1W_CAL_US")),
    IDS: ("52,1", (52, 1)),
    NUMBERS: ("10,20", (10, 20)),
    PAIRS: ("7d:10,1w:20", (("7d", 10), ("1w", 20))),
    DETECTION: ("lookback", "lookback"),
    DAYS: ("40", 40),
    COUNT: ("0", 0),
    JOBS: ("3", 3),
    PARTS: ("4", 4),
    ID: ("825", 825),
    SPAN: ("36h", timedelta(hours=36)),
    FILE: ("plan.json", "plan.json"),
    DIR: ("logs of today", "logs of today"),
    SAMPLE: ("all", "all"),
    PERCENT: ("12.5", 12.5),
    ELSEWHERE: ("4000:12", Elsewhere(known=4000, restated=12)),
    ZONE: ("Asia/Tokyo", "Asia/Tokyo"),
    URL: ("postgresql://user:secret@host/prices", "postgresql://user:secret@host/prices"),
    TEXT_ID: ("2026-01-31T02:00:00+00:00", "2026-01-31T02:00:00+00:00"),
    CLUSTER: ("tcp://10.0.0.5:8786", "tcp://10.0.0.5:8786"),
    TIME: ("2026-01-31T02:00:00+00:00", datetime(2026, 1, 31, 2, tzinfo=UTC)),
    DESCRIPTOR: ("7", 7),
}
"""By kind of value: something to type and what it means."""
BEGINNINGS = {Program.DAILY: ["--all"], Program.BARS: [], Program.EMAS: [], Program.BUILDER: ["bars.1d"]}
NEEDS = {
    "detect": ["--lookback-days", "30"],
    "lookback_days": ["--detect", "lookback"],
    "max_age": ["--check"],
    "sample": ["--validate"],
}
TARGETS = ("all", "bars", "emas")
TAKEN = [(program, option) for option in OPTIONS for program in BEGINNINGS if program in option.programs]
REFUSED = [(program, option) for option in OPTIONS for program in BEGINNINGS if program not in option.programs]
LISTS = [option for option in OPTIONS if option.value in {NAMES, IDS, NUMBERS, PAIRS}]


def name(parameter: Any) -> str:
    """How a parameter is called in a test's name."""
    return str(getattr(parameter, "name", parameter))


def words_for(option: Option) -> tuple[list[str], Any]:
    """What to type for an option, and the value that it then has."""
    if option.is_switch:
        return [option.flag], True
    text, value = TYPED[option.value]
    return ([text] if option.is_positional else [option.flag, text]), value


@pytest.mark.parametrize(("program", "option"), TAKEN, ids=name)
def test_option_is_read(program: Program, option: Option) -> None:
    """Every program reads each of its options as what it means, and everything else stays as it is without."""
    words, value = words_for(option)
    beginning = [] if option.name in TARGETS or option.is_positional else BEGINNINGS[program]
    companions = NEEDS.get(option.name, [])
    request = parse(program, [*beginning, *words, *companions])
    assert getattr(request, option.name) == value
    assert option.name in request.given
    if beginning and not companions:
        expected = parse(program, beginning)
        assert request.given == expected.given | {option.name}
        without: dict[str, Any] = {option.name: getattr(expected, option.name), "given": expected.given}
        assert replace(request, **without) == expected


@pytest.mark.parametrize(("program", "option"), REFUSED, ids=name)
def test_option_of_another_program(refusal: Refusal, program: Program, option: Option) -> None:
    """A program refuses the options of others."""
    words, _ = words_for(option)
    assert "unrecognized arguments" in refusal(program, [*BEGINNINGS[program], *words])


@pytest.mark.parametrize("program", [Program.BARS, Program.EMAS, Program.BUILDER], ids=name)
def test_nothing_typed(program: Program) -> None:
    """Without options nothing is narrowed, nothing is switched on, and every value is its default."""
    builder = "bars.1d" if program is Program.BUILDER else None
    request = parse(program, BEGINNINGS[program])
    assert request == Request(builder=builder)
    assert request.given == ({"builder"} if builder else set())


def test_defaults() -> None:
    """A request holds the values that its options have without being named."""
    request = Request()
    assert (request.detect, request.lookback_days, request.restate_limit) == ("digest", None, 20.0)
    assert (request.retries, request.max_lag, request.max_age) == (4, timedelta(days=1), timedelta(hours=26))
    assert (request.wait_lock, request.tz, request.keep_logs) == (timedelta(0), None, 30)
    assert Path(request.log_dir) == Path(__file__).resolve().parents[2] / ".logs"


@pytest.mark.parametrize("option", LISTS, ids=name)
@pytest.mark.parametrize("value", ["", ",", " , "])
def test_empty_list_is_not_everything(refusal: Refusal, option: Option, value: str) -> None:
    """A list without an entry is refused and never taken for the whole."""
    program = next(program for program in BEGINNINGS if program in option.programs)
    arguments = [*BEGINNINGS[program], option.flag, value]
    assert f"{option.flag}: the list is empty" in refusal(program, arguments)


@pytest.mark.parametrize("ids", ["all", "ALL", " all "])
def test_all_assets(ids: str) -> None:
    """The word for every asset is the same as not naming any."""
    assert parse(Program.BARS, ["--ids", ids]) == Request()
    assert parse(Program.BARS, ["--ids", ids]).ids is None


def test_lists_forgive_spaces_and_repetitions() -> None:
    """Blanks around entries, empty entries and repeated entries do not matter."""
    assert parse(Program.BARS, ["--tfs", " 7d,, 1w ,7d,"]).tfs == ("7d", "1w")


def test_a_list_in_parts_is_one_list() -> None:
    """A list option that is given twice names what both name, each once; of anything else the last word counts."""
    arguments = ["--ids", "1,52", "--ids", "52,825", "--tfs", "7d", "--tfs", "1w", "--jobs", "2", "--jobs", "3"]
    request = parse(Program.BARS, arguments)
    assert (request.ids, request.tfs, request.jobs) == ((1, 52, 825), ("7d", "1w"), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ids", "1;2"], "'1;2' is not a list of ids or symbols such as 1,52,BTC"),
        (["--ids", "1.5"], "'1.5' is not a list of ids or symbols such as 1,52,BTC"),
        (["--periods", "ten"], "'ten' is not a list of whole numbers"),
        (["--tf-period-combos", "7d"], "'7d' is not a list of timeframe:period"),
        (["--tf-period-combos", "7d:10,7d:x"], "is not a list of timeframe:period"),
        (["--tz", "Mars/Phobos"], "'Mars/Phobos' is not a time zone"),
        (["--tz", ""], "'' is not a time zone"),
        (["--tz", "Europe"], "'Europe' is not a time zone"),
        (["--detect", "Digest"], "'Digest' is neither digest nor lookback"),
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
    ],
    ids=" ".join,
)
def test_value_that_cannot_be_read(refusal: Refusal, arguments: list[str], message: str) -> None:
    """The line names the option and the value."""
    line = refusal(Program.EMAS, arguments)
    assert message in line
    assert arguments[0] in line
    assert line.endswith(" (see --help)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--full"], "number 1 is no option of this program; none is similar"),
        (["--quiet", "bars.1d"], "number 2 belongs to no option; put quotes around a value with spaces, & or ; in it"),
        (["--dry_run"], "number 1 is no option of this program; nearest: --dry-run"),
        (["--check"], "--check is no option of this program"),
    ],
    ids=" ".join,
)
def test_words_that_belong_to_no_option(refusal: Refusal, arguments: list[str], message: str) -> None:
    """The line names the place, and an option that may have been meant."""
    assert refusal(Program.EMAS, arguments) == f"unrecognized arguments: {message} (see --help)"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not none of them"),
        ("--dry-run", "not none of them"),
        ("--bars --emas", "not --bars and --emas"),
        ("--all --bars --emas", "not --all and --bars and --emas"),
        ("--bars --refreshers v2", "--refreshers names EMA refreshers, but --bars runs none"),
        ("--emas --builders 1d", "--builders names bar builders, but --emas runs none"),
        ("--all --detect lookback", "--detect lookback and --lookback-days go together"),
        ("--all --lookback-days 3", "--detect lookback and --lookback-days go together"),
        ("--all --max-age 26h", "--max-age goes with --check"),
        ("--all --sample 3", "--sample goes with --validate"),
        ("--explain 1 --bars --emas", "not --bars and --emas"),
        ("--bars --emas --check", "not --bars and --emas"),
    ],
)
def test_options_that_do_not_fit_together(refusal: Refusal, line: str, message: str) -> None:
    """What contradicts itself is refused, and the line says why."""
    assert message in refusal(Program.DAILY, line.split())


@pytest.mark.parametrize("target", TARGETS)
def test_looking_keeps_its_target(target: str) -> None:
    """An asset is explained for the builders of the target, and a look beside a target is no look alone."""
    targets: dict[str, Any] = {target: True}
    request = parse(Program.DAILY, [f"--{target}", "--explain", "825"])
    assert request == Request(**targets, explain=825)
    assert request.launches
    assert parse(Program.DAILY, [f"--{target}", "--check"]) == Request(**targets, check=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--explain", "825"], Request(explain=825)),
        (["--explain", "0"], Request(explain=0)),
        (["--check"], Request(check=True)),
        (["--validate"], Request(validate=True)),
        (["--html", "page.html"], Request(html="page.html")),
    ],
)
def test_looking_needs_no_target(arguments: list[str], expected: Request) -> None:
    """Without a target the daily refresh can look at what is there; it launches nothing then."""
    request = parse(Program.DAILY, arguments)
    assert request == expected
    assert not request.launches


def test_other_programs_have_their_target() -> None:
    """The programs for one group need no target to launch builders."""
    assert parse(Program.BARS, ["--explain", "825"]) == Request(explain=825)
    for program in (Program.BARS, Program.EMAS, Program.BUILDER):
        assert parse(program, BEGINNINGS[program]).launches


@pytest.mark.parametrize("part", [Program.CHECK, Program.EXPLAIN, Program.PAGE, Program.METRICS, Program.VALIDATE])
def test_parts_that_look_start_no_builder(part: Program) -> None:
    """Whatever a subcommand that looks is given, it does not refresh."""
    values = ["7"] if part in {Program.EXPLAIN, Program.METRICS} else []
    for option in options_of(part):
        if option.is_switch and option.name not in TARGETS:
            assert not parse(part, [*values, option.flag]).launches
    if part is not Program.EXPLAIN and part is not Program.CHECK:  # these two answer before anything is launched
        assert not set(TARGETS) & {option.name for option in options_of(part)}
