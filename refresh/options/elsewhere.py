"""The kind of value that says what other databases hold."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

from refresh.due.selection import Elsewhere
from refresh.options.values import DIGITS, MOST, ValueKind, at_most
from refresh.wording import quoted


def _read(text: str) -> Elsewhere:
    match = re.fullmatch(f"({DIGITS}):({DIGITS})", text)
    if not match:
        raise ArgumentTypeError(f"{quoted(text)} is not two numbers of assets such as 4000:12")
    return Elsewhere(known=at_most(match[1], MOST), restated=at_most(match[2], MOST))


def _show(elsewhere: Elsewhere) -> str:
    return f"{elsewhere.known}:{elsewhere.restated}"


ELSEWHERE = ValueKind(metavar="COUNTS", read=_read, show=_show)
