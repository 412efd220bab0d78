"""How each kind of builder brings a batch up to date, or builds it from the first day. Only here do kinds differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from refresh.builder import counting, daily, emas, windowed
from refresh.builder.counting import Counting
from refresh.builder.done import Done
from refresh.builder.reading import Rebuild, Refresh
from refresh.catalog import BuilderConfig, Kind
from refresh.core.rows import Rows
from refresh.core.series import Series


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a batch is brought up to date, and how rows are built from the rows of their inputs in memory alone.

    ``needed``: the number of rows of its input that a series counts up to its first row. ``copies_in_memory``: the
    number of copies of a batch's rows that are in memory meanwhile.
    """

    refresh: Callable[[Refresh], Done]
    rebuild: Callable[[Rebuild], Rows]
    needed: Callable[[Series], int]
    copies_in_memory: int = 1


def _first(_: Series) -> int:
    """Bars begin with the first row of their input."""
    return 1


def _averages(counting: Counting) -> Recipe:
    return Recipe(
        refresh=partial(emas.refresh, counting=counting),
        rebuild=partial(emas.rebuild, counting=counting),
        needed=counting.needed,
    )


_RECIPES: dict[Kind, Recipe] = {
    # raw rows, with texts of any length, are in memory beside the bars made of them
    Kind.DAILY: Recipe(refresh=daily.refresh, rebuild=daily.rebuild, needed=_first, copies_in_memory=3),
    Kind.WINDOWED: Recipe(refresh=windowed.refresh, rebuild=windowed.rebuild, needed=_first),
    Kind.EMA_OVER_BARS: _averages(counting.BARS),
    Kind.EMA_OVER_DAYS: _averages(counting.DAYS),
}


def recipe_of(builder: BuilderConfig) -> Recipe:
    """The recipe of a builder."""
    return _RECIPES[builder.kind]
