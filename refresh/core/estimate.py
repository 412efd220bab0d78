"""How long a step will take, from how long earlier ones took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN_RATE = 50_000.0
"""Rows a second where a builder has no history: about what two cores and one disk do."""
START_SECONDS = 0.6
"""What a builder process needs before its first row."""


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier step of a builder that ended: the rows that were expected of it, those it wrote, its seconds."""

    estimated_rows: int
    rows: int
    seconds: float


def seconds_needed(estimated_rows: int, past: Sequence[Past]) -> float:
    """The seconds that a step of so many rows will take.

    Told by the earlier step of most like size, the newest of equals: what lies above the start of a process grows with
    the rows. Estimates of rows are compared with estimates, so what they miss by is missed on both sides.
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
