"""The documents about options, settings and exit codes against the declarations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refresh import errors
from refresh.errors import ExitCode, RefreshError
from refresh.options.declaration import Option, Program, Setting
from refresh.options.documents import env_example, exit_code_table, option_table, setting_table, subcommand_table
from refresh.options.environment import SETTINGS, every_setting
from refresh.options.load_request import LOAD_OPTIONS
from refresh.options.request import OPTIONS

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = (CHECKOUT / "docs/options.md").read_text(encoding="utf-8")
GENERATED = {
    "options": option_table(),
    "settings": setting_table(),
    "exit codes": exit_code_table(),
    "subcommands": subcommand_table(),
}
WHOLE = [program for program in Program if not program.part_of]
READ_BY_NAME = re.compile(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"(?!\] = )")
OF_THE_SYSTEM = {"HOME", "PATH", "PGCONNECT_TIMEOUT", "PYTHONPATH", "XDG_DATA_HOME"}


def sources() -> str:
    """All source code outside of the options."""
    files = (path for path in (CHECKOUT / "refresh").rglob("*.py") if path.parent.name != "options")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("name", GENERATED)
def test_table_is_generated(name: str) -> None:
    """The tables of docs/options.md are those of the declarations."""
    table = re.search(rf"<!-- {name}: .* -->\n(.*)<!-- end of {name} -->", DOCUMENT, re.DOTALL)
    assert table, f"docs/options.md has no table between the two comments about {name}"
    expected = GENERATED[name]
    assert table[1] == expected, f"paste this between the two comments of docs/options.md:\n\n{expected}"


def test_env_example_is_generated() -> None:
    """The file .env.example lists the settings of the declarations, each commented out."""
    expected = env_example()
    assert (CHECKOUT / ".env.example").read_text(encoding="utf-8") == expected, f"paste this:\n\n{expected}"


@pytest.mark.parametrize("option", [*OPTIONS, *LOAD_OPTIONS], ids=lambda option: option.name)
def test_option_has_a_row(option: Option) -> None:
    """Each option of each program has a row with its help and default."""
    rows = GENERATED["options"].replace("`", "").splitlines()
    assert [row for row in rows if row.startswith(f"| {option.synopsis} |") and option.meaning in row]


@pytest.mark.parametrize(
    "program", [program for program in Program if not program.part_of], ids=lambda program: program.name
)
def test_programs_are_named(program: Program) -> None:
    """The names in the tables are explained."""
    assert f"| {program.name.lower()} | `{program.value}` |" in DOCUMENT


def test_every_error_ends_with_a_documented_code() -> None:
    """Each class of the error tree ends a program with a code that has a row."""
    tree = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, RefreshError)]
    assert {error.exit_code for error in tree} < set(ExitCode)
    for code in ExitCode:
        assert f"\n| {code:d} | " in GENERATED["exit codes"]


def test_every_variable_that_is_read_is_a_setting() -> None:
    """No module reads a variable of the environment that is declared nowhere."""
    read = set(READ_BY_NAME.findall(sources()))
    assert read - OF_THE_SYSTEM <= {setting.name for setting in every_setting()}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_read(setting: Setting) -> None:
    """A setting that no option gives is read somewhere."""
    assert f'"{setting.name}"' in sources()
