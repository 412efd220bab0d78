"""How each kind of builder brings one batch up to date inside a transaction: the only place where kinds differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from refresh.builder import daily, emas, windowed
from refresh.builder.done import Done
from refresh.catalog import Kind, Leg
from refresh.core.span import Batch
from refresh.store.survey import Scope


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a batch is brought up to date, and how many times over its rows are in memory meanwhile."""

    refresh: Callable[[Connection, Scope, Leg, Batch], Done]
    held: int = 1


RECIPES: dict[Kind, Recipe] = {
    Kind.DAILY: Recipe(daily.refresh, held=3),  # raw rows, with texts of any length, beside the bars made of them
    Kind.WINDOWED: Recipe(windowed.refresh),
    Kind.EMA_OVER_BARS: Recipe(emas.refresh_over_bars),
    Kind.EMA_OVER_DAYS: Recipe(emas.refresh_over_days),
}
