"""Price files with anything in them: no good line is lost silently, no row is made up, nothing ends in a traceback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import database
from hypothesis import given
from inputs.damaged_files import Damaged, damaged_files, readings, rows_of, ruins
from inputs.effort import searched
from sqlalchemy import URL, Engine
from statements import ask, execute

from refresh.load.assets import Asset, Assignment
from refresh.load.files import PriceFile
from refresh.load.loading import Choices, FileResult, load
from refresh.load.preview import preview
from refresh.store.database import connect
from refresh.wording import escaped

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SEVEN = Assignment(asset=Asset(id=7))
STORED = """SELECT ("timestamp" AT TIME ZONE 'UTC')::date, open, high, low, close, volume
    FROM cmc_price_histories7 ORDER BY "timestamp" """


@pytest.fixture(scope="module")
def prices(server: URL, template: str) -> Iterator[Engine]:
    """A database for all files, one after the other."""
    with database(server, template) as url, connect(url) as engine:
        yield engine


def loaded(engine: Engine, path: Path) -> tuple[FileResult, list[str]]:
    """Load a file into an empty table. Returns the result, and what is said meanwhile: one line each."""
    execute(engine, "DELETE FROM cmc_price_histories7")
    said: list[str] = []
    result = load(PriceFile(path=path, assignment=SEVEN), engine, now=NOW, choices=Choices(), notify=said.append)
    assert not [line for line in said if "\n" in escaped(line) or len(escaped(line)) > 2_000]
    preview([PriceFile(path=path, assignment=SEVEN)], Choices(), said.append, said.append)
    return result, said


def same(stored: float | None, cell: str) -> bool:
    """Whether a stored number is one that somebody may read in a cell."""
    if stored is None:
        return cell == "" or not readings(cell) or any(map(math.isnan, readings(cell)))
    return any(stored == number or math.isclose(stored, number) for number in readings(cell))


@searched(2)
@given(file=damaged_files())
def test_a_few_damaged_lines(prices: Engine, tmp_path: Path, file: Damaged) -> None:
    """Every good line is a row, or named with the reason; every row is that of a line; no line vanishes in silence."""
    (tmp_path / file.name).write_bytes(file.data)
    result, said = loaded(prices, tmp_path / file.name)
    if result.problem:
        assert result.counts.rows == len(ask(prices, STORED)) == 0
        return
    stored = {day: tuple(numbers) for day, *numbers in ask(prices, STORED)}
    named = {line.removeprefix(f"{tmp_path / file.name}:").partition(":")[0] for line in said}
    for day, number in file.numbers.items():
        assert stored.get(day) == file.prices[day] or str(number) in named, f"line {number} is lost"
    for day in stored.keys() - file.prices.keys():
        assert is_written(stored[day], file), f"{day} {stored[day]} is in no line"
    assert_counted(result, file, len(stored), named)


def is_written(numbers: tuple[float | None, ...], file: Damaged) -> bool:
    """Whether a line of the file has these numbers."""
    cut = [rows_of(line, file.separator)[1:6] for line in file.lines[1:]]
    return any(len(cells) == 5 and all(map(same, numbers, cells)) for cells in cut)


def assert_counted(result: FileResult, file: Damaged, stored: int, named: set[str]) -> None:
    """Fail unless each line with a sign of ours in it is a row, or is named."""
    assert result.counts.rows == result.counts.inserted == stored
    with_text = [line for line in file.lines[1:] if any(rows_of(line, file.separator)) or line.count('"') % 2]
    said_of = {number for number in named if number.isdigit()}
    assert stored + len(said_of) >= len(with_text)


@searched(2)
@given(ruin=ruins())
def test_any_bytes(prices: Engine, tmp_path: Path, ruin: tuple[str, bytes]) -> None:
    """Whatever the bytes are, the file is refused in one line, or the numbers of each row are in one of its lines."""
    name, data = ruin
    (tmp_path / name).write_bytes(data)
    result, _ = loaded(prices, tmp_path / name)
    if result.problem:
        assert "\n" not in escaped(result.problem)
        assert not ask(prices, STORED)
    assert result.counts.rows == len(ask(prices, STORED))
