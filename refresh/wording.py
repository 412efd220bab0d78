"""Numbers and names as parts of sentences: counts with their nouns, lists that are cut, nearest spellings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN_IDS = 12


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``1 asset`` or ``3,518 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(values: Iterable[object]) -> str:
    """Values as a list in a sentence."""
    return ", ".join(map(str, values))


def shown_ids(ids: Sequence[int]) -> str:
    """The first of some ids, and how many more there are."""
    more = len(ids) - SHOWN_IDS
    shown = listed(ids[:SHOWN_IDS])
    return f"{shown} and {more:,} more" if more > 0 else shown


def nearest(value: str, valid: Iterable[str]) -> str:
    """Up to three valid spellings close to a wrong one, as the end of a message."""
    options = {spelling.upper(): spelling for spelling in sorted(set(valid))}
    close = get_close_matches(value.upper(), options, n=3, cutoff=0.3) or list(options)[:3]
    return nearest_of([options[name] for name in close])


def nearest_numbers(value: int, valid: Iterable[int], none: str) -> str:
    """Up to three valid numbers close to a wrong one, as the end of a message; ``none`` where there are none."""
    close = sorted(valid, key=lambda number: (abs(number - value), number))[:3]
    return nearest_of(sorted(close), none)


def nearest_of(close: Sequence[object], none: str = "none is enabled") -> str:
    """The end of a message that names what a user may have meant."""
    return f"nearest: {listed(close)}" if close else none
