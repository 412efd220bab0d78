"""A leg: from input tables to one target table, and the tables beside it.

Knows nothing of which legs there are; ``catalog`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from refresh.families import Family
from refresh.shapes import Average, Shape, shelf_width


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a leg, and the columns that the leg reads: a change of any of them concerns it."""

    table: str
    columns: tuple[str, ...] = ()


NO_INPUT = Input("")


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """Inputs -> target.

    ``target``: the name that readers use. Averages are packed: their target is a view of ``table``, and ``places`` says
    which series is where. ``follows``: the input whose rows the leg counts and whose watermark it follows, with the
    columns that it reads. ``averages``, ``price``, ``formula``: what a table of averages holds, of which column, by
    which formula of ``core.ema``; bars have none. ``version``: that of the formulas and columns, raised by hand with
    either; rows of an older one are rebuilt.
    """

    target: str
    shape: Shape
    follows: Input
    family: Family | None = None
    price: Input = NO_INPUT
    formula: str = ""
    averages: tuple[Average, ...] = ()
    version: int = 1

    @property
    def table(self) -> str:
        """The table that the builder writes."""
        return f"{self.target}_packed" if self.averages else self.target

    @property
    def places(self) -> str:
        """The table of the series of packed averages."""
        return f"{self.target}_series"

    @property
    def shelf_width(self) -> int:
        """The number of series that a row of the table has room for."""
        return shelf_width(self.averages) if self.averages else 1

    @property
    def state(self) -> str:
        """The table that says how far the target has come."""
        return f"{self.target}_state"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every table that the leg reads, the followed one last."""
        if self.price.table in {NO_INPUT.table, self.follows.table}:
            return (self.follows.table,)
        return self.price.table, self.follows.table
