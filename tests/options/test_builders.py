"""Which builders a command line runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from refresh.catalog import BUILDERS, by_key
from refresh.errors import UsageError
from refresh.options.builders import named_builder, selected
from refresh.options.declaration import Program
from refresh.options.parsing import parse

Refusal = Callable[[Program, Sequence[str]], str]
BAR_KEYS = [f"bars.{name}" for name in ("1d", "multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso")]
EMA_KEYS = [f"emas.{name}" for name in ("multi_tf", "cal", "cal_anchor", "v2")]


def chosen(program: Program, *arguments: str) -> list[str]:
    """The keys of the builders that a command line runs."""
    return [builder.key for builder in selected(program, parse(program, arguments))]


def test_targets() -> None:
    """Bars come before EMAs, each in their fixed order."""
    assert chosen(Program.DAILY, "--all") == BAR_KEYS + EMA_KEYS
    assert chosen(Program.DAILY, "--bars") == chosen(Program.BARS) == BAR_KEYS
    assert chosen(Program.DAILY, "--emas") == chosen(Program.EMAS) == EMA_KEYS


@pytest.mark.parametrize("look", [["--explain", "825"], ["--check"], ["--validate"], ["--html", "page.html"]])
def test_looking_without_a_target(look: list[str]) -> None:
    """Without a target a look is at all builders; programs that have their own keep it."""
    assert chosen(Program.DAILY, *look) == BAR_KEYS + EMA_KEYS
    assert chosen(Program.DAILY, "--emas", *look) == EMA_KEYS


def test_explaining_for_one_group() -> None:
    """A program explains an asset for its own builders."""
    assert chosen(Program.BARS, "--explain", "825") == BAR_KEYS
    assert chosen(Program.EMAS, "--explain", "825") == EMA_KEYS


def test_named_builders() -> None:
    """Names narrow their own group, by name or by key, and the fixed order stays."""
    assert chosen(Program.BARS, "--builders", "cal_us,1d") == ["bars.1d", "bars.cal_us"]
    assert chosen(Program.EMAS, "--refreshers", "emas.v2,cal") == ["emas.cal", "emas.v2"]
    assert chosen(Program.DAILY, "--all", "--builders", "multi_tf") == ["bars.multi_tf", *EMA_KEYS]
    assert chosen(Program.DAILY, "--all", "--refreshers", "multi_tf") == [*BAR_KEYS, "emas.multi_tf"]


def test_skipped_builders() -> None:
    """A name skips every builder that has it; a key skips one."""
    everything = set(BAR_KEYS + EMA_KEYS)
    both = {"bars.multi_tf", "emas.multi_tf"}
    assert everything - set(chosen(Program.DAILY, "--all", "--skip", "multi_tf")) == both
    assert everything - set(chosen(Program.DAILY, "--all", "--skip", "emas.multi_tf")) == {"emas.multi_tf"}
    assert chosen(Program.BARS, "--builders", "1d,cal_us", "--skip", "1d") == ["bars.cal_us"]


@pytest.mark.parametrize(
    ("program", "flag", "names", "near"),
    [
        (Program.BARS, "--builders", "cal_usa", "cal_us"),
        (Program.BARS, "--builders", "1d,mult_tf", "multi_tf"),
        (Program.BARS, "--builders", "CAL_ISO", "cal_iso"),
        (Program.EMAS, "--refreshers", "v3", "v2"),
        (Program.EMAS, "--skip", "cal_anchr", "cal_anchor"),
    ],
)
def test_unknown_builder(refusal: Refusal, program: Program, flag: str, names: str, near: str) -> None:
    """A name that no builder has is refused by the name, and the nearest name comes first."""
    unknown = names.rpartition(",")[2]
    assert refusal(program, [flag, names]).startswith(f"{flag} {unknown}: no such builder; nearest: {near}")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (Program.BARS, ["--builders", "v2"]),
        (Program.EMAS, ["--refreshers", "1d"]),
        (Program.EMAS, ["--skip", "1d"]),
        (Program.DAILY, ["--bars", "--skip", "emas.v2"]),
    ],
)
def test_builder_of_the_other_group(refusal: Refusal, program: Program, arguments: list[str]) -> None:
    """A builder that this command line does not run is no such builder."""
    assert "no such builder" in refusal(program, arguments)


def test_nothing_left_to_run(refusal: Refusal) -> None:
    """A selection that skips what it names is refused, and does not run everything."""
    assert "leave nothing to run" in refusal(Program.BARS, ["--builders", "1d", "--skip", "1d"])


@pytest.mark.parametrize("key", [builder.key for builder in BUILDERS])
def test_builder_by_key(key: str) -> None:
    """A key means its builder."""
    assert named_builder(key) is by_key(key)


def test_builder_by_name() -> None:
    """A name means the builder that alone has it; what is missing or ambiguous is refused with a way out."""
    assert named_builder("1d").key == "bars.1d"
    with pytest.raises(UsageError, match=r"^builder call: no such builder; nearest: emas.cal"):
        named_builder("call")
    with pytest.raises(UsageError, match=r"^builder multi_tf: two have this name; say bars.multi_tf or emas.multi_tf$"):
        named_builder("multi_tf")
