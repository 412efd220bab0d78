"""The ten builders as one table of data. What differs between them stands here and nowhere else.

A *leg* leads from input tables to one target table; the calendar EMAs have two legs, US and ISO.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SOURCE = "cmc_price_histories7"
DAILY = "cmc_price_bars_1d"


class Kind(Enum):
    """What a builder computes; the values are the words of the summary."""

    DAILY = "daily bars"
    WINDOWED = "bars over windows"
    EMA_OVER_BARS = "EMAs over bars"
    EMA_OVER_DAYS = "EMAs over days"


class Group(Enum):
    """The two separate pieces of a refresh."""

    BARS = "bars"
    EMAS = "emas"


class Alignment(Enum):
    """How a family lays its windows."""

    ROLLING = "rolling"
    ALIGNED = "aligned"
    ANCHORED = "anchored"


class Scheme(Enum):
    """On which day a calendar week begins: Sunday or Monday."""

    US = "US"
    ISO = "ISO"


class Formula(Enum):
    """Which EMA a table holds between two canonical days (docs/emas.md)."""

    PREVIEW = "preview"
    HORIZON = "horizon"
    EQUIVALENT = "equivalent"
    CONTINUOUS = "continuous"


@dataclass(frozen=True, slots=True)
class Family:
    """The timeframes of one table: an alignment and, for calendar weeks, a scheme."""

    alignment: Alignment
    scheme: Scheme | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """Inputs -> target. ``closes_bars`` names the bars whose canonical closes an EMA follows."""

    target: str
    inputs: tuple[str, ...]
    family: Family | None = None
    formula: Formula | None = None

    @property
    def state(self) -> str:
        """The table that says how far the target has come."""
        return f"{self.target}_state"


@dataclass(frozen=True, slots=True)
class BuilderConfig:
    """One builder: its name within its group, what it computes, its legs, and what it accepts."""

    name: str
    group: Group
    kind: Kind
    legs: tuple[Leg, ...]
    accepts: frozenset[str]
    summary: str

    @property
    def key(self) -> str:
        """The name that is unique over both groups, e.g. ``bars.multi_tf``."""
        return f"{self.group.value}.{self.name}"

    @property
    def title(self) -> str:
        """The name as the summary prints it, e.g. ``multi_tf EMAs``."""
        return f"{self.name} {'EMAs' if self.group is Group.EMAS else 'bars'}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every table that any leg reads, in order, once."""
        return tuple(dict.fromkeys(table for leg in self.legs for table in leg.inputs))


ROLLING = Family(Alignment.ROLLING)
ALIGNED_US = Family(Alignment.ALIGNED, Scheme.US)
ALIGNED_ISO = Family(Alignment.ALIGNED, Scheme.ISO)
ANCHORED_US = Family(Alignment.ANCHORED, Scheme.US)
ANCHORED_ISO = Family(Alignment.ANCHORED, Scheme.ISO)

_SOURCE = frozenset({"source"})
_TFS = frozenset({"tfs"})
_SERIES = frozenset({"tfs", "periods"})


def _bars(suffix: str, family: Family) -> Leg:
    return Leg(f"cmc_price_bars_multi_tf{suffix}", (DAILY,), family)


def _emas(suffix: str, family: Family, formula: Formula) -> Leg:
    return Leg(f"cmc_ema_multi_tf{suffix}", (DAILY, f"cmc_price_bars_multi_tf{suffix}"), family, formula)


BUILDERS: tuple[BuilderConfig, ...] = (
    BuilderConfig("1d", Group.BARS, Kind.DAILY, (Leg(DAILY, (SOURCE,)),), _SOURCE, "one honest bar per asset and day"),
    BuilderConfig(
        "multi_tf", Group.BARS, Kind.WINDOWED, (_bars("", ROLLING),), _TFS, "bars of n daily bars, end to end"
    ),
    BuilderConfig(
        "cal_us",
        Group.BARS,
        Kind.WINDOWED,
        (_bars("_cal_us", ALIGNED_US),),
        _TFS,
        "calendar bars from the first whole unit on, weeks from Sunday",
    ),
    BuilderConfig(
        "cal_iso",
        Group.BARS,
        Kind.WINDOWED,
        (_bars("_cal_iso", ALIGNED_ISO),),
        _TFS,
        "calendar bars from the first whole unit on, weeks from Monday",
    ),
    BuilderConfig(
        "cal_anchor_us",
        Group.BARS,
        Kind.WINDOWED,
        (_bars("_cal_anchor_us", ANCHORED_US),),
        _TFS,
        "calendar bars that are the same for every asset, weeks from Sunday",
    ),
    BuilderConfig(
        "cal_anchor_iso",
        Group.BARS,
        Kind.WINDOWED,
        (_bars("_cal_anchor_iso", ANCHORED_ISO),),
        _TFS,
        "calendar bars that are the same for every asset, weeks from Monday",
    ),
    BuilderConfig(
        "multi_tf",
        Group.EMAS,
        Kind.EMA_OVER_BARS,
        (_emas("", ROLLING, Formula.PREVIEW),),
        _SERIES,
        "EMAs of rolling bars, with a preview while a bar forms",
    ),
    BuilderConfig(
        "cal",
        Group.EMAS,
        Kind.EMA_OVER_BARS,
        (_emas("_cal_us", ALIGNED_US, Formula.HORIZON), _emas("_cal_iso", ALIGNED_ISO, Formula.HORIZON)),
        _SERIES,
        "EMAs of calendar bars, daily steps of the horizon alpha between closes",
    ),
    BuilderConfig(
        "cal_anchor",
        Group.EMAS,
        Kind.EMA_OVER_BARS,
        (
            _emas("_cal_anchor_us", ANCHORED_US, Formula.EQUIVALENT),
            _emas("_cal_anchor_iso", ANCHORED_ISO, Formula.EQUIVALENT),
        ),
        _SERIES,
        "EMAs of anchored bars, daily steps of the equivalent alpha between closes",
    ),
    BuilderConfig(
        "v2",
        Group.EMAS,
        Kind.EMA_OVER_DAYS,
        (Leg("cmc_ema_multi_tf_v2", (DAILY,), ROLLING, Formula.CONTINUOUS),),
        _SERIES,
        "one continuous daily EMA per timeframe and period",
    ),
)


def builders(group: Group) -> tuple[BuilderConfig, ...]:
    """The builders of one group, in the order in which they run."""
    return tuple(builder for builder in BUILDERS if builder.group is group)


def by_key(key: str) -> BuilderConfig:
    """The builder with this key. Raises ``KeyError`` where there is none."""
    return {builder.key: builder for builder in BUILDERS}[key]
