"""Nights on which files arrive as the world writes them: after each of them, the tables are those of a rebuild."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from refreshing import FEW, digests, enable, open_scopes, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import BUILDERS
from refresh.load.assets import Asset, Assignment
from refresh.load.files import PriceFile
from refresh.load.loading import Choices, FileResult, load
from refresh.options.request import Request
from refresh.store.database import connect

TITLES = "Date,Open,High,Low,Close,Volume\n"
APPLE = Assignment(asset=Asset(id=7, name="Apple"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    with connect(database_url) as engine:
        yield engine


@dataclass
class Nights:
    """Files that arrive night after night in one time zone, and what was said about them."""

    engine: Engine
    folder: Path
    tz: str = "UTC"
    number: int = 0

    def arrive(self, *lines: str, titles: str = TITLES) -> tuple[FileResult, list[str]]:
        """Load a file of these lines, refresh, and compare with a rebuild. Returns what loading it said."""
        self.number += 1
        path = self.folder / f"night{self.number}.csv"
        path.write_text(titles + "".join(f"{line}\n" for line in lines))
        said: list[str] = []
        now = datetime(2024, 3, self.number, tzinfo=UTC)
        file = PriceFile(path=path, assignment=APPLE)
        result = load(file, self.engine, now=now, choices=Choices(tz=self.tz), notify=said.append)
        assert result.problem is None
        request = Request(tz=self.tz, accept_restatement=True)
        open_scopes(self.engine, request, BUILDERS[:1])
        execute(self.engine, "INSERT INTO dim_period (period, sort_order) VALUES (2, 0) ON CONFLICT DO NOTHING")
        enable(self.engine, FEW, [2])
        assert not [outcome.error for outcome in refresh(self.engine, request) if outcome.error]
        refreshed = digests(self.engine)
        refresh(self.engine, Request(tz=self.tz, full_rebuild=True))
        assert digests(self.engine) == refreshed
        assert refreshed["cmc_ema_multi_tf"][0]
        return result, [line.partition(": ")[2] for line in said]

    def days(self) -> list[tuple[str, float]]:
        """The days of the bars with their closes."""
        query = 'SELECT ("timestamp" AT TIME ZONE :tz)::date::text, close FROM cmc_price_bars_1d ORDER BY 1'
        return [tuple(row) for row in ask(self.engine, query, tz=self.tz)]


def prices(days: Sequence[int], close: float = 10, *, stamp: str = "") -> list[str]:
    """Lines of some days of January 2024."""
    return [f"2024-01-{day:02}{stamp},10,20,5,{close + day / 10},100" for day in days]


@pytest.mark.parametrize("tz", ["Asia/Tokyo", "America/New_York"])
def test_dates_midnights_and_offsets(engine: Engine, tmp_path: Path, tz: str) -> None:
    """Dates, midnights and stamps with an offset of the same days are these days, with the newest file's prices."""
    nights = Nights(engine, tmp_path, tz)
    nights.arrive(*prices(range(1, 16)))
    assert nights.arrive(*prices(range(10, 18), 11, stamp=" 00:00:00"))[0].counts.changed == 6
    nights.arrive(*prices(range(15, 20), 12, stamp=" 00:00:00+09:00"))
    nights.arrive(*prices(range(18, 23), 13, stamp="T00:00:00Z"))
    result, said = nights.arrive(*prices(range(1, 23), 14, stamp=" 16:30:00"))
    assert said == ["notice: 22 days from 2024-01-01 on, stored at another time of day, are at this file's now"]
    assert (result.counts.changed, result.counts.inserted) == (22, 0)
    assert nights.days() == [(f"2024-01-{day:02}", 14 + day / 10) for day in range(1, 23)]


def test_partial_downloads(engine: Engine, tmp_path: Path) -> None:
    """A download that stops halfway takes no price away, and what it names without prices is said."""
    nights = Nights(engine, tmp_path)
    nights.arrive(*prices(range(1, 20)))
    empty = [f"2024-01-{day:02},NaN,NaN,NaN,NaN,NaN" for day in (18, 19)]
    _, said = nights.arrive(*prices([17], 11), *empty, *prices([22], 11))
    kept = "notice: no prices in the file for 2 days that have some: 2024-01-18, 2024-01-19; they are kept"
    assert said == [f"{kept} (--replace-with-empty replaces them)"]
    nights.arrive("2024-01-23,,,,,")
    nights.arrive(*prices([23], 11))
    nights.arrive(*prices([19, 23], 12))
    closes = dict(nights.days())
    assert [round(closes[f"2024-01-{day}"], 1) for day in (17, 18, 19, 22, 23)] == [12.7, 11.8, 13.9, 13.2, 14.3]


def test_days_stored_twice(engine: Engine, tmp_path: Path) -> None:
    """A source that has days twice, as dates and as midnights, is mended by loading a file of these days."""
    nights = Nights(engine, tmp_path)
    nights.arrive(*prices(range(1, 20)))
    execute(
        engine,
        """INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, load_ts)
           SELECT id, date_trunc('day', "timestamp"), timeopen, timeclose, open, high, low, 7, load_ts + interval '1 s'
           FROM cmc_price_histories7 WHERE "timestamp" < '2024-01-06'""",
    )
    nights.arrive(*prices([25]))
    result, said = nights.arrive(*prices(range(1, 4), 11))
    assert said == ["notice: 3 rows of days from 2024-01-01 on that had several are replaced by this file's"]
    assert (result.counts.changed, result.counts.inserted) == (3, 0)
    nights.arrive(*prices([26]))
    nights.arrive(*prices(range(1, 27), 12))
    assert nights.days() == [(f"2024-01-{day:02}", 12 + day / 10) for day in range(1, 27)]
