"""What is said of a file: lines that are not loaded, days that stay, columns that are not used. Decides nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from refresh.load.header import shown, shown_few
from refresh.load.lines import BadLine
from refresh.store.price_days import Kept
from refresh.store.price_stage import Removed, Staged
from refresh.store.prices import Merged
from refresh.wording import counted, escaped, listed

SHOWN_LINES = 20
_SHOWN_DAYS = 3
_SHOWN_TITLES = 12

Notify = Callable[[str], None]


def warn(line: str) -> None:
    """Print a line to standard error."""
    print(escaped(line), file=sys.stderr, flush=True)  # noqa: T201 - whoever loads sees it at once


def tell_lines(path: Path, lines: Iterable[BadLine], notify: Notify) -> None:
    """Lines that cannot be read."""
    for line in lines:
        notify(f"{path}:{line}")


def tell_others(path: Path, unused: Sequence[str], symbols: Sequence[str], notify: Notify) -> None:
    """What a file holds that is not loaded: columns, and assets that nobody asked for."""
    if unused:
        more = len(unused) - _SHOWN_TITLES
        rest = f" and {more:,} more" if more > 0 else ""
        notify(f"{path}: notice: columns not used: {listed(map(shown, unused[:_SHOWN_TITLES]))}{rest}")
    if symbols:
        notify(f"{path}: notice: lines of {counted(len(symbols), 'other asset')} left out: {shown_few(symbols)}")


def tell_staged(path: Path, staged: Staged, column: str, notify: Notify) -> int:
    """What lines of one asset and day are to each other. Returns the number of bad lines among them."""
    _each(path, staged.repeated, "notice: line {other} has the same asset and day and is loaded instead", notify)
    _each(path, staged.empty, "notice: it has no prices, and line {other} of the same day is loaded", notify)
    differs = "{column}: {day}: line {other} has other prices for the same day"
    _each(path, staged.differing, differs, notify, column=shown(column))
    if staged.fine:
        assets = listed(staged.fine[:_SHOWN_DAYS])
        noun = "asset" if len(staged.fine) == 1 else f"{len(staged.fine):,} assets"
        notify(
            f"{path}: notice: rows finer than a day, of {noun} {assets}, are loaded as they are; "
            "a refresh folds them into days with --fold, and refuses them without"
        )
    return staged.differing.total


def _each(path: Path, removed: Removed, words: str, notify: Notify, *, column: str = "") -> None:
    for line, other, day in removed.lines:
        notify(f"{path}:{line}: {words.format(other=other, day=day, column=column)}")
    more = removed.total - len(removed.lines)
    if more:
        notify(f"{path}: {more:,} more such lines")


def tell_merged(path: Path, merged: Merged, notify: Notify) -> None:
    """What was stored for the days of a file."""
    _tell_kept(path, merged.kept, notify)
    moved = merged.moved
    if moved.moved:
        days = counted(moved.moved, "day")
        notify(
            f"{path}: notice: {days} from {moved.first_day} on, stored at another time of day, are at this file's now"
        )
    if moved.removed:
        rows = counted(moved.removed, "row")
        notify(f"{path}: notice: {rows} of days from {moved.first_day} on that had several are replaced by this file's")


def _tell_kept(path: Path, kept: Kept, notify: Notify) -> None:
    if not kept.total:
        return
    more = f" and {kept.total - _SHOWN_DAYS:,} more" if kept.total > _SHOWN_DAYS else ""
    have = "has" if kept.total == 1 else "have"
    notify(
        f"{path}: notice: no prices in the file for {counted(kept.total, 'day')} that {have} some: "
        f"{listed(kept.days[:_SHOWN_DAYS])}{more}; they are kept (--replace-with-empty replaces them)"
    )
