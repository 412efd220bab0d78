"""The ten builders as one table of data. What differs between them is said here and nowhere else.

The calendar EMAs have two legs, US and ISO.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from refresh.families import (  # isort: skip
    ALIGNED, ALIGNED_ISO, ALIGNED_US, ANCHORED, ANCHORED_ISO, ANCHORED_US, ROLLING, Family,
)  # fmt: skip
from refresh.legs import NO_INPUT, Input, Leg
from refresh.shapes import DAY, EMA, EMA_BAR, SNAPSHOT, Average, Shape, series_shape

__all__ = [
    "BAR_COUNT", "BUILDERS", "DAILY", "DAY_COUNT", "NO_INPUT", "SERIES_OPTIONS", "SOURCE", "BuilderConfig", "Group",
    "Input", "Kind", "Leg", "builders", "by_key", "dependants", "legs", "shape_of", "writer_of",
]  # fmt: skip

SOURCE = "cmc_price_histories7"
DEFAULT_ZONE = "UTC"
"""The time zone in which a day starts in tables that are built while nobody names one."""
DAILY = "cmc_price_bars_1d"


class Kind(Enum):
    """What a builder computes, and from what."""

    DAILY = auto()
    WINDOWED = auto()
    EMA_OVER_BARS = auto()
    EMA_OVER_DAYS = auto()


class Group(Enum):
    """The two separate pieces of a refresh, and what one of their rows is called."""

    BARS = ("bars", "bar")
    EMAS = ("emas", "EMA")

    def __init__(self, key: str, noun: str) -> None:
        self.key = key
        self.noun = noun


@dataclass(frozen=True, kw_only=True, slots=True)
class BuilderConfig:
    """One builder: its name within its group, what it computes, its legs, and which options concern it.

    ``summary``: what its tables hold, in the words of ``--help``.
    """

    name: str
    group: Group
    kind: Kind
    legs: tuple[Leg, ...]
    accepts: frozenset[str]
    summary: str

    @property
    def key(self) -> str:
        """The name that is unique over both groups, e.g. ``bars.multi_tf``."""
        return f"{self.group.key}.{self.name}"

    @property
    def title(self) -> str:
        """The name in a sentence, e.g. ``multi_tf EMAs``."""
        return f"{self.name} {self.group.noun}s"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every table that any leg reads, in order, once."""
        return tuple(dict.fromkeys(table for leg in self.legs for table in leg.inputs))

    @property
    def has_timeframes(self) -> bool:
        """Whether the builder is about series, of a timeframe each."""
        return any(leg.shape.has_timeframes for leg in self.legs)

    @property
    def has_periods(self) -> bool:
        """Whether a series of the builder has a period as well."""
        return any(leg.shape.has_periods for leg in self.legs)

    def reads(self, other: BuilderConfig) -> bool:
        """Whether it reads a table that the other one writes."""
        return any(leg.target in self.inputs for leg in other.legs)

    def calls(self, other: BuilderConfig) -> str:
        """What another builder is called where this one waits for it: its title, or its whole group if another."""
        if other.group is self.group:
            return other.title
        return f"{other.group.noun}s"


SERIES_OPTIONS = frozenset({"tfs", "periods", "freshness"})

Averages = tuple[Average, ...]
DAILY_CLOSE = Input(DAILY, ("close",))
DAY_COUNT = ("bar_seq",)
BAR_COUNT = ("bar_seq", "is_partial_end")
_TIMES = ("time_open", "time_close", "time_high", "time_low")
_PRICES = ("open", "high", "low", "close", "volume", "market_cap")

_TABLES = {
    ROLLING: "multi_tf",
    ALIGNED_US: "multi_tf_cal_us",
    ALIGNED_ISO: "multi_tf_cal_iso",
    ANCHORED_US: "multi_tf_cal_anchor_us",
    ANCHORED_ISO: "multi_tf_cal_anchor_iso",
}
"""What the names of a family's tables end with."""
_OF_KIND = {
    Kind.DAILY: (Group.BARS, frozenset({"source"})),
    Kind.WINDOWED: (Group.BARS, frozenset({"tfs"})),
    Kind.EMA_OVER_BARS: (Group.EMAS, SERIES_OPTIONS),
    Kind.EMA_OVER_DAYS: (Group.EMAS, SERIES_OPTIONS),
}
"""The group of a kind of builder, and the options that concern it."""


def _builder(kind: Kind, name: str, legs: Sequence[Leg], summary: str) -> BuilderConfig:
    group, accepts = _OF_KIND[kind]
    return BuilderConfig(name=name, group=group, kind=kind, legs=tuple(legs), accepts=accepts, summary=summary)


def _daily(name: str, summary: str) -> BuilderConfig:
    leg = Leg(target=DAILY, shape=DAY, follows=Input(SOURCE))
    return _builder(Kind.DAILY, name, [leg], summary)


def _bars(name: str, family: Family, summary: str) -> BuilderConfig:
    follows = Input(DAILY, (*DAY_COUNT, *_TIMES, *_PRICES))
    leg = Leg(target=f"cmc_price_bars_{_TABLES[family]}", shape=SNAPSHOT, follows=follows, family=family)
    return _builder(Kind.WINDOWED, name, [leg], summary)


def _ema_leg(target: str, family: Family, formula: str, averages: Averages, follows: Input) -> Leg:
    return Leg(
        target=target,
        shape=series_shape(averages),
        follows=follows,
        family=family,
        price=DAILY_CLOSE,
        formula=formula,
        averages=averages,
    )


def _emas(name: str, families: Sequence[Family], formula: str, averages: Averages, summary: str) -> BuilderConfig:
    legs = []
    for family in families:
        follows = Input(f"cmc_price_bars_{_TABLES[family]}", ("close", *BAR_COUNT))
        legs.append(_ema_leg(f"cmc_ema_{_TABLES[family]}", family, formula, averages, follows))
    return _builder(Kind.EMA_OVER_BARS, name, legs, summary)


def _daily_emas(name: str, family: Family, formula: str, averages: Averages, summary: str) -> BuilderConfig:
    follows = Input(DAILY, ("close", *DAY_COUNT))
    leg = _ema_leg(f"cmc_ema_{_TABLES[family]}_{name}", family, formula, averages, follows)
    return _builder(Kind.EMA_OVER_DAYS, name, [leg], summary)


# fmt: off
BUILDERS: tuple[BuilderConfig, ...] = (
    _daily("1d", "one bar per asset and day, repaired or refused by rule"),

    _bars("multi_tf",       ROLLING,      "bars of n daily bars, one after another"),
    _bars("cal_us",         ALIGNED_US,   "calendar bars from the first whole unit on, weeks from Sunday"),
    _bars("cal_iso",        ALIGNED_ISO,  "calendar bars from the first whole unit on, weeks from Monday"),
    _bars("cal_anchor_us",  ANCHORED_US,  "calendar bars that are the same for every asset, weeks from Sunday"),
    _bars("cal_anchor_iso", ANCHORED_ISO, "calendar bars that are the same for every asset, weeks from Monday"),

    _emas("multi_tf",   [ROLLING], "preview",    (EMA,),         "EMAs of rolling bars, a preview while a bar forms"),
    _emas("cal",        ALIGNED,   "horizon",    (EMA, EMA_BAR), "EMAs of aligned bars, daily steps of equal horizon"),
    _emas("cal_anchor", ANCHORED,  "equivalent", (EMA, EMA_BAR), "EMAs of anchored bars, daily steps of equal weight"),

    _daily_emas("v2", ROLLING, "continuous", (EMA,), "EMAs of daily closes, over the days of a timeframe"),
)
# fmt: on
"""Every builder, in the order in which they run: its name, what it is made of, and what its tables hold."""


def builders(group: Group) -> tuple[BuilderConfig, ...]:
    """The builders of one group, in the order in which they run."""
    return tuple(builder for builder in BUILDERS if builder.group is group)


def by_key(key: str) -> BuilderConfig:
    """The builder with this key. Raises ``KeyError`` if there is none."""
    return {builder.key: builder for builder in BUILDERS}[key]


def legs() -> Iterator[tuple[BuilderConfig, Leg]]:
    """Every leg with its builder, in the order in which they run."""
    return ((builder, leg) for builder in BUILDERS for leg in builder.legs)


def writer_of(table: str) -> BuilderConfig | None:
    """The builder that writes a table; ``None`` for a table that none writes, such as the source."""
    return next((builder for builder, leg in legs() if leg.target == table), None)


def dependants(table: str) -> list[Leg]:
    """The legs that follow a table."""
    return [leg for _, leg in legs() if leg.follows.table == table]


def shape_of(table: str) -> Shape:
    """The shape of a table that some builder writes. Raises ``KeyError`` for any other."""
    return {leg.target: leg.shape for _, leg in legs()}[table]
