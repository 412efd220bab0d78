"""Completion of ``daily-refresh`` in a shell: ``eval "$(daily-refresh completion bash)"``, or zsh, or fish."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser
from collections.abc import Iterable, Sequence
from zoneinfo import available_timezones

import argcomplete
from argcomplete.completers import ChoicesCompleter
from argcomplete.shell_integration import shellcode

from refresh.catalog import BUILDERS, Group, builders
from refresh.errors import ExitCode
from refresh.installation import NAME
from refresh.options.declaration import Program
from refresh.options.parsing import fill

SHELLS = ("bash", "zsh", "fish")


def main(words: Sequence[str]) -> int:
    """Print what a shell evaluates to complete the command. Returns the exit code."""
    if len(words) != 1 or words[0] not in SHELLS:
        print(f"error: name one shell: {NAME} completion {{{'|'.join(SHELLS)}}}", file=sys.stderr)
        return ExitCode.USAGE
    print(shellcode([NAME], shell=words[0]))
    return ExitCode.DONE


def complete(subcommands: Iterable[str]) -> None:
    """Answer the shell, which asks by variables of the environment, and end the process."""
    argcomplete.autocomplete(_parser(subcommands))


def _parser(subcommands: Iterable[str]) -> ArgumentParser:
    """Every subcommand with its options, and with the words that the values of some options are."""
    whole = ArgumentParser(prog=NAME)
    parts = {part.word: part for part in Program if part.part_of}
    subparsers = whole.add_subparsers()
    for word in subcommands:
        part = subparsers.add_parser(word, add_help=False)
        if word in parts:
            for name, action in fill(part, parts[word]).items():
                _offer(name, action)
    return whole


def _offer(name: str, action: Action) -> None:
    if words := _words().get(name):
        action.completer = ChoicesCompleter(dict.fromkeys(words, ""))  # type: ignore[attr-defined]


def _words() -> dict[str, Sequence[str]]:
    """What an option's value can be, by the option's name."""
    return {
        "builders": [builder.name for builder in builders(Group.BARS)],
        "refreshers": [builder.name for builder in builders(Group.EMAS)],
        "skip": [builder.key for builder in BUILDERS],
        "detect": ["digest", "lookback"],
        "dates": ["mdy", "dmy", "ymd"],
        "tz": sorted(available_timezones()),
    }
