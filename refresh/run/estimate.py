"""How long a step will take, from how long earlier steps of its builder took. Knows no plan and no clock."""

from __future__ import annotations

from collections.abc import Sequence

from refresh.records import PastStep

UNKNOWN_RATE = 50_000.0
"""Rows per second of a builder without history: about what two cores and one disk do."""
START_SECONDS = 0.6
"""The seconds that a builder process needs before its first row."""


def seconds_needed(estimated_rows: int, past: Sequence[PastStep]) -> float:
    """The seconds that a step with this many estimated rows will take.

    Scales the most similar earlier step (the newest on a tie): the time above a process's start grows with the rows.
    Estimates are compared with estimates, so that their error cancels out.
    """
    comparable = [step for step in past if step.estimated_rows > 0]
    if not comparable:
        return START_SECONDS + estimated_rows / UNKNOWN_RATE
    similar = min(comparable, key=lambda step: _ratio(step.estimated_rows, estimated_rows))
    start = min(similar.seconds, START_SECONDS)
    work = similar.seconds - start
    return start + work * estimated_rows / similar.estimated_rows


def _ratio(rows: int, other_rows: int) -> float:
    smaller, larger = sorted((max(rows, 1), max(other_rows, 1)))
    return larger / smaller
