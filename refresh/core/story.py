"""What the database alone can tell of a run: which known prices changed, and who fails since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Restated:
    """One line of the ledger: prices of an asset that were known and changed."""

    id: int
    first_day: date
    last_day: date
    rows: int
    old_close: float | None
    new_close: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run restated, and since when each (builder, asset) that it left unfinished has been so, if for longer.

    ``known_notices``: what the run before it told already.
    """

    restated: tuple[Restated, ...] = ()
    failing_since: tuple[tuple[str, int, datetime], ...] = ()
    known_notices: tuple[str, ...] = ()
