"""What ``--help`` prints around the options: usage, description, exit codes and examples."""

from __future__ import annotations

import re
import shutil
import textwrap
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass

from refresh.catalog import BUILDERS
from refresh.errors import ExitCode
from refresh.options.declaration import Program
from refresh.options.load_request import options_of
from refresh.options.request import names_of
from refresh.options.subcommands import means

_MIN_COLUMNS = 40
_MAX_COLUMNS = 100
_FLAG_COLUMNS = 28
_CODE_COLUMNS = 7
_NAME_COLUMNS = 23
FLAG = re.compile(r"--[a-z][a-z-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    """The texts of one program. ``never``: exit codes it cannot end with; ``examples``: what they do, and arguments."""

    usage: tuple[str, ...] = ("[OPTION...]",)
    about: str
    never: frozenset[ExitCode] = frozenset()
    examples: dict[str, str]


_LOOKING = frozenset({ExitCode.INVALID, ExitCode.ALREADY_RUNNING})
"""Codes of programs that refresh or validate."""
_LOADING = _Text(
    usage=("FILE... [OPTION...]", "--sample [OPTION...]"),
    about="Load price files into the source table. Loading a file again changes nothing.",
    never=frozenset({ExitCode.INVALID, ExitCode.ALREADY_RUNNING, ExitCode.TERMINATED, ExitCode.HUNG_UP}),
    examples={
        "files with a manifest.csv beside them, or with a column of ids": "prices/*.csv",
        "one file of one asset": "bitcoin.csv --id 1 --name Bitcoin",
    },
)
_TEXTS = {
    Program.DAILY: _Text(
        usage=(
            "{--all|--bars|--emas} [OPTION...]",
            "{--check|--digest|--explain|--validate} [OPTION...]",
            "{--html|--metrics} [OPTION...]",
        ),
        about="Bring price bars and EMAs up to date: exactly one of --all, --bars and --emas. Without any of them, "
        "--check, --digest, --explain, --html, --metrics and --validate only look at what is there.",
        examples={
            "every night: do everything that is due, and print only a summary": "--all --quiet",
            "what would a run do to one asset, and why?": "--explain 825",
        },
    ),
    Program.BARS: _Text(
        about=f"Bring the tables of price bars up to date: {names_of('bars')}.",
        never=frozenset({ExitCode.INVALID}),
        examples={
            "two builders for two assets": "--builders 1d,cal_us --ids 1,52",
            "what would be built, and why?": "--dry-run",
        },
    ),
    Program.EMAS: _Text(
        about=f"Bring the EMA tables up to date: {names_of('emas')}.",
        never=frozenset({ExitCode.INVALID}),
        examples={
            "weekly calendar EMAs of two periods": "--refreshers cal --tfs 1w --periods 10,20",
            "do what the latest failed run left": "--resume",
        },
    ),
    Program.BUILDER: _Text(
        usage=("NAME [OPTION...]",),
        about="Run one builder by itself, as the other programs start it. NAME is one of these.",
        never=frozenset({ExitCode.INVALID, ExitCode.ALREADY_RUNNING}),
        examples={
            "daily bars of two assets": "bars.1d --ids 1,52",
            "rebuild the weekly calendar EMAs": "emas.cal --tfs 1w --full-rebuild",
        },
    ),
    Program.LOAD: _LOADING,
    Program.LOAD_FILES: _LOADING,
    Program.RUN: _Text(
        about="Bring price bars and EMAs up to date. With --bars or --emas, only these.",
        examples={
            "every night: do everything that is due, and print only a summary": "--quiet",
            "do what the latest failed run left": "--resume",
        },
    ),
    Program.PLAN: _Text(
        about="Show what a run would do, step by step, and why. Writes nothing.",
        never=_LOOKING,
        examples={
            "what is due for two assets?": "--ids 1,52",
            "as a document for other programs": "--json -",
        },
    ),
    Program.CHECK: _Text(
        about="Tell whether every asset is fresh in every table, and name the worst. Writes nothing.",
        never=_LOOKING,
        examples={
            "is everything fresh?": "",
            "for a source that has no prices at weekends": "--max-age 3d",
        },
    ),
    Program.EXPLAIN: _Text(
        usage=("ID [OPTION...]",),
        about="Print the state of one asset in every table, and what a run would do to it and why. Writes nothing.",
        never=_LOOKING,
        examples={
            "why was asset 825 left out?": "825",
            "what would a rebuild do to it?": "825 --full-rebuild",
        },
    ),
    Program.VALIDATE: _Text(
        about="Check every table against the daily bars, and a sample of assets against the source.",
        never=frozenset({ExitCode.ALREADY_RUNNING}),
        examples={
            "recompute every asset from the source": "--sample all",
            "two assets": "--ids 1,52 --sample all",
        },
    ),
    Program.PAGE: _Text(
        usage=("[FILE] [OPTION...]",),
        about="Write a page about the database: runs, failures, freshness and prices.",
        never=_LOOKING,
        examples={
            "into report.html": "",
            "for a web server": "/var/www/html/refresh.html",
        },
    ),
    Program.DIGEST: _Text(
        about="Print what became of the last seven days beside the seven before, and send it to the alert channels.",
        never=_LOOKING,
        examples={
            "on Mondays, by cron": "--quiet",
            "of another database": "--db-url postgresql://localhost/other",
        },
    ),
    Program.METRICS: _Text(
        usage=("FILE [OPTION...]",),
        about="Write the last refresh, what is not fresh, and the size of tables as metrics that Prometheus reads.",
        never=_LOOKING,
        examples={
            "for the textfile collector of the node exporter": "/var/lib/node_exporter/daily_refresh.prom",
            "on the terminal": "/dev/stdout",
        },
    ),
    Program.SETTINGS: _Text(
        about="Print every setting with its value and where it is from, and nothing secret. Opens no database.",
        never=_LOOKING,
        examples={
            "which database would a run refresh?": "",
            "and with another file of settings?": "--config /etc/daily-refresh.env",
        },
    ),
    Program.DEMO: _Text(
        usage=("[FILE] [OPTION...]",),
        about="From nothing to a page: load sample prices if there are none, refresh, check every value, write a page.",
        examples={
            "everything in a PostgreSQL of its own, the page in report.html": "",
            "the page elsewhere": "demo.html",
        },
    ),
}


class Formatter(RawDescriptionHelpFormatter):
    """As wide as the terminal, within what is easy to read."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_FLAG_COLUMNS, width=_width())


def _width() -> int:
    columns = shutil.get_terminal_size().columns
    return min(max(columns, _MIN_COLUMNS), _MAX_COLUMNS) - 2


def usage(program: Program) -> str:
    """The ways of calling a program, a line each."""
    lines = [f"{program.value} {way}" for way in _TEXTS[program].usage]
    return "\n       ".join(lines)


def about(program: Program) -> str:
    """What a program does, in a sentence or two."""
    return _TEXTS[program].about


def description(program: Program) -> str:
    """What a program does. If it runs one builder, what each of them builds."""
    filled = textwrap.fill(about(program), _width(), break_on_hyphens=False)
    if program is not Program.BUILDER:
        return filled
    return "\n".join([filled, "", *entries({builder.key: builder.summary for builder in BUILDERS}, _NAME_COLUMNS)])


def entries(meanings: Mapping[str, str], columns: int) -> list[str]:
    """Names and what they mean, an entry each, in columns of their own."""
    return [_entry(name, meaning, columns) for name, meaning in meanings.items()]


def epilog(program: Program) -> str:
    """The exit codes of a program, and examples."""
    codes = [_exit_code_line(program, code) for code in exit_codes(program)]
    lines = ["exit codes:", *codes, "", "examples:"]
    for meaning, arguments in examples(program).items():
        lines += [f"  # {meaning}", f"  {program.command} {arguments}".rstrip()]
    return "\n".join(lines)


def exit_codes(program: Program) -> list[ExitCode]:
    """The exit codes that a program can end with."""
    return [code for code in ExitCode if code not in _TEXTS[program].never]


def examples(program: Program) -> dict[str, str]:
    """Two command lines: by what they do, their arguments."""
    return _TEXTS[program].examples


def _exit_code_line(program: Program, code: ExitCode) -> str:
    flags = {option.flag for option in options_of(program)}
    clauses = code.meaning.split("; ")
    said = [f"with --{name}: " for name in means(program)]
    own = [clause.removeprefix(words) for clause in clauses for words in said if clause.startswith(words)]
    concerning = own or [clause for clause in clauses if flags.issuperset(FLAG.findall(clause))]
    return _entry(f"{code:d}", "; ".join(concerning), _CODE_COLUMNS)


def _entry(name: str, meaning: str, columns: int) -> str:
    """A name and what it means, in columns of their own."""
    start = f"  {name}".ljust(columns)
    return textwrap.fill(meaning, _width(), initial_indent=start, subsequent_indent=" " * columns)
