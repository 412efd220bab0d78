"""Families: which timeframes a table holds, by how their windows are laid."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Alignment(Enum):
    """How a family lays its windows."""

    ROLLING = "rolling"
    ALIGNED = "aligned"
    ANCHORED = "anchored"


class Scheme(Enum):
    """The day on which a calendar week begins: Sunday or Monday."""

    US = "US"
    ISO = "ISO"


@dataclass(frozen=True, slots=True)
class Family:
    """The timeframes of one table: an alignment and, for calendar weeks, a scheme."""

    alignment: Alignment
    scheme: Scheme | None = None


ROLLING = Family(Alignment.ROLLING)
ALIGNED_US = Family(Alignment.ALIGNED, Scheme.US)
ALIGNED_ISO = Family(Alignment.ALIGNED, Scheme.ISO)
ANCHORED_US = Family(Alignment.ANCHORED, Scheme.US)
ANCHORED_ISO = Family(Alignment.ANCHORED, Scheme.ISO)
ALIGNED = (ALIGNED_US, ALIGNED_ISO)
ANCHORED = (ANCHORED_US, ANCHORED_ISO)
