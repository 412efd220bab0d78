"""How the assets of a step are cut into parts, of which each is the work of one builder on some worker."""

from __future__ import annotations

from collections.abc import Sequence

from refresh.run.plan import Task

PARTS_PER_SLOT = 4
"""So that a slow part, or a slow machine, holds up the others by a quarter of a share at most."""
ROWS_WORTH_A_START = 100_000
ASSETS_WORTH_A_START = 50
"""A builder starts in about half a second, in which another one writes so many rows or looks at so many assets."""


def cut(tasks: Sequence[Task], *, workers: int, slots: int) -> list[tuple[Task, ...]]:
    """Parts of neighbouring assets, about equal in rows; ``slots``: the builders that all workers run at once.

    Each worker gets a part, if there are as many assets. There are more only where that is worth the starts.
    """
    rows = sum(task.rows for task in tasks)
    worth = max(rows // ROWS_WORTH_A_START, len(tasks) // ASSETS_WORTH_A_START)
    number = min(len(tasks), max(workers, min(PARTS_PER_SLOT * slots, worth)))
    average = max(rows, 1) / max(len(tasks), 1)  # an asset costs something beside its rows
    weights = [task.rows + average for task in tasks]
    parts: list[tuple[Task, ...]] = []
    first = 0
    for left in range(number, 0, -1):
        end = _end(weights, first, len(tasks) - left + 1, sum(weights[first:]) / left)
        parts.append(tuple(tasks[first:end]))
        first = end
    return parts


def _end(weights: Sequence[float], first: int, last: int, goal: float) -> int:
    """Where a part ends that begins with ``first``: near the goal, with one asset at least, and before ``last``."""
    end, taken = first, 0.0
    while end < last and (end == first or taken + weights[end] / 2 <= goal):
        taken += weights[end]
        end += 1
    return end
