"""Figures as one table for people, and as one document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.figures import Figure

HEADER = ("measure", "figure", "goal", "met", "samples", "at")
LIMITS = ("measure", "figure", "limit", "kept", "samples", "at")
"""The header of figures whose goals are limits."""
_MET = {True: "yes", False: "**no**", None: ""}


def lines(figures: Sequence[Figure], header: tuple[str, ...] = HEADER) -> Iterator[str]:
    """A table in Markdown whose columns are aligned, so that it can be read as it is."""
    rows = [header, *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"| {' | '.join(padded)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"


def _cells(figure: Figure) -> tuple[str, ...]:
    goal = figure.goal.write(figure.unit) if figure.goal else ""
    return (
        figure.name,
        figure.unit.write(figure.value),
        goal,
        _MET[figure.is_met],
        _range(figure),
        figure.note,
    )


def _range(figure: Figure) -> str:
    """The number of samples and, of several, the smallest and the largest."""
    if len(figure.samples) == 1:
        return "1"
    least, most = (figure.unit.write(value) for value in (min(figure.samples), max(figure.samples)))
    return f"{len(figure.samples)}: {least} - {most}"


def summary(figures: Sequence[Figure], header: tuple[str, ...] = HEADER) -> str:
    """How many goals are met, or limits kept."""
    judged = [figure.is_met for figure in figures if figure.goal]
    _, _, goal, met, *_ = header
    return f"{sum(map(bool, judged))} of {len(judged)} {goal}s {met}"


def document(machine: dict[str, Any], figures: Sequence[Figure], *, scale: float, seconds: float) -> dict[str, Any]:
    """The same for programs. Shares and ratios are plain numbers, times are seconds, sizes are MB."""
    return {"machine": machine, "scale": scale, "seconds": round(seconds, 1), "figures": [*map(_entry, figures)]}


def _entry(figure: Figure) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "measure": figure.name,
        "value": figure.value,
        "unit": figure.unit.name.lower(),
        "samples": list(figure.samples),
        "at": figure.note,
    }
    if figure.goal:
        bound = "at_least" if figure.goal.is_least else "at_most"
        entry |= {bound: figure.goal.limit, "met": figure.is_met}
    return entry
