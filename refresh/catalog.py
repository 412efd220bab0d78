"""The ten builders as one table of data. What differs between them is said here and nowhere else.

A *leg* leads from input tables to one target table; the calendar EMAs have two legs, US and ISO.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """The two separate pieces of a refresh, and what one of their rows is called."""

    BARS = ("bars", "bar")
    EMAS = ("emas", "EMA")

    def __init__(self, key: str, noun: str) -> None:
        self.key = key
        self.noun = noun


class Alignment(Enum):
    """How a family lays its windows."""

    ROLLING = "rolling"
    ALIGNED = "aligned"
    ANCHORED = "anchored"


class Scheme(Enum):
    """On which day a calendar week begins: Sunday or Monday."""

    US = "US"
    ISO = "ISO"


@dataclass(frozen=True, slots=True)
class Family:
    """The timeframes of one table: an alignment and, for calendar weeks, a scheme."""

    alignment: Alignment
    scheme: Scheme | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its name, its PostgreSQL type, and whether it may be NULL."""

    name: str
    type: str
    nullable: bool = False


def columns(text: str) -> tuple[Column, ...]:
    """The columns that a text declares, a line per type: ``open close: float8`` or ``volume: float8 null``."""
    declared = []
    for line in filter(None, map(str.strip, text.splitlines())):
        names, _, kind = line.partition(": ")
        declared += [Column(name, kind.removesuffix(" null"), kind.endswith(" null")) for name in names.split()]
    return tuple(declared)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the rows of a table look like: columns, primary key, and the column with the daily timestamp.

    ``unique``: another key. ``closed``: the columns of an index of the canonical rows alone.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str
    unique: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    @property
    def has_timeframes(self) -> bool:
        """Whether a row is of one timeframe among several."""
        return "tf" in self.key

    @property
    def has_periods(self) -> bool:
        """Whether a row is of one period among several."""
        return "period" in self.key

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns that say something about prices: all but the time of writing."""
        return tuple(column.name for column in self.columns if column.name != "ingested_at")


@dataclass(frozen=True, slots=True)
class Average:
    """One average of a table: the column of its value, and the suffix of the columns that belong to it."""

    name: str
    suffix: str = ""

    @property
    def roll(self) -> str:
        """The column that is false on canonical days."""
        return f"roll{self.suffix}"

    @property
    def differences(self) -> tuple[str, str, str, str]:
        """First and second differences to the last canonical row, then to the previous row."""
        return f"d1{self.suffix}", f"d2{self.suffix}", f"d1_roll{self.suffix}", f"d2_roll{self.suffix}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The value and its differences."""
        return self.name, *self.differences


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a leg, and the columns of it that are read: a change of any of them concerns the leg."""

    table: str
    columns: tuple[str, ...] = ()


NO_INPUT = Input("")


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """Inputs -> target.

    ``follows``: the input whose rows the leg counts and whose watermark it follows, with the columns that it reads.
    ``averages``, ``price``, ``formula``: what a table of averages holds, of which column, by which formula of
    ``core.ema``; bars have none.
    """

    target: str
    shape: Shape
    follows: Input
    family: Family | None = None
    price: Input = NO_INPUT
    formula: str = ""
    averages: tuple[Average, ...] = ()

    @property
    def state(self) -> str:
        """The table that says how far the target has come."""
        return f"{self.target}_state"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every table that the leg reads, the followed one last."""
        price = self.price.table
        if price in {NO_INPUT.table, self.follows.table}:
            return (self.follows.table,)
        return price, self.follows.table


@dataclass(frozen=True, kw_only=True, slots=True)
class BuilderConfig:
    """One builder: its name within its group, what it computes, its legs, and which options concern it."""

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
        """The name as the summary prints it, e.g. ``multi_tf EMAs``."""
        return f"{self.name} {self.group.noun}s"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every table that any leg reads, in order, once."""
        return tuple(dict.fromkeys(table for leg in self.legs for table in leg.inputs))

    @property
    def has_timeframes(self) -> bool:
        """Whether the builder is about series: a timeframe each."""
        return any(leg.shape.has_timeframes for leg in self.legs)

    @property
    def has_periods(self) -> bool:
        """Whether a series of the builder has a period as well."""
        return any(leg.shape.has_periods for leg in self.legs)

    def reads(self, other: BuilderConfig) -> bool:
        """Whether it reads a table that the other one writes."""
        return any(leg.target in self.inputs for leg in other.legs)

    def calls(self, other: BuilderConfig) -> str:
        """What another builder is called where this one waits for it: by its group, if that is another one."""
        return other.title if other.group is self.group else f"{other.group.noun}s"


_DAY_BAR = """
    time_open time_close time_high time_low: timestamptz
    open high low close: float8
    volume market_cap: float8 null
    is_partial_start is_partial_end is_missing_days: bool
    count_missing_days: int4
"""

DAY = Shape(
    columns=columns(f"""
        id: int4
        timestamp: timestamptz
        tf: text
        bar_seq: int8
        {_DAY_BAR}
        repaired_high repaired_low repaired_timehigh repaired_timelow: bool
        src_name: text null
        src_load_ts: timestamptz null
        src_file: text null
        ingested_at: written
    """),
    key=("id", "timestamp"),
    time="timestamp",
    unique=("id", "tf", "bar_seq"),
)
"""One bar per asset and day."""

SNAPSHOT = Shape(
    columns=columns(f"""
        id: int4
        timestamp: timestamptz
        tf: text
        tf_days: int4
        bar_seq: int8
        pos_in_bar count_days count_days_remaining: int4
        {_DAY_BAR}
        count_missing_days_start count_missing_days_interior: int4
        first_missing_day last_missing_day: date null
        ingested_at: written
    """),
    key=("id", "timestamp", "tf"),
    time="timestamp",
    closed=("id", "tf", "timestamp"),
)
"""The state of a bar at one daily close. This key keeps a night's rows of an asset side by side."""


def series_shape(averages: tuple[Average, ...]) -> Shape:
    """One row per day, timeframe and period, with some averages."""
    rolls = " ".join(average.roll for average in averages)
    values = " ".join(name for average in averages for name in average.columns)
    return Shape(
        columns=columns(f"""
            id: int4
            tf: text
            ts: timestamptz
            period tf_days: int4
            {rolls}: bool
            {values}: float8 null
            ingested_at: written
        """),
        key=("id", "ts", "tf", "period"),
        time="ts",
    )


ROLLING = Family(Alignment.ROLLING)
ALIGNED_US = Family(Alignment.ALIGNED, Scheme.US)
ALIGNED_ISO = Family(Alignment.ALIGNED, Scheme.ISO)
ANCHORED_US = Family(Alignment.ANCHORED, Scheme.US)
ANCHORED_ISO = Family(Alignment.ANCHORED, Scheme.ISO)

EMA = Average("ema")
EMA_BAR = Average("ema_bar", "_bar")

DAILY_CLOSE = Input(DAILY, ("close",))
DAY_COUNT = ("bar_seq",)
BAR_COUNT = ("bar_seq", "is_partial_end")
_SNAPSHOT_INPUT = Input(
    DAILY,
    (
        "bar_seq", "time_open", "time_close", "time_high", "time_low",
        "open", "high", "low", "close", "volume", "market_cap",
    ),
)  # fmt: skip

_SOURCE = frozenset({"source"})
_TFS = frozenset({"tfs"})
_SERIES = frozenset({"tfs", "periods", "freshness"})


def _bars(suffix: str, family: Family) -> Leg:
    target = f"cmc_price_bars_multi_tf{suffix}"
    return Leg(target=target, shape=SNAPSHOT, follows=_SNAPSHOT_INPUT, family=family)


def _emas(suffix: str, family: Family, formula: str, *averages: Average) -> Leg:
    bars = Input(f"cmc_price_bars_multi_tf{suffix}", ("close", *BAR_COUNT))
    return Leg(
        target=f"cmc_ema_multi_tf{suffix}",
        shape=series_shape(averages),
        follows=bars,
        family=family,
        price=DAILY_CLOSE,
        formula=formula,
        averages=averages,
    )


def _windowed(name: str, leg: Leg, summary: str) -> BuilderConfig:
    return BuilderConfig(name=name, group=Group.BARS, kind=Kind.WINDOWED, legs=(leg,), accepts=_TFS, summary=summary)


def _over_bars(name: str, legs: tuple[Leg, ...], summary: str) -> BuilderConfig:
    return BuilderConfig(
        name=name, group=Group.EMAS, kind=Kind.EMA_OVER_BARS, legs=legs, accepts=_SERIES, summary=summary
    )


BUILDERS: tuple[BuilderConfig, ...] = (
    BuilderConfig(
        name="1d",
        group=Group.BARS,
        kind=Kind.DAILY,
        legs=(Leg(target=DAILY, shape=DAY, follows=Input(SOURCE)),),
        accepts=_SOURCE,
        summary="one honest bar per asset and day",
    ),
    _windowed("multi_tf", _bars("", ROLLING), "bars of n daily bars, end to end"),
    _windowed("cal_us", _bars("_cal_us", ALIGNED_US), "calendar bars from the first whole unit on, weeks from Sunday"),
    _windowed(
        "cal_iso", _bars("_cal_iso", ALIGNED_ISO), "calendar bars from the first whole unit on, weeks from Monday"
    ),
    _windowed(
        "cal_anchor_us",
        _bars("_cal_anchor_us", ANCHORED_US),
        "calendar bars that are the same for every asset, weeks from Sunday",
    ),
    _windowed(
        "cal_anchor_iso",
        _bars("_cal_anchor_iso", ANCHORED_ISO),
        "calendar bars that are the same for every asset, weeks from Monday",
    ),
    _over_bars(
        "multi_tf",
        (_emas("", ROLLING, "preview", EMA),),
        "EMAs of rolling bars, with a preview while a bar forms",
    ),
    _over_bars(
        "cal",
        (
            _emas("_cal_us", ALIGNED_US, "horizon", EMA, EMA_BAR),
            _emas("_cal_iso", ALIGNED_ISO, "horizon", EMA, EMA_BAR),
        ),
        "EMAs of calendar bars, daily steps of the horizon alpha between closes",
    ),
    _over_bars(
        "cal_anchor",
        (
            _emas("_cal_anchor_us", ANCHORED_US, "equivalent", EMA, EMA_BAR),
            _emas("_cal_anchor_iso", ANCHORED_ISO, "equivalent", EMA, EMA_BAR),
        ),
        "EMAs of anchored bars, daily steps of the equivalent alpha between closes",
    ),
    BuilderConfig(
        name="v2",
        group=Group.EMAS,
        kind=Kind.EMA_OVER_DAYS,
        legs=(
            Leg(
                target="cmc_ema_multi_tf_v2",
                shape=series_shape((EMA,)),
                follows=Input(DAILY, ("close", *DAY_COUNT)),
                family=ROLLING,
                price=DAILY_CLOSE,
                formula="continuous",
                averages=(EMA,),
            ),
        ),
        accepts=_SERIES,
        summary="one continuous daily EMA per timeframe and period",
    ),
)


def builders(group: Group) -> tuple[BuilderConfig, ...]:
    """The builders of one group, in the order in which they run."""
    return tuple(builder for builder in BUILDERS if builder.group is group)


def by_key(key: str) -> BuilderConfig:
    """The builder with this key. Raises ``KeyError`` where there is none."""
    return {builder.key: builder for builder in BUILDERS}[key]


def legs() -> Iterator[tuple[BuilderConfig, Leg]]:
    """Every leg with its builder, in the order in which they run."""
    return ((builder, leg) for builder in BUILDERS for leg in builder.legs)


def dependants(table: str) -> list[Leg]:
    """The legs that follow a table."""
    return [leg for _, leg in legs() if leg.follows.table == table]


def shape_of(table: str) -> Shape:
    """The shape of a table that some builder writes. Raises ``KeyError`` for any other."""
    return {leg.target: leg.shape for _, leg in legs()}[table]
