"""The parts of the documents that derive from the declarations; tests compare the files with them."""

from __future__ import annotations

from refresh.errors import ExitCode
from refresh.options.declaration import EVERYWHERE, Option, Program, Section
from refresh.options.environment import every_setting
from refresh.options.help import FLAG, about
from refresh.options.load_request import LOAD_OPTIONS
from refresh.options.request import OPTIONS
from refresh.wording import listed

_ENV_START = """\
# Copy to .env in a checkout, or to ~/.config/daily-refresh/.env, and set what you need.
# The environment and the command line come before this file.
"""


def _every_option() -> list[Option]:
    """The options of all programs, each once."""
    return [*OPTIONS, *(option for option in LOAD_OPTIONS if option not in OPTIONS)]


def option_table() -> str:
    """All options in markdown: a heading and a table for each group."""
    tables = []
    for section in Section:
        rows = [_option_row(option) for option in _every_option() if option.section is section]
        heading = f"### {section.value.capitalize()}\n\n| option | programs | meaning |\n|---|---|---|\n"
        tables.append(heading + "".join(rows))
    return "\n".join(tables)


def _option_row(option: Option) -> str:
    programs = listed(program.name.lower() for program in Program if program in option.programs)
    if option.programs == EVERYWHERE:
        programs = "all"
    return f"| `{option.synopsis}` | {programs} | {_marked(option.meaning)} |\n"


def subcommand_table() -> str:
    """The subcommands of the one command in markdown: what each does, and the program whose part it is."""
    rows = [f"| `{part.value}` | {about(part)} | {part.whole.name.lower()} |\n" for part in Program if part.part_of]
    return "| subcommand | what it does | part of |\n|---|---|---|\n" + "".join(rows)


def exit_code_table() -> str:
    """All exit codes in markdown."""
    rows = [f"| {code:d} | {_marked(code.meaning)} |\n" for code in ExitCode]
    return "| code | meaning |\n|---:|---|\n" + "".join(rows)


def _marked(text: str) -> str:
    """The text with its flags as code."""
    return FLAG.sub(r"`\g<0>`", text)


def setting_table() -> str:
    """All variables of the environment in markdown."""
    rows = [f"| `{item.name}` | {item.help} | {item.default} |\n" for item in every_setting()]
    return "| variable | meaning | unset |\n|---|---|---|\n" + "".join(rows)


def env_example() -> str:
    """The file ``.env.example``: every variable with what it means, commented out."""
    parts = [
        f"# {item.help[0].upper()}{item.help[1:]}; unset: {item.default}.\n#{item.name}={item.example}\n"
        for item in every_setting()
    ]
    return "\n".join([_ENV_START, *parts])
