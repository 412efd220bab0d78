"""A few rows as text: the first and the last ones, and as many columns as fit a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refresh.core.rows import Array
from refresh.wording import counted, escaped, listed

WIDTH = 100
"""The characters of a line."""
ROWS_AT_ONCE = 5
"""Of more than twice as many rows, this number of the first and of the last ones is shown."""
_LONGEST = 40
_GAP = "  "


def picture(columns: Mapping[str, Array], title: str) -> str:
    """The rows as a table under a line that counts them and names where they are from."""
    rows = len(next(iter(columns.values()), ()))
    texts = {name: _texts(name, column) for name, column in columns.items()}
    shown, hidden = _fitting(texts)
    lines = [f"{counted(rows, 'row')} of {title}"]
    if rows:
        lines += map("".join, zip(*shown.values(), strict=True))
    else:
        lines.append(listed(columns))
    if rows and hidden:
        lines.append(f"and {counted(len(hidden), 'column')} more: {listed(hidden)}")
    return "\n".join(lines)


def _fitting(texts: Mapping[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """The columns that fit, their texts padded to equal width; and the names of the others."""
    shown: dict[str, list[str]] = {}
    used = 0
    for name, cells in texts.items():
        width = max(map(len, cells)) + len(_GAP) * bool(shown)
        used += width
        if shown and used > WIDTH:
            break
        shown[name] = [cell.rjust(width) for cell in cells]
    return shown, [name for name in texts if name not in shown]


def _texts(name: str, column: Array) -> list[str]:
    """The title of a column, its first rows and, after dots if there are more, its last rows."""
    if len(column) <= 2 * ROWS_AT_ONCE:
        return [name, *_cells(column)]
    first = _cells(column[:ROWS_AT_ONCE])
    last = _cells(column[-ROWS_AT_ONCE:])
    return [name, *first, "...", *last]


def _cells(column: Array) -> Iterator[str]:
    if column.dtype.kind == "M":
        yield from map(_time, column)
        return
    for value in column.tolist():
        yield _value(value)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if np.isnan(value) else f"{value:.10g}"
    text = escaped(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _time(value: np.datetime64) -> str:
    """A time without what is zero at its end, e.g. 2024-12-30 or 2024-12-30 23:59:59.999."""
    if np.isnat(value):
        return "NaT"
    text = str(value).replace("T", " ").removesuffix(" 00:00:00.000000")
    return text.rstrip("0").rstrip(".") if "." in text else text
