"""Price files that were good: what their lines say, and what has happened to some of them."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import strategies as st

FIRST = date(2020, 1, 1)
TITLES = ("date", "open", "high", "low", "close", "volume")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
LINE_END = re.compile("\r\n|\r|\n")
CELLS = (
    *("", " ", "-", "NaN", "null", "inf", "-inf", "1e400", "1e-400", "-0.0", "-1", "0", "+5", "1_000", "0x10", "1e5"),
    *("1e5k", "5k", "1e5e5", "\u0663", "\u00b2", "1,5", "1,234.5", "1.234.567", "1 234", "$5", "5%", "{}", "{0}", "%s"),
    *("=1+1", "'1'", '"', '""', '"a', 'a"b', '1"2', "\0", "1\0", "\x1b[2J", "\u202e", "\ufeff", "\ufffd", "\x85"),
    *("9" * 5_000, "1" * 70_000, "x" * 140_000, "0." + "0" * 2_000 + "1", " " * 9_000 + "x"),
    *("2020-01-05" + " " * 9_000, "2020-01-05 1" + " " * 9_000 + "x", "2020-01-05 1" + " " * 90 + "x"),
    *("2020-13-45", "2020-02-30", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "2020-01-05", "05/04/2020"),
    *("2020-01-05T24:00:00", "2020-01-05T10:00:00+99:99", "2020-01-05 23:59:59.999999+14:00", "1578182400", "43835"),
    *("1578182400000000000", "99999999999", "Jan 5, 2020", "Jan" + "a" * 500 + " 5 2020", "5 of May", "-infinity"),
)  # fmt: skip
"""What stands in a cell of a damaged line."""

signs = st.characters(exclude_categories=["Cs"])
pieces = st.one_of(st.sampled_from(["\n", "\r", ",", ";", "\t", '"', "\0", "\x1a", " "]), st.text(signs, max_size=6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A file, the prices of its good lines by day, and the numbers of the lines that those days are in."""

    data: bytes
    is_packed: bool
    separator: str
    prices: dict[date, tuple[float, ...]]
    numbers: dict[date, int]
    lines: list[str]

    @property
    def name(self) -> str:
        """The name of the file."""
        return "x.csv.gz" if self.is_packed else "x.csv"


def good_cells(day: int, seed: int) -> list[str]:
    """The cells of a day; no number of them has three decimals, which could be thousands."""
    low = 10 + (seed * 7 + day * 3) % 50
    cells = [low + 1.25, low + 2.5, low + 0.05, low + 1.75]
    return [str(FIRST + timedelta(days=day)), *(f"{cell:.2f}" for cell in cells), str(1000 + day)]


@st.composite
def damaged_lines(draw: st.DrawFn, cells: list[str], separator: str) -> list[str]:
    """What has become of a line: itself with another cell, cut, torn apart, or more than once."""
    line = separator.join(cells)
    place = draw(st.integers(0, len(line)))
    way = draw(st.sampled_from(["cell", "cell", "cell", "insert", "cut", "remove", "twice", "differs", "glued"]))
    if way == "cell":
        index = draw(st.integers(0, len(cells) - 1))
        return [separator.join([*cells[:index], draw(st.sampled_from(CELLS) | pieces), *cells[index + 1 :]])]
    return {
        "insert": [line[:place] + draw(pieces) + line[place:]],
        "cut": [line[:place]],
        "remove": [line[:place] + line[place + 3 :]],
        "twice": [line, line],
        "differs": [line, separator.join([*cells[:4], "11.11", *cells[5:]])],
        "glued": [line + line],
    }[way]


@st.composite
def damaged_files(draw: st.DrawFn) -> Damaged:
    """A file of some days in which a few lines are damaged, and the line of titles is not."""
    separator = draw(st.sampled_from(",;\t|"))
    number, seed = draw(st.integers(4, 14)), draw(st.integers(0, 49))
    victims = draw(st.sets(st.integers(0, number - 1), max_size=3))
    lines, good = [separator.join(TITLES)], dict[date, int]()
    prices: dict[date, tuple[float, ...]] = {}
    for day in range(number):
        cells = good_cells(day, seed)
        if day in victims:
            for text in draw(damaged_lines(cells, separator)):
                lines += LINE_END.split(text)
            continue
        lines.append(separator.join(cells))
        good[FIRST + timedelta(days=day)] = len(lines)
        prices[FIRST + timedelta(days=day)] = tuple(map(float, cells[1:]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(ENCODINGS))
    data = (end.join(lines) + draw(st.sampled_from(["", end, end * 3]))).encode(encoding, "replace")
    is_packed = draw(st.sampled_from([False, False, True]))
    return Damaged(
        data=gzip.compress(data, 1) if is_packed else data,
        is_packed=is_packed,
        separator=separator,
        prices=prices,
        numbers=good,
        lines=lines,
    )


@st.composite
def ruins(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of which any bytes, those of titles and of packing too, are others, are gone, or stand for nothing."""
    file = draw(damaged_files())
    data = bytearray(file.data)
    for _ in range(draw(st.integers(1, 5))):
        first = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data[first : first + length] = draw(st.binary(max_size=12))
    mark = draw(
        st.sampled_from([b"", b"", b"", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8, b"\x1f\x8b"])
    )
    return file.name, mark + bytes(data)


def readings(cell: str) -> set[float]:
    """Every number that somebody may read in a cell: with either decimal sign, grouped, in thousands or millions."""
    text = re.sub(r"[$\s'\u2019\u00a0]", "", cell).lower()
    scaled = re.fullmatch(r"(.*?)(k|mn?|bn?|t)", text)
    scale = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[scaled[2][0]] if scaled else 1.0
    found = set()
    for plain in (text, text.replace(",", ""), text.replace(".", "").replace(",", ".")):
        try:
            found.add(float(plain.removesuffix(scaled[2]) if scaled else plain) * scale)
        except ValueError:
            continue
    return found


def rows_of(line: str, separator: str) -> list[str]:
    """The cells of a line as Python's own reader cuts it."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error:
        return [line]
