"""The algebra of timeframes: what a label means, which families it belongs to, what a user's short form picks.

Knows nothing of days and windows; ``window`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from refresh.catalog import Alignment, Family, Scheme
from refresh.errors import DimensionError, UsageError

MONTHS_IN_YEAR = 12


class Unit(Enum):
    """The unit of a timeframe's length, as ``dim_timeframe.base_unit`` spells it."""

    DAY = "D"
    WEEK = "W"
    MONTH = "M"
    YEAR = "Y"


NOMINAL_DAYS = {Unit.DAY: 1, Unit.WEEK: 7, Unit.MONTH: 30, Unit.YEAR: 365}
_LABEL_OF_ALIGNMENT = {Alignment.ROLLING: "", Alignment.ALIGNED: "_CAL", Alignment.ANCHORED: "_CAL_ANCHOR"}


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A length, an alignment and, for calendar weeks, a scheme. Months and years serve both schemes."""

    quantity: int
    unit: Unit
    alignment: Alignment
    scheme: Scheme | None = None

    @property
    def tf(self) -> str:
        """The label, e.g. ``7D``, ``2W_CAL_US``, ``3M_CAL_ANCHOR``."""
        scheme = f"_{self.scheme.value}" if self.scheme else ""
        return f"{self.short}{_LABEL_OF_ALIGNMENT[self.alignment]}{scheme}"

    @property
    def short(self) -> str:
        """The length alone, e.g. ``7D``: what every family's timeframe of that length answers to."""
        return f"{self.quantity}{self.unit.value}"

    @property
    def days_nominal(self) -> int:
        """N of the EMA formulas: n, 7n, 30n or 365n days."""
        return self.quantity * NOMINAL_DAYS[self.unit]

    def belongs_to(self, family: Family) -> bool:
        """Whether a table of this family holds this timeframe."""
        return self.alignment is family.alignment and self.scheme in {None, family.scheme}


def check(timeframe: Timeframe, name: str) -> None:
    """Raise ``DimensionError`` where the timeframe of the row called ``name`` breaks the rules of its family."""
    weeks = timeframe.unit is Unit.WEEK
    rules = {
        f"tf_qty is {timeframe.quantity} but must be at least 1": timeframe.quantity >= 1,
        "rolling timeframes count days, and only they do": (timeframe.unit is Unit.DAY)
        == (timeframe.alignment is Alignment.ROLLING),
        "calendar weeks need calendar_scheme US or ISO, other units none": weeks == (timeframe.scheme is not None),
        f"anchored months must divide 12 and {timeframe.quantity} does not (use 1, 2, 3, 4, 6 or 12)": not (
            timeframe.alignment is Alignment.ANCHORED
            and timeframe.unit is Unit.MONTH
            and (timeframe.quantity < 1 or MONTHS_IN_YEAR % timeframe.quantity)
        ),
    }
    for rule, holds in rules.items():
        if not holds:
            raise DimensionError(f"dim_timeframe row {name!r}: {rule}; correct or delete the row")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One row of ``dim_timeframe`` as the table spells it."""

    tf: str
    base_unit: str
    tf_qty: int
    tf_days_nominal: int
    alignment: str
    calendar_scheme: str | None
    is_enabled: bool
    sort_order: int


def parse(row: Dimension) -> Timeframe:
    """The timeframe of a ``dim_timeframe`` row. Raises ``DimensionError`` naming the row, its value and the way out."""
    try:
        scheme = Scheme(row.calendar_scheme) if row.calendar_scheme is not None else None
        timeframe = Timeframe(row.tf_qty, Unit(row.base_unit), Alignment(row.alignment), scheme)
    except ValueError as error:
        raise DimensionError(f"dim_timeframe row {row.tf!r}: {error}; correct or delete the row") from error
    check(timeframe, row.tf)
    for column, found, expected in (
        ("tf", row.tf, timeframe.tf),
        ("tf_days_nominal", row.tf_days_nominal, timeframe.days_nominal),
    ):
        if found != expected:
            raise DimensionError(
                f"dim_timeframe row {row.tf!r}: {column} is {found!r} but its unit, quantity, alignment and scheme "
                f"say {expected!r}; correct or delete the row"
            )
    return timeframe


def dimension(timeframe: Timeframe, sort_order: int) -> Dimension:
    """The ``dim_timeframe`` row of a timeframe."""
    return Dimension(
        timeframe.tf,
        timeframe.unit.value,
        timeframe.quantity,
        timeframe.days_nominal,
        timeframe.alignment.value,
        timeframe.scheme.value if timeframe.scheme else None,
        is_enabled=True,
        sort_order=sort_order,
    )


def _calendar(alignment: Alignment) -> list[Timeframe]:
    weeks = [Timeframe(n, Unit.WEEK, alignment, scheme) for scheme in Scheme for n in (1, 2, 4)]
    months = [Timeframe(n, Unit.MONTH, alignment) for n in (1, 2, 3, 6, 12)]
    return [*weeks, *months, Timeframe(1, Unit.YEAR, alignment)]


DEFAULT_TIMEFRAMES: tuple[Timeframe, ...] = (
    *(Timeframe(n, Unit.DAY, Alignment.ROLLING) for n in (2, 3, 4, 5, 7, 10, 14, 21, 28, 30, 45, 60, 90, 180, 365)),
    *_calendar(Alignment.ALIGNED),
    *_calendar(Alignment.ANCHORED),
)
DEFAULT_PERIODS: tuple[int, ...] = (10, 14, 20, 30, 50, 100, 200)

_LENGTH = re.compile(r"(\d+)([A-Z])")


def nearest(value: str, valid: Iterable[str]) -> str:
    """Up to three valid spellings close to a wrong one, as the end of a sentence."""
    options = {spelling.upper(): spelling for spelling in sorted(set(valid))}
    found = get_close_matches(value.upper(), options, n=3, cutoff=0.3) or list(options)[:3]
    close = [options[name] for name in found]
    return f"nearest: {', '.join(close)}" if close else "none is enabled"


def select(wanted: Sequence[str], timeframes: Sequence[Timeframe], *, option: str = "--tfs") -> tuple[Timeframe, ...]:
    """The timeframes that full labels or short forms pick, in the order of ``timeframes``.

    Raises ``UsageError`` for a name that picks none, with the nearest labels.
    """
    for name in wanted:
        if not any(_answers(timeframe, name) for timeframe in timeframes):
            raise UsageError(
                f"{option} {name}: no such timeframe in the builders being run; {_nearest(name, timeframes)}"
            )
    return tuple(timeframe for timeframe in timeframes if any(_answers(timeframe, name) for name in wanted))


def _nearest(name: str, timeframes: Sequence[Timeframe]) -> str:
    """The lengths nearest to a wrong one, those of its own unit first; for what is no length, the nearest spellings."""
    length = _LENGTH.fullmatch(name.upper())
    units = {unit.value: unit for unit in Unit}
    if not length or length[2] not in units or not timeframes:
        return nearest(name, (spelling for timeframe in timeframes for spelling in (timeframe.tf, timeframe.short)))
    unit = units[length[2]]
    days = int(length[1]) * NOMINAL_DAYS[unit]
    offered = {one.short: one for one in timeframes}.values()
    close = sorted(offered, key=lambda one: (one.unit is not unit, abs(one.days_nominal - days), one.days_nominal))[:3]
    return f"nearest: {', '.join(one.short for one in sorted(close, key=lambda one: one.days_nominal))}"


def _answers(timeframe: Timeframe, name: str) -> bool:
    upper = name.upper()
    return upper == timeframe.tf or bool(_LENGTH.fullmatch(upper) and upper == timeframe.short)
