"""Which series the filters of a run select: per builder, in order, and never more than they say."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import BUILDERS, BuilderConfig, Group, by_key
from refresh.core.series import Dimensions, Series
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe
from refresh.due.selection import Filters
from refresh.due.series import choose
from refresh.errors import DimensionError, UsageError

DIMENSIONS = Dimensions(timeframes=DEFAULT_TIMEFRAMES, periods=DEFAULT_PERIODS)
EVERYTHING = Filters()
LABELS = {timeframe.tf: timeframe for timeframe in DEFAULT_TIMEFRAMES}


def spelled(*keys: str, **filters: object) -> dict[str, list[str]]:
    """What these builders are left with, as ``tf`` or ``tf:period``."""
    builders = [by_key(key) for key in keys]
    chosen = choose(builders, DIMENSIONS, Filters(**filters))  # type: ignore[arg-type]
    return {key: spell(series) for key, series in chosen.items()}


def spell(chosen: tuple[Series, ...]) -> list[str]:
    """Each series in a word."""
    return [f"{one.timeframe.tf}:{one.period}" if one.period else one.timeframe.tf for one in chosen]


# No filter


def test_everything_without_filters() -> None:
    """A builder has all timeframes of its legs and, for EMAs, all periods of each."""
    counts = {key: len(series) for key, series in choose(BUILDERS, DIMENSIONS, EVERYTHING).items()}
    assert counts == {
        "bars.1d": 0,
        "bars.multi_tf": 15,
        "bars.cal_us": 9,
        "bars.cal_iso": 9,
        "bars.cal_anchor_us": 9,
        "bars.cal_anchor_iso": 9,
        "emas.multi_tf": 15 * 7,
        "emas.cal": 12 * 7,
        "emas.cal_anchor": 12 * 7,
        "emas.v2": 15 * 7,
    }


def test_timeframe_by_timeframe_in_their_order() -> None:
    """Series come in the order of the timeframes, each with its periods in their order."""
    dimensions = Dimensions(timeframes=(LABELS["10D"], LABELS["2D"]), periods=(50, 10))
    chosen = choose([by_key("emas.v2")], dimensions, EVERYTHING)["emas.v2"]
    assert spell(chosen) == ["10D:50", "10D:10", "2D:50", "2D:10"]


def test_bars_have_no_periods() -> None:
    """Series of bars are timeframes alone, whatever the periods are narrowed to."""
    assert spelled("bars.multi_tf", "emas.v2", tfs=("2d",), periods=(20,)) == {
        "bars.multi_tf": ["2D"],
        "emas.v2": ["2D:20"],
    }


# Filters


def test_a_short_form_is_of_every_family() -> None:
    """``1w`` means every one-week timeframe of the builders being run, and leaves the others nothing."""
    assert spelled("bars.multi_tf", "bars.cal_us", "bars.cal_anchor_iso", tfs=("1w",)) == {
        "bars.multi_tf": [],
        "bars.cal_us": ["1W_CAL_US"],
        "bars.cal_anchor_iso": ["1W_CAL_ANCHOR_ISO"],
    }


def test_a_calendar_ema_has_the_weeks_of_both_legs() -> None:
    """The calendar EMAs are one builder, with US and ISO weeks."""
    assert spelled("emas.cal", tfs=("1w", "1m"), periods=(10,)) == {
        "emas.cal": ["1W_CAL_US:10", "1W_CAL_ISO:10", "1M_CAL:10"]
    }


def test_pairs_select_themselves() -> None:
    """Pairs select exactly themselves, in any case and order."""
    pairs = (("7D", 20), ("7d", 10), ("2d", 50))
    assert spelled("emas.multi_tf", pairs=pairs) == {"emas.multi_tf": ["2D:50", "7D:10", "7D:20"]}


def test_pairs_leave_bars_alone() -> None:
    """Pairs are of EMAs; bars keep all their timeframes."""
    chosen = spelled("bars.multi_tf", "emas.multi_tf", pairs=(("7d", 10),))
    assert (len(chosen["bars.multi_tf"]), chosen["emas.multi_tf"]) == (15, ["7D:10"])


def test_filters_narrow_each_other() -> None:
    """A series stays only if timeframes, periods and pairs all contain it."""
    pairs = (("7d", 10), ("7d", 20), ("2d", 10))
    assert spelled("emas.v2", tfs=("7d",), periods=(10, 50), pairs=pairs) == {"emas.v2": ["7D:10"]}


def test_the_daily_bars_ignore_filters() -> None:
    """The daily bars have no series and no filter that could be wrong."""
    assert spelled("bars.1d", tfs=("99X",), periods=(9,), pairs=(("1w", 9),)) == {"bars.1d": []}


# Nothing widens to all


@pytest.mark.parametrize("empty", ["tfs", "periods", "pairs"])
def test_an_empty_filter_is_not_no_filter(empty: str) -> None:
    """A filter that names nothing leaves no EMA series, which is an error, and never all of them."""
    with pytest.raises(UsageError, match="leave no EMA series"):
        spelled("emas.v2", **{empty: ()})


def test_no_timeframes_leave_no_bars() -> None:
    """An empty choice of timeframes leaves bars nothing to do."""
    assert spelled("bars.multi_tf", tfs=()) == {"bars.multi_tf": []}


def test_filters_that_exclude_each_other() -> None:
    """Filters that are each valid and together leave nothing are an error that names them."""
    with pytest.raises(UsageError, match=r"--tfs, --periods and --tf-period-combos together leave no EMA series"):
        spelled("emas.v2", tfs=("7d",), pairs=(("2d", 10),))


LABELS_AND_LENGTHS = [*LABELS, *{timeframe.short for timeframe in DEFAULT_TIMEFRAMES}]
NAMES = st.sampled_from(sorted({*LABELS_AND_LENGTHS, *map(str.lower, LABELS_AND_LENGTHS)}))
PERIODS = st.sampled_from(DEFAULT_PERIODS)
FILTERS = st.builds(
    Filters,
    tfs=st.none() | st.lists(NAMES, max_size=4).map(tuple),
    periods=st.none() | st.lists(PERIODS, max_size=3).map(tuple),
    pairs=st.none() | st.lists(st.tuples(NAMES, PERIODS), max_size=4).map(tuple),
)


def is_named(timeframe: Timeframe, names: Iterable[str]) -> bool:
    """Whether any name means this timeframe: its label, or the part before the first underscore."""
    return any(name.upper() in {timeframe.tf, timeframe.tf.split("_")[0]} for name in names)


def passes(timeframe: Timeframe, period: int, filters: Filters) -> bool:
    """Whether a series of an EMA passes the filters of periods and of pairs."""
    if filters.periods is not None and period not in filters.periods:
        return False
    if filters.pairs is None:
        return True
    return is_named(timeframe, [name for name, of_pair in filters.pairs if of_pair == period])


def expected_of(builder: BuilderConfig, filters: Filters) -> tuple[Series, ...]:
    """The series of a builder, each tested by each filter."""
    families = [leg.family for leg in builder.legs if leg.family]
    own = [timeframe for timeframe in DEFAULT_TIMEFRAMES if any(map(timeframe.belongs_to, families))]
    if filters.tfs is not None:
        own = [timeframe for timeframe in own if is_named(timeframe, filters.tfs)]
    if builder.group is Group.BARS:
        return tuple(Series(timeframe) for timeframe in own)
    pairs = product(own, DEFAULT_PERIODS)
    return tuple(Series(timeframe, period) for timeframe, period in pairs if passes(timeframe, period, filters))


@settings(deadline=None)
@given(FILTERS)
def test_each_series_is_tested_by_each_filter(filters: Filters) -> None:
    """A builder gets exactly those of its series that pass every filter; it is an error if EMAs get none."""
    expected = {builder.key: expected_of(builder, filters) for builder in BUILDERS}
    if any(expected[builder.key] for builder in BUILDERS if builder.group is Group.EMAS):
        assert choose(BUILDERS, DIMENSIONS, filters) == expected
    else:
        with pytest.raises(UsageError, match="leave no EMA series"):
            choose(BUILDERS, DIMENSIONS, filters)


# Errors


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"tfs": ("6W",)}, "--tfs 6W: no such timeframe in the builders being run; nearest: .*4W"),
        ({"tfs": ("7d", "6W")}, "--tfs 6W: "),
        ({"periods": (15,)}, "--periods 15: no such period in dim_period; nearest: 10, 14, 20$"),
        ({"periods": (10, 1000)}, "--periods 1000: no such period in dim_period; nearest: 50, 100, 200$"),
        ({"pairs": (("7d", 21),)}, "--tf-period-combos 7d:21: no such period in dim_period; nearest: 14, 20, 30$"),
        ({"pairs": (("7d", 10), ("8y", 10))}, "--tf-period-combos 8y: no such timeframe .*nearest: .*1Y"),
    ],
    ids=str,
)
def test_an_unknown_value_names_the_nearest(filters: dict[str, object], message: str) -> None:
    """A value that does not exist is an error with the option, the value and the nearest valid ones."""
    with pytest.raises(UsageError, match=message):
        choose(BUILDERS, DIMENSIONS, Filters(**filters))  # type: ignore[arg-type]


def test_a_timeframe_of_other_builders_is_unknown() -> None:
    """A timeframe of tables outside of this run selects nothing in it."""
    with pytest.raises(UsageError, match="--tfs 7D: no such timeframe in the builders being run"):
        spelled("bars.cal_us", "emas.cal", tfs=("7D",))


def test_a_pair_without_an_ema_series_is_unknown() -> None:
    """A pair whose timeframe only bars of this run have is an error, even if other pairs select something."""
    with pytest.raises(UsageError, match="--tf-period-combos 1M_CAL"):
        spelled("bars.cal_us", "emas.multi_tf", pairs=(("1M_CAL", 10), ("7d", 10)))


def test_a_disabled_timeframe_is_unknown() -> None:
    """A timeframe that is not enabled cannot be selected."""
    dimensions = Dimensions(timeframes=(LABELS["2D"],), periods=(10,))
    with pytest.raises(UsageError, match=r"--tfs 7d: .*nearest: 2D"):
        choose([by_key("bars.multi_tf")], dimensions, Filters(tfs=("7d",)))


def test_no_enabled_period() -> None:
    """If every period is disabled, an error says so, whether or not a period was selected."""
    dimensions = Dimensions(timeframes=(LABELS["2D"],), periods=())
    with pytest.raises(UsageError, match="--periods 10: no such period in dim_period; none is enabled"):
        choose([by_key("emas.v2")], dimensions, Filters(periods=(10,)))
    with pytest.raises(DimensionError, match="no timeframe or no period of these EMAs is enabled"):
        choose([by_key("emas.v2")], dimensions, EVERYTHING)
