"""``daily-refresh``: one command whose first word says what to do, each a part of one of the programs.

Only what the word needs is loaded.
"""

# ruff: noqa: PLC0415 - a subcommand loads what it needs

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from refresh import printing
from refresh.errors import ExitCode
from refresh.installation import NAME, VERSION
from refresh.options.declaration import Program
from refresh.options.help import about, entries
from refresh.wording import escaped, nearest

_COLUMNS = 14
_FIRST = "Keeps price bars and EMAs of daily market data in PostgreSQL up to date, every night."
_LAST = (
    f"{NAME} SUBCOMMAND --help lists the options of each; {NAME} --version prints the version.\n"
    "TARGET_DB_URL names the database; without it, a PostgreSQL that comes with the program is used."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subcommand:
    """What a first word does: ``main`` makes an exit code of the words behind it."""

    about: str
    main: Callable[[Sequence[str]], int]


def _refresh(part: Program, words: Sequence[str]) -> int:
    from refresh.commands import program

    return program.main(part, words)


def _load(words: Sequence[str]) -> int:
    from refresh.load import __main__ as loading

    return printing.run(lambda: loading.main(words, os.environ, Program.LOAD_FILES))


def _psql(words: Sequence[str]) -> int:
    from refresh.commands import psql

    return printing.run(lambda: psql.main(words, os.environ))


def _move(words: Sequence[str]) -> int:
    from refresh.commands import move

    if words:  # whoever asks for help must not have tables moved
        return printing.run(lambda: _refused(f"{NAME} move takes no words; it moves tables at once"))
    return printing.run(lambda: move.main(os.environ))


def _shards(words: Sequence[str]) -> int:
    from refresh.commands import shards

    return printing.run(lambda: shards.main(words, os.environ))


def _complete(words: Sequence[str]) -> int:
    from refresh.commands import completion

    return printing.run(lambda: completion.main(words))


SUBCOMMANDS: Mapping[str, Subcommand] = {
    **{
        part.word: Subcommand(about=about(part), main=partial(_refresh, part))
        for part in Program
        if part.part_of and part.whole is Program.DAILY
    },
    Program.LOAD_FILES.word: Subcommand(about=about(Program.LOAD_FILES), main=_load),
    "psql": Subcommand(about="Open psql on the database that a run would refresh; the words go to psql.", main=_psql),
    "move": Subcommand(about="Move EMA tables of the former layout behind views of the same names.", main=_move),
    "shards": Subcommand(about="Show, add, fill and read databases over which assets are spread.", main=_shards),
    "completion": Subcommand(about="Print what completes this command in a shell: bash, zsh or fish.", main=_complete),
}


def main() -> int:
    """Run the subcommand that the first word of the process names. Returns the exit code."""
    if "_ARGCOMPLETE" in os.environ:
        from refresh.commands import completion

        completion.complete(SUBCOMMANDS)
    first, *words = sys.argv[1:] or ["--help"]
    if first in SUBCOMMANDS:
        return SUBCOMMANDS[first].main(words)
    return printing.run(lambda: _answer(first))


def _answer(first: str) -> int:
    """The answer to a word that is no subcommand."""
    answers: dict[str, Callable[[], str]] = {"--help": _help, "-h": _help, "--version": lambda: f"{NAME} {VERSION}"}
    if first in answers:
        print(answers[first]())
        return ExitCode.DONE
    hint = nearest(first, SUBCOMMANDS) if first.isalpha() else "name one first"
    return _refused(f"no such subcommand; {hint} (see {NAME} --help)")


def _refused(why: str) -> int:
    print(escaped(f"error: {why}"), file=sys.stderr)
    return ExitCode.USAGE


def _help() -> str:
    listed = entries({name: subcommand.about for name, subcommand in SUBCOMMANDS.items()}, _COLUMNS)
    return "\n".join([f"usage: {NAME} SUBCOMMAND [OPTION...]", "", _FIRST, "", *listed, "", _LAST])
