"""How each kind of builder brings one batch up to date inside a transaction: the only place where kinds differ."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from refresh.builder import daily, emas, windowed
from refresh.builder.done import Done
from refresh.catalog import Kind, Leg
from refresh.core.span import Batch
from refresh.store.survey import Scope

Recipe = Callable[[Connection, Scope, Leg, Batch], Done]

RECIPES: dict[Kind, Recipe] = {
    Kind.DAILY: daily.refresh,
    Kind.WINDOWED: windowed.refresh,
    Kind.EMA_OVER_BARS: emas.refresh_over_bars,
    Kind.EMA_OVER_DAYS: emas.refresh_over_days,
}
