"""Which table and which timeframe a reader means: by a full label, or a short form that means one thing.

A label may be in several tables: then the first of the catalogue is meant, unless a family is named. Aligned months and
years are the same bars in the tables of both schemes; averages over days of a timeframe come after those over its bars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refresh.catalog import BuilderConfig, Group, Leg, builders
from refresh.core.timeframe import Timeframe, Unit
from refresh.due.series import named, nearest_lengths
from refresh.errors import UsageError
from refresh.families import Alignment
from refresh.wording import listed, nearest

DAY_BAR = Timeframe(1, Unit.DAY, Alignment.ROLLING)
"""That of the daily bars, which no row of ``dim_timeframe`` names."""


@dataclass(frozen=True, slots=True)
class Meant:
    """A table, and the label of a timeframe in it."""

    leg: Leg
    tf: str


def families(group: Group) -> dict[str, Leg]:
    """The tables of a group by the names of their families, in the order of the catalogue.

    That is the name of the builder; of a builder with several tables the scheme belongs to it, e.g. ``cal_iso``.
    """
    tables: dict[str, Leg] = {}
    for builder in builders(group):
        for leg in builder.legs:
            tables[_family_name(builder, leg)] = leg
    return tables


def _family_name(builder: BuilderConfig, leg: Leg) -> str:
    parts = [builder.name]
    if len(builder.legs) > 1 and leg.family and leg.family.scheme:
        parts.append(leg.family.scheme.value.lower())
    return "_".join(parts)


def meant(group: Group, timeframe: str, family: str | None, in_use: Sequence[Timeframe]) -> Meant:
    """The table and the label. ``in_use``: the timeframes of ``dim_timeframe`` that are refreshed.

    Raises ``UsageError`` for a family or timeframe that does not exist, and for a short form of several timeframes.
    """
    offered = _offered(group, family)
    held = {name: _held(leg, in_use) for name, leg in offered.items()}
    every = list(dict.fromkeys(each for timeframes in held.values() for each in timeframes))
    found = named(timeframe, every)
    if not found:
        of = f"family {family!r} of {group.key}" if family else group.key
        raise UsageError(f"timeframe {timeframe!r}: no such timeframe in {of}; {nearest_lengths(timeframe, every)}")
    holding = [name for name, timeframes in held.items() if set(timeframes).intersection(found)]
    if len(found) > 1:
        labels, names = listed(each.tf for each in found), listed(f"family={name!r}" for name in holding)
        raise UsageError(f"timeframe {timeframe!r}: several are of this length, {labels}; name one of them, or {names}")
    return Meant(offered[holding[0]], found[0].tf)


def _offered(group: Group, family: str | None) -> Mapping[str, Leg]:
    tables = families(group)
    if family is None:
        return tables
    if family not in tables:
        raise UsageError(f"family {family!r}: no such family of {group.key}; {nearest(str(family), tables)}")
    return {family: tables[family]}


def _held(leg: Leg, in_use: Sequence[Timeframe]) -> list[Timeframe]:
    family = leg.family
    if family is None:
        return [DAY_BAR]
    return [timeframe for timeframe in in_use if timeframe.belongs_to(family)]
