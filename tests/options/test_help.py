"""What ``--help`` prints."""

from __future__ import annotations

import re
import shlex

import pytest

from refresh.errors import ExitCode
from refresh.options.declaration import Program, Section
from refresh.options.help import examples, exit_codes
from refresh.options.load_request import LOAD_OPTIONS, options_of
from refresh.options.parsing import parse, parse_load, parser
from refresh.options.request import OPTIONS

EVERY_PROGRAM = pytest.mark.parametrize("program", Program, ids=lambda program: program.name)
ENTRY = re.compile(r"^  (-h, --help|--[a-z-]+(?: [A-Z]+)?|[A-Z]+)(?:  |$)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@EVERY_PROGRAM
def test_help_fits(program: Program) -> None:
    """No line is longer than a terminal of 80 columns."""
    assert max(map(len, parser(program).format_help().splitlines())) <= 80


@EVERY_PROGRAM
def test_help_lists_each_option_once(program: Program) -> None:
    """The help has one entry for each option of the program, and none of another program."""
    listed = ENTRY.findall(parser(program).format_help())
    assert sorted(listed) == sorted(["-h, --help", "--version", *(option.synopsis for option in options_of(program))])


@EVERY_PROGRAM
def test_help_shows_every_option(program: Program) -> None:
    """The help of a program has the help and default of its options, and names no flag of another program."""
    text = " ".join(parser(program).format_help().split())
    own = options_of(program)
    assert all(option.meaning in text for option in own)
    flags = {option.flag for option in own} | {"--help", "--version"}
    assert set(re.findall(r"--[a-z][a-z-]*", text)) <= flags
    names = {option.name for option in own}
    others = [option for option in (*OPTIONS, *LOAD_OPTIONS) if option.name not in names]
    assert not [option.name for option in others if option.meaning in text]


@EVERY_PROGRAM
def test_groups_come_in_order(program: Program) -> None:
    """The options are grouped, in the order of the groups, with exit codes and examples at the end."""
    text = parser(program).format_help()
    own = {option.section for option in options_of(program)} | {Section.OUTPUT}
    groups = [section.value for section in Section if section in own]
    assert re.findall(r"^(\w.*):$", text, re.MULTILINE) == [*groups, "exit codes", "examples"]


@EVERY_PROGRAM
def test_help_shows_exit_codes(program: Program) -> None:
    """The help lists the exit codes that the program can end with, and no others."""
    section = parser(program).format_help().partition("exit codes:")[2].partition("examples:")[0]
    shown = [int(code) for code in re.findall(r"^  (\d+) ", section, re.MULTILINE)]
    assert shown == exit_codes(program)
    assert {ExitCode.DONE, ExitCode.FAILED, ExitCode.USAGE, ExitCode.CANNOT_START} <= set(shown)


def test_every_exit_code_is_of_some_program() -> None:
    """The daily refresh can end in every way; only it and its parts that validate find wrong values."""
    assert exit_codes(Program.DAILY) == list(ExitCode)
    validating = [program for program in Program if ExitCode.INVALID in exit_codes(program)]
    assert validating == [Program.DAILY, Program.RUN, Program.VALIDATE, Program.DEMO]


@EVERY_PROGRAM
def test_examples_can_be_typed(program: Program) -> None:
    """The help ends with two examples, which the program takes."""
    text = parser(program).format_help()
    assert len(examples(program)) == 2
    for arguments in examples(program).values():
        assert f"\n  {program.command} {arguments}".rstrip() + "\n" in text
        if program.whole is Program.LOAD:
            parse_load(shlex.split(arguments), program)
        else:
            parse(program, shlex.split(arguments))


@pytest.mark.parametrize(("columns", "least", "most"), [("1", 40, 80), ("90", 80, 90), ("200", 90, 100)])
def test_other_terminals(monkeypatch: pytest.MonkeyPatch, columns: str, least: int, most: int) -> None:
    """The width of the terminal is used, within what is easy to read."""
    monkeypatch.setenv("COLUMNS", columns)
    text = parser(Program.DAILY).format_help().partition("\n\n")[2]
    assert least - 20 < max(map(len, text.splitlines())) <= most
