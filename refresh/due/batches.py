"""What is computed at once and committed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from refresh.due.decision import Action, Due


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Work that is computed at once and committed together: rebuilt, pruned or compared, and on the same series."""

    dues: tuple[Due, ...]

    @property
    def ids(self) -> list[int]:
        """The assets, each once, in order."""
        return [due.id for due in self.dues]

    @property
    def series(self) -> tuple[int, ...]:
        """The series that every asset of the batch is computed for."""
        return self.dues[0].series

    @property
    def action(self) -> Action:
        """The action of the first asset; others may differ between append and revise."""
        return self.dues[0].action

    @property
    def rewrites(self) -> bool:
        """Whether the batch replaces whole series."""
        return self.dues[0].rewrites


def batches(
    dues: Iterable[Due], rows_at_once: int, assets_at_once: int, *, series_together: int = 1
) -> Iterator[Batch]:
    """Batches of at most ``rows_at_once`` computed rows, or of a single series that has more.

    Arrays are as long as the longest stretch among their assets, so stretches of similar length are batched together.
    An asset is at most once in a batch; one that has too many rows is split into several, by its series, of which
    ``series_together`` in a row stay together if they can.
    """
    current: list[Due] = []
    for due in sorted(_split(dues, rows_at_once, series_together), key=_order):
        is_full = len(current) == assets_at_once or _rows(due) * (len(current) + 1) > rows_at_once
        if current and (is_full or _shared(current[0]) != _shared(due)):
            yield Batch(dues=tuple(current))
            current = []
        current.append(due)
    if current:
        yield Batch(dues=tuple(current))


def _split(dues: Iterable[Due], rows_at_once: int, together: int) -> Iterator[Due]:
    """Split each asset's work into pieces that respect the limit, by series."""
    for due in dues:
        most = max(rows_at_once // (due.days + 1), 1)
        if len(due.series) <= most:
            yield due
            continue
        for series in _cut(due.series, most, together):
            yield replace(due, series=series)


def _cut(series: tuple[int, ...], most: int, together: int) -> Iterator[tuple[int, ...]]:
    """The fewest pieces of at most ``most`` series: evenly, or between those that stay together."""
    if most >= together > 1:
        size = most // together * together
        for _, members in groupby(series, lambda position: position // size):
            yield tuple(members)
        return
    pieces = ceil(len(series) / most)
    size = ceil(len(series) / pieces)
    for piece in range(pieces):
        yield series[piece * size : (piece + 1) * size]


def _shared(due: Due) -> tuple[bool, bool, tuple[int, ...]]:
    """What the assets of a batch have in common."""
    return due.action is Action.PRUNE, due.rewrites, due.series


def _order(due: Due) -> tuple[object, ...]:
    """Sorts what can be in one batch together, and in it the shortest stretch first."""
    return *_shared(due), due.days, due.id


def _rows(due: Due) -> int:
    """The rows that are computed for one asset: a row per day and series, and one to continue from."""
    return (due.days + 1) * max(len(due.series), 1)
