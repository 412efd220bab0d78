"""Lines and cells that nobody writes by hand: each spoils its own line, quickly, and no other."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from refresh.errors import UsageError
from refresh.load.assets import Asset, Assignment
from refresh.load.cell_numbers import Decimal, read_numbers
from refresh.load.cell_times import orders_of, read_stamps
from refresh.load.cells import read_ids
from refresh.load.days import Zone
from refresh.load.files import PriceFile, open_file
from refresh.load.loading import Choices, load
from refresh.load.manifest import read_manifest
from refresh.load.notation import Notation, settle
from refresh.load.prices import Reading, read_prices

SEVEN = Assignment(asset=Asset(id=7))
DAYS = [str(date(2000, 1, 1) + timedelta(days=day)) for day in range(9_000)]
HEADER = "date,open,high,low,close,name"


TOO_LONG = "longer than 1,048,576 bytes"


def read(path: Path, data: bytes) -> tuple[int, list[tuple[int, str]]]:
    """The number of rows of a file, and its bad lines, each with the reason."""
    path.write_bytes(data)
    rows, bad = 0, list[tuple[int, str]]()
    with open_file(path) as opened:
        how = Reading(assignment=SEVEN, notation=settle(opened.text, Notation()), zone=Zone("UTC"))
        for block in read_prices(opened.text, how):
            rows += len(block.rows["line"])
            bad += [(line.line, line.reason) for line in block.bad]
    return rows, bad


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_long_line_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    """A line of megabytes is a bad line, and all lines after it are read."""
    lines = [HEADER, *(f"{day},1,2,0.5,1.5,Ay" for day in DAYS)]
    lines[101] += "x" * 3_000_000
    assert read(tmp_path / "x.csv", "\n".join(lines).encode(encoding)) == (8_999, [(102, TOO_LONG)])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_large_file_with_any_line_ends(tmp_path: Path, end: str) -> None:
    """A file of megabytes has all its lines, whatever ends them."""
    lines = [HEADER, *(f"{day},1,2,0.5,1.5,{'A' * 300}" for day in DAYS)]
    assert read(tmp_path / "x.csv", end.join(lines).encode()) == (9_000, [])


def test_cut_line_is_no_row(tmp_path: Path) -> None:
    """A line that is too long is bad even if what is left of it has all fields: its last number is cut."""
    titles = ["date", *(f"n{number}" for number in range(9)), "open", "high", "low", "close"]
    line = ["2000-01-01", *(["y" * 116_505] * 9), "1", "2", "0.5", "1.5" + "0" * 100 + "1e5"]
    data = f"{','.join(titles)}\n{','.join(line)}\n".encode()
    assert read(tmp_path / "x.csv", data) == (0, [(2, TOO_LONG)])


def test_cells_that_python_refuses() -> None:
    """An id of thousands of digits is no id, and an exponent before a K is no number."""
    assert read_ids(["9" * 5_000])[1] == {0: "not an asset id, a whole number from 1 to 2147483647"}
    assert read_numbers(["1e5k", "1e5"], Decimal.POINT)[1] == {0: "not a number"}


@pytest.mark.parametrize("text", ["2020-01-05 1" + " " * 100_000 + "x", "Jan" + "a" * 100_000 + " 5 2020"])
def test_long_cells_take_no_time(text: str) -> None:
    """What is too long for a time is none, at once."""
    started = time.monotonic()
    assert read_stamps([text], None)[1] == {0: "not a time"}
    assert not orders_of(text)
    assert time.monotonic() - started < 1


def test_title_with_braces(engine: Engine, tmp_path: Path) -> None:
    """A title is repeated as it is written, and means nothing else."""
    path = tmp_path / "x.csv"
    path.write_text("{date},open,high,low,close\n2020-01-01,1,2,1,1\n2020-01-01,1,3,1,1\n", encoding="utf-8")
    said: list[str] = []
    now = datetime(2030, 1, 1, tzinfo=UTC)
    load(PriceFile(path=path, assignment=SEVEN), engine, now=now, choices=Choices(), notify=said.append)
    assert said == [
        f"{path}:{line}: {{date}}: 2020-01-01: line {other} has other prices for the same day"
        for line, other in ((2, 3), (3, 2))
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,id,id\na.csv,1,2\n", "has more than one column id; leave one of them"),
        ("file,id\n" + "a.csv,1\n" * 2_200_000, "has more than 16,777,216 bytes, as no manifest has"),
    ],
)
def test_manifests_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    """A manifest with two ids, or one without an end, is refused."""
    path = tmp_path / "manifest.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_manifest(path)
    with pytest.raises(UsageError, match="as no manifest has"):
        read_manifest(Path("/dev/zero"))
