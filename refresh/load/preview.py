"""What a file would be read as: each column with its title, what it means, and three lines. Needs no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np

from refresh.core.rows import NULL_TEXT
from refresh.errors import ExitCode
from refresh.load.days import Zone
from refresh.load.files import Notify, PriceFile, open_file
from refresh.load.header import Header, PriceFileError, shown
from refresh.load.loading import Choices
from refresh.load.notation import settle
from refresh.load.prices import Prices, Reading, read_prices
from refresh.wording import listed

_LINES = 3
_SHOWN = ("id", "name", "timestamp", "timeopen", "timeclose", "timehigh", "timelow",
          "open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")  # fmt: skip

Say = Callable[[str], None]


def preview(files: Iterable[PriceFile], choices: Choices, say: Say, notify: Notify) -> int:
    """Show how files would be read. Returns the exit code: 0 if each of them can be."""
    code = ExitCode.DONE
    for file in files:
        try:
            for line in _lines(file, choices, notify):
                say(line)
        except PriceFileError as error:
            notify(f"error: {file.path}: {error}")
            code = ExitCode.FAILED
    say("Dry run: nothing was loaded.")
    return code


def _lines(file: PriceFile, choices: Choices, notify: Notify) -> list[str]:
    with open_file(file.path) as opened:
        header = opened.text.header
        how = Reading(
            assignment=file.assignment,
            notation=settle(opened.text, choices.notation),
            zone=Zone(choices.tz or "UTC"),
        )
        block = next(read_prices(opened.text, how), None)
    head = f"{file.path}: header in line {header.line}, separated by {header.separator!r}, {_notation(how)}"
    if block is None:
        return [head, f"{file.path}: no lines"]
    for line in islice(block.bad, _LINES):
        notify(f"{file.path}:{line}")
    unused = [f"{file.path}: not used: {listed(map(shown, header.unused))}"] if header.unused else []
    return [head, *_table(header, block), *unused]


def _notation(how: Reading) -> str:
    order = f", dates {how.notation.order.value}" if how.notation.order else ""
    return f"decimals after {how.decimal.value!r}{order}, days in {how.zone.name}"


def _table(header: Header, block: Prices) -> list[str]:
    """A line per column: what it is stored as, its title, and the first values."""
    lines = block.rows["line"][:_LINES].tolist()
    table = [["column", "title", *(f"line {line}" for line in lines)]]
    read = [name for name in _SHOWN if name in block.rows]
    table += [[name, _title(header, name), *map(_text, block.rows[name][:_LINES])] for name in read]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_joined(row, widths) for row in table]


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    return ("  " + "  ".join(cells)).rstrip()


def _title(header: Header, name: str) -> str:
    if name not in header.places.indexes:
        return "(follows)"
    clock = header.places.clock
    behind = f" {header.titles[clock]}" if name == "timestamp" and clock is not None else ""
    return shown(header.title(name)) + behind


def _text(value: np.generic) -> str:
    if isinstance(value, np.datetime64):
        return "" if np.isnat(value) else str(value.astype("M8[ms]"))
    if isinstance(value, bytes):
        return "" if value == NULL_TEXT else shown(value.decode())
    if isinstance(value, np.floating):
        return "" if np.isnan(value) else f"{value:.15g}"
    return str(value)
