"""The table of figures, and the same as a document."""

from __future__ import annotations

from bench.figures import Figure, Goal, Unit
from bench.machine import first_line
from bench.table import document, lines, summary

FIGURES = [
    Figure(name="bytes", samples=[0.38], unit=Unit.PERCENT, goal=Goal(0.4), note="3 assets"),
    Figure(name="a night", samples=[6.0, 5.5, 7.25], unit=Unit.SECONDS, goal=Goal(5)),
    Figure(name="pandas", samples=[20.0], unit=Unit.TIMES),
]
MACHINE = {
    "cores": 2,
    "memory_gb": 25.3,
    "os": "Linux 6.1 x86_64",
    "python": "3.11.7",
    "postgresql": "18.4",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}


def test_table() -> None:
    """A row per figure, in aligned columns: its goal, whether it is met, and its samples."""
    assert list(lines(FIGURES)) == [
        "| measure | figure | goal      | met    | samples            | at       |",
        "|---------|--------|-----------|--------|--------------------|----------|",
        "| bytes   | 38%    | <= 40%    | yes    | 1                  | 3 assets |",
        "| a night | 6.00 s | <= 5.00 s | **no** | 3: 5.50 s - 7.25 s |          |",
        "| pandas  | 20.0 x |           |        | 1                  |          |",
    ]


def test_summary() -> None:
    """Figures without a goal do not count."""
    assert summary(FIGURES) == "1 of 2 goals met"
    assert summary([]) == "0 of 0 goals met"


def test_document() -> None:
    """Programs get numbers: medians, samples, and bounds."""
    made = document(MACHINE, FIGURES, scale=0.5, seconds=12.34)
    assert (made["machine"], made["scale"], made["seconds"]) == (MACHINE, 0.5, 12.3)
    size, night, pandas = made["figures"]
    assert size == {
        "measure": "bytes",
        "value": 0.38,
        "unit": "percent",
        "samples": [0.38],
        "at": "3 assets",
        "at_most": 0.4,
        "met": True,
    }
    assert (night["value"], night["samples"], night["met"]) == (6.0, [6.0, 5.5, 7.25], False)
    assert "met" not in pandas


def test_machine() -> None:
    """The first line names the machine, and the settings that protect what is written."""
    assert first_line(MACHINE) == (
        "2 cores, 25.3 GB, Linux 6.1 x86_64, Python 3.11.7, PostgreSQL 18.4 "
        "(fsync on, full_page_writes on, synchronous_commit on)"
    )
