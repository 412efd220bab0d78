"""Numbers and names as parts of sentences: counts with their nouns, lists that are cut, nearest spellings.

And words of others: ``escaped``, so that they stay on their line and move no cursor, and ``quoted``, so that they end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN_IDS = 12
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that end a line for some reader, move a terminal's cursor, turn the order of a text or are no text."""
_UNSEEN_IN_LINES = re.compile(f"(?![\n\t]){UNSEEN.pattern}")
_OFFERED = 3
_LONGEST_QUOTE = 80
_LAST_BYTE = 0xFF


def escaped(text: str) -> str:
    """A text as one line, where what a reader would not see is an escape, e.g. that of the escape key is x1b."""
    return UNSEEN.sub(_as_escape, text)


def escaped_lines(text: str) -> str:
    """The same for a text of several lines, with tabs."""
    return _UNSEEN_IN_LINES.sub(_as_escape, text)


def _as_escape(unseen: re.Match[str]) -> str:
    code = ord(unseen[0])
    return f"\\x{code:02x}" if code <= _LAST_BYTE else f"\\u{code:04x}"


def quoted(text: str) -> str:
    """A text that somebody typed, in quotes and not longer than a line."""
    if len(text) <= _LONGEST_QUOTE:
        return repr(text)
    return f"{text[:_LONGEST_QUOTE]!r}... ({len(text):,} characters)"


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``1 asset`` or ``3,518 rows``."""
    ending = "" if number == 1 else "s"
    return f"{number:,} {noun}{ending}"


def listed(values: Iterable[object]) -> str:
    """Values as a list in a sentence."""
    return ", ".join(map(str, values))


def shown_ids(ids: Sequence[int]) -> str:
    """The first of some ids, and the number of the others."""
    shown = listed(ids[:SHOWN_IDS])
    more = len(ids) - SHOWN_IDS
    return f"{shown} and {more:,} more" if more > 0 else shown


def nearest(value: str, valid: Iterable[str]) -> str:
    """Up to three valid spellings close to a wrong one, as the end of a message."""
    spellings = {spelling.upper(): spelling for spelling in sorted(set(valid))}
    close = get_close_matches(value.upper(), spellings, n=_OFFERED, cutoff=0.3)
    if not close:
        close = list(spellings)[:_OFFERED]
    return nearest_of([spellings[name] for name in close])


def nearest_numbers(value: int, valid: Iterable[int], none: str) -> str:
    """Up to three valid numbers close to a wrong one, as the end of a message; ``none`` if there are none."""
    by_distance = sorted(valid, key=lambda number: (abs(number - value), number))
    return nearest_of(sorted(by_distance[:_OFFERED]), none)


def nearest_of(close: Sequence[object], none: str = "none is enabled") -> str:
    """The end of a message that names what a user may have meant."""
    return f"nearest: {listed(close)}" if close else none
