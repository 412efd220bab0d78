"""Which series the filters of a run pick: per builder, in order, and never more than was asked for."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.catalog import BUILDERS, Group, by_key
from refresh.core.series import Dimensions, Filters, Series, choose
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe
from refresh.errors import UsageError

DIMENSIONS = Dimensions(DEFAULT_TIMEFRAMES, DEFAULT_PERIODS)
EVERYTHING = Filters()
LABELS = {timeframe.tf: timeframe for timeframe in DEFAULT_TIMEFRAMES}


def spelled(*keys: str, **filters: object) -> dict[str, list[str]]:
    """What these builders are left with, as ``tf`` or ``tf:period``."""
    builders = [by_key(key) for key in keys] or list(BUILDERS)
    chosen = choose(builders, DIMENSIONS, Filters(**filters))  # type: ignore[arg-type]
    return {key: [spell(one) for one in series] for key, series in chosen.items()}


def spell(one: Series) -> str:
    """A series in one word."""
    return f"{one.timeframe.tf}:{one.period}" if one.period else one.timeframe.tf


# No filter


def test_everything_without_filters() -> None:
    """A builder has all timeframes of its legs and, for EMAs, all periods of each."""
    counts = {key: len(series) for key, series in choose(BUILDERS, DIMENSIONS, EVERYTHING).items()}
    assert counts == {
        "bars.1d": 0, "bars.multi_tf": 15,
        "bars.cal_us": 9, "bars.cal_iso": 9, "bars.cal_anchor_us": 9, "bars.cal_anchor_iso": 9,
        "emas.multi_tf": 15 * 7, "emas.cal": 12 * 7, "emas.cal_anchor": 12 * 7, "emas.v2": 15 * 7,
    }  # fmt: skip


def test_timeframe_by_timeframe_in_their_order() -> None:
    """Series come in the order of the timeframes, each with its periods in their order."""
    dimensions = Dimensions((LABELS["10D"], LABELS["2D"]), (50, 10))
    chosen = choose([by_key("emas.v2")], dimensions, EVERYTHING)["emas.v2"]
    assert [spell(one) for one in chosen] == ["10D:50", "10D:10", "2D:50", "2D:10"]


def test_bars_have_no_periods() -> None:
    """Series of bars are timeframes alone, whatever the periods are narrowed to."""
    assert spelled("bars.multi_tf", "emas.v2", tfs=("2d",), periods=(20,)) == {
        "bars.multi_tf": ["2D"],
        "emas.v2": ["2D:20"],
    }


# Filters


def test_a_short_form_reaches_every_family() -> None:
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


def test_combos_narrow_to_their_pairs() -> None:
    """Pairs pick exactly themselves, in any case and order."""
    combos = (("7D", 20), ("7d", 10), ("2d", 50))
    assert spelled("emas.multi_tf", combos=combos) == {"emas.multi_tf": ["2D:50", "7D:10", "7D:20"]}


def test_combos_leave_bars_alone() -> None:
    """Pairs are of EMAs; bars keep all their timeframes."""
    chosen = spelled("bars.multi_tf", "emas.multi_tf", combos=(("7d", 10),))
    assert (len(chosen["bars.multi_tf"]), chosen["emas.multi_tf"]) == (15, ["7D:10"])


def test_filters_narrow_each_other() -> None:
    """A series stays only where timeframes, periods and pairs all hold it."""
    combos = (("7d", 10), ("7d", 20), ("2d", 10))
    assert spelled("emas.v2", tfs=("7d",), periods=(10, 50), combos=combos) == {"emas.v2": ["7D:10"]}


def test_the_daily_bars_ignore_filters() -> None:
    """The daily bars have no series and no filter that could be wrong."""
    assert spelled("bars.1d", tfs=("99X",), periods=(9,), combos=(("1w", 9),)) == {"bars.1d": []}


# Nothing widens to all


@pytest.mark.parametrize("empty", ["tfs", "periods", "combos"])
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
        spelled("emas.v2", tfs=("7d",), combos=(("2d", 10),))


NAMES = st.sampled_from([name for one in DEFAULT_TIMEFRAMES for name in (one.tf, one.short, one.short.lower())])
PERIODS = st.sampled_from(DEFAULT_PERIODS)


def answers(timeframe: Timeframe, name: str) -> bool:
    """Whether a name means this timeframe: its label, or the part before the first underscore."""
    return name.upper() in {timeframe.tf, timeframe.tf.split("_")[0]}


@settings(deadline=None)
@given(
    st.none() | st.lists(NAMES, max_size=4).map(tuple),
    st.none() | st.lists(PERIODS, max_size=3).map(tuple),
    st.none() | st.lists(st.tuples(NAMES, PERIODS), max_size=4).map(tuple),
)
def test_each_series_is_tested_by_each_filter(
    tfs: tuple[str, ...] | None, periods: tuple[int, ...] | None, combos: tuple[tuple[str, int], ...] | None
) -> None:
    """A builder gets exactly those of its series that pass every filter; if EMAs get none that is an error."""
    families = {builder.key: [leg.family for leg in builder.legs if leg.family] for builder in BUILDERS}
    expected = {}
    for builder in BUILDERS:
        own = [one for one in DEFAULT_TIMEFRAMES if any(one.belongs_to(family) for family in families[builder.key])]
        own = [one for one in own if tfs is None or any(answers(one, name) for name in tfs)]
        if builder.group is Group.BARS:
            expected[builder.key] = tuple(Series(one) for one in own)
            continue
        expected[builder.key] = tuple(
            Series(one, period)
            for one, period in product(own, DEFAULT_PERIODS)
            if (periods is None or period in periods)
            and (combos is None or any(answers(one, name) and period == other for name, other in combos))
        )
    if any(expected[builder.key] for builder in BUILDERS if builder.group is Group.EMAS):
        assert choose(BUILDERS, DIMENSIONS, Filters(tfs, periods, combos)) == expected
    else:
        with pytest.raises(UsageError, match="leave no EMA series"):
            choose(BUILDERS, DIMENSIONS, Filters(tfs, periods, combos))


# Errors


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"tfs": ("6W",)}, "--tfs 6W: no such timeframe in the builders being run; nearest: .*4W"),
        ({"tfs": ("7d", "6W")}, "--tfs 6W: "),
        ({"periods": (15,)}, "--periods 15: no such period in dim_period; nearest: 10, 14, 20$"),
        ({"periods": (10, 1000)}, "--periods 1000: no such period in dim_period; nearest: 50, 100, 200$"),
        ({"combos": (("7d", 21),)}, "--tf-period-combos 7d:21: no such period in dim_period; nearest: 14, 20, 30$"),
        ({"combos": (("7d", 10), ("8y", 10))}, "--tf-period-combos 8y: no such timeframe .*nearest: .*1Y"),
    ],
    ids=str,
)
def test_an_unknown_value_names_the_nearest(filters: dict[str, object], message: str) -> None:
    """A value that does not exist is an error with the option, the value and the nearest valid ones."""
    with pytest.raises(UsageError, match=message):
        spelled(**filters)


def test_a_timeframe_of_other_builders_is_unknown() -> None:
    """A timeframe that only tables out of this run hold picks nothing in it."""
    with pytest.raises(UsageError, match="--tfs 7D: no such timeframe in the builders being run"):
        spelled("bars.cal_us", "emas.cal", tfs=("7D",))


def test_a_pair_without_an_ema_series_is_unknown() -> None:
    """A pair whose timeframe only bars of this run hold is an error, even where other pairs pick something."""
    with pytest.raises(UsageError, match="--tf-period-combos 1M_CAL"):
        spelled("bars.cal_us", "emas.multi_tf", combos=(("1M_CAL", 10), ("7d", 10)))


def test_a_disabled_timeframe_is_unknown() -> None:
    """A timeframe that is not enabled cannot be asked for."""
    with pytest.raises(UsageError, match=r"--tfs 7d: .*nearest: 2D"):
        choose([by_key("bars.multi_tf")], Dimensions((LABELS["2D"],), (10,)), Filters(tfs=("7d",)))


def test_no_enabled_period() -> None:
    """With every period switched off, asking for one says so."""
    with pytest.raises(UsageError, match="--periods 10: no such period in dim_period; none is enabled"):
        choose([by_key("emas.v2")], Dimensions((LABELS["2D"],), ()), Filters(periods=(10,)))
