"""What vendors of prices do to the price table: new days, corrections, deletions. The same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from bench.server import LAST, Size
from refresh.catalog import SOURCE

RECENT = 10
"""Most corrections are of one of the last days."""
_WRITE = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    VALUES (:id, CAST(:time AS timestamptz) - interval '23:59:59', :time, :open, :high, :low, :close, :volume, :time)
    ON CONFLICT (id, "timestamp") DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume
"""
_DELETE = f'DELETE FROM {SOURCE} WHERE id = :id AND "timestamp" = :time'


@dataclass(kw_only=True, slots=True)
class Changes:
    """What happens to the price table at once: rows written over what there is, and rows deleted."""

    written: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[dict[str, Any]] = field(default_factory=list)

    def apply(self, engine: Engine) -> None:
        """Change the price table of a database."""
        with engine.begin() as connection:
            for statement, rows in ((_WRITE, self.written), (_DELETE, self.deleted)):
                if rows:
                    connection.execute(text(statement), rows)


class Vendor:
    """The vendor of prices that a database begins with, a row per asset and day; days are numbered from the first."""

    def __init__(self, size: Size, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it decides nothing secret
        self._first = LAST - timedelta(days=size.days - 1)
        self._days = {asset: set(range(size.days)) for asset in range(1, size.assets + 1)}
        self._gone: list[tuple[int, int]] = []
        self._last = size.days - 1

    def night(self, number: int) -> Changes:
        """A new day of each asset, and corrections: of recent days in three assets, sometimes of older ones."""
        changes = Changes()
        known = list(self._days)
        self._append(changes, known)
        for asset in self._some(known, 3):
            self._correct(changes, asset, self._recent(asset))
        if number % 10 == 0:
            self._correct(changes, *self._anywhere())
        if number % 25 == 0:
            self._delete(changes, *self._anywhere())
        if number % 25 == 12 and self._gone:  # noqa: PLR2004 - in the middle between two deletions
            self._correct(changes, *self._gone.pop())
        return changes

    def race(self) -> Changes:
        """Some of everything: new days and assets, corrections of any day, deletions, days without a usable price."""
        changes = Changes()
        known = list(self._days)
        self._append(changes, self._some(known, self._random.randint(1, len(known))))
        for _ in range(self._random.randint(1, 3)):
            self._correct(changes, *self._anywhere())
        if self._random.random() < 0.7:  # noqa: PLR2004 - shares of races
            self._delete(changes, *self._anywhere())
        if self._random.random() < 0.3:  # noqa: PLR2004
            self._list_asset(changes)
        if self._random.random() < 0.3:  # noqa: PLR2004
            asset, day = self._anywhere()
            changes.written.append({**self._price(asset, day), "high": self._random.choice([None, -1.0])})
        return changes

    def _append(self, changes: Changes, assets: Sequence[int]) -> None:
        self._last += 1
        for asset in assets:
            self._correct(changes, asset, self._last)

    def _list_asset(self, changes: Changes) -> None:
        asset = max(self._days) + 1
        self._days[asset] = set()
        for day in range(self._last - self._random.randint(5, 60), self._last + 1):
            self._correct(changes, asset, day)

    def _correct(self, changes: Changes, asset: int, day: int) -> None:
        changes.written.append(self._price(asset, day))
        self._days[asset].add(day)

    def _delete(self, changes: Changes, asset: int, day: int) -> None:
        if len(self._days[asset]) > 1:
            self._days[asset].discard(day)
            self._gone.append((asset, day))
            changes.deleted.append({"id": asset, "time": self._time(day)})

    def _some(self, assets: Sequence[int], number: int) -> list[int]:
        return self._random.sample(assets, min(number, len(assets)))

    def _recent(self, asset: int) -> int:
        return self._random.choice(sorted(self._days[asset])[-RECENT - 1 : -1] or [self._last])

    def _anywhere(self) -> tuple[int, int]:
        asset = self._random.choice(list(self._days))
        return asset, self._random.choice(sorted(self._days[asset]))

    def _time(self, day: int) -> datetime:
        return self._first + timedelta(days=day)

    def _price(self, asset: int, day: int) -> dict[str, Any]:
        price = self._random.uniform(80, 120)
        return {
            "id": asset,
            "time": self._time(day),
            "open": price,
            "high": price * 1.02,
            "low": price * 0.98,
            "close": price * self._random.uniform(0.99, 1.01),
            "volume": self._random.uniform(1e5, 1e6),
        }
