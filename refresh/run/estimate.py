"""How long a step will take, from how long earlier ones took."""

from __future__ import annotations

from collections.abc import Sequence

from refresh.records import PastStep

UNKNOWN_RATE = 50_000.0
"""Rows a second where a builder has no history: about what two cores and one disk do."""
START_SECONDS = 0.6
"""What a builder process needs before its first row."""


def seconds_needed(estimated_rows: int, past: Sequence[PastStep]) -> float:
    """The seconds that a step with this many estimated rows will take.

    Scales the most similar earlier step (the newest on a tie): the time above a process's start grows with the rows.
    Estimates are compared with estimates, so that their error cancels out.
    """
    known = [step for step in past if step.estimated_rows > 0]
    if not known:
        return START_SECONDS + estimated_rows / UNKNOWN_RATE
    like = min(known, key=lambda step: _distance(step.estimated_rows, estimated_rows))
    work = max(like.seconds - START_SECONDS, 0.0)
    start = min(like.seconds, START_SECONDS)
    return start + work * estimated_rows / like.estimated_rows


def _distance(one: int, other: int) -> float:
    smaller, larger = sorted((max(one, 1), max(other, 1)))
    return larger / smaller
