"""What no message repeats: words of a command line or a setting that may hold a password, a token or an address.

A mistake puts them anywhere: in an option that does not exist, in the value of another one, in pieces that a shell cut.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any

from refresh.options.cluster_value import CLUSTER
from refresh.options.declaration import Option, Program
from refresh.options.load_request import options_of
from refresh.options.values import DIR, FILE, PATH, URL
from refresh.wording import nearest_of

_ADDRESS = re.compile(r"://|^[^/\s:@]*:[^@\s]*@|^postgres\w*:", re.IGNORECASE)
_TOKEN = re.compile(r"\d{6}:[A-Za-z_]")
"""A token of a Telegram bot; of its digits the last six, because looking for more takes the square of their number."""
_SIMILAR = 0.75
EVERY_FLAG = frozenset(option.flag for program in Program for option in options_of(program))
"""The options of all programs."""


def reader(option: Option) -> Callable[[str], Any]:
    """How the value of an option is read, if it does not look like a secret of another one."""
    if option.value in {URL, CLUSTER}:  # their messages repeat nothing
        return option.value.read
    is_secret = _in_a_path if option.value in {FILE, DIR, PATH} else _in_a_word

    def read(text: str) -> Any:
        if is_secret(text):
            raise ArgumentTypeError("this looks like an address or a token; only --db-url and settings take one")
        return option.value.read(text)

    return read


def _in_a_path(text: str) -> bool:
    return bool(_ADDRESS.search(text) or _TOKEN.search(text))


def _in_a_word(text: str) -> bool:
    return "@" in text or _in_a_path(text)


def strange_words(words: Sequence[str], arguments: Sequence[str], flags: Collection[str]) -> str:
    """What is wrong with words that belong to no option of a program, of which the first is told.

    An option of another program is named, any other word by its place and by the option that may have been meant.
    """
    flag = words[0].partition("=")[0]
    if flag in EVERY_FLAG:
        return f"unrecognized arguments: {flag} is no option of this program"
    place = f"unrecognized arguments: number {arguments.index(words[0]) + 1}"
    if not flag.startswith("-"):
        return f"{place} belongs to no option; put quotes around a value with spaces, & or ; in it"
    close = get_close_matches(flag.replace("_", "-").lower(), flags, n=1, cutoff=_SIMILAR)
    return f"{place} is no option of this program; {nearest_of(close, 'none is similar')}"


def without_values(message: str) -> str:
    """A message of argparse without the value that it repeats of an option that takes none."""
    head, explicit, _ = message.partition(": ignored explicit argument")
    return f"{head}: takes no value" if explicit else message
