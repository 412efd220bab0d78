"""Answers by hand: the CSV files of tests/answers. No code under test writes them."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "answers"


def read_answers(name: str) -> list[dict[str, str]]:
    """The lines of a file, by column; lines that begin with ``#`` are comments."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    names, *rows = [list(map(str.strip, row)) for row in csv.reader(lines)]
    return [dict(zip(names, row, strict=True)) for row in rows]
