"""The table of builders: its parts fit together, and everything that others derive from it is there."""

from __future__ import annotations

import pytest

from refresh.catalog import (
    BUILDERS,
    DAILY,
    SOURCE,
    BuilderConfig,
    Group,
    Input,
    Kind,
    Leg,
    builders,
    by_key,
    dependants,
    legs,
    shape_of,
)
from refresh.core.bars import DAILY_COLUMNS
from refresh.core.ema import FORMULAS
from refresh.options.declaration import Program
from refresh.options.parsing import parser
from refresh.shapes import Average, Column, Shape, columns, series_shape
from refresh.store.source import TABLE

LEGS = [leg for _, leg in legs()]
AVERAGING = [leg for leg in LEGS if leg.averages]

every_builder = pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.key)
every_leg = pytest.mark.parametrize("leg", LEGS, ids=lambda leg: leg.target)


def column_names(table: str) -> set[str]:
    """The columns of a table that is read or written."""
    if table == SOURCE:
        return {column.name for column in TABLE.columns}
    return {column.name for column in shape_of(table).columns}


# Columns


def test_columns() -> None:
    """A line declares columns of one type; only what says so may be NULL."""
    assert columns("""
        id tf_days: int4
        volume: float8 null

        ingested_at: written
    """) == (
        Column("id", "int4"),
        Column("tf_days", "int4"),
        Column("volume", "float8", nullable=True),
        Column("ingested_at", "written"),
    )
    assert columns("") == ()


@every_leg
def test_keys_are_columns(leg: Leg) -> None:
    """The columns of every key and index, and the time, are in the shape; no column is there twice or nullable."""
    by_name = {column.name: column for column in leg.shape.columns}
    assert len(by_name) == len(leg.shape.columns)
    named = {*leg.shape.key, *leg.shape.unique, *leg.shape.closed, leg.shape.time}
    assert named <= set(by_name)
    assert [name for name in named if by_name[name].nullable] == []
    assert leg.shape.time in leg.shape.key


@every_leg
def test_everything_is_compared_except_the_time_of_writing(leg: Leg) -> None:
    """Rows are compared in every column except the one with the time of writing."""
    assert {*leg.shape.compared, "ingested_at"} == column_names(leg.target)
    assert leg.shape.has_timeframes == ("tf" in leg.shape.key) == (leg.family is not None)
    assert leg.shape.has_periods == ("period" in leg.shape.key) == bool(leg.averages)


@pytest.mark.parametrize("leg", AVERAGING, ids=lambda leg: leg.target)
def test_averages_are_columns(leg: Leg) -> None:
    """The values, differences and flags of every average are columns of its table, and each of them once."""
    names = [name for average in leg.averages for name in (average.roll, *average.columns)]
    assert len(names) == len(set(names))
    assert set(names) <= column_names(leg.target)


def test_shape_of_averages() -> None:
    """A suffix distinguishes the columns of one average from those of another."""
    shape = series_shape((Average("ema"), Average("sma", "_simple")))
    assert shape.compared == (
        *("id", "tf", "ts", "period", "tf_days", "roll", "roll_simple"),
        *("ema", "d1", "d2", "d1_roll", "d2_roll"),
        *("sma", "d1_simple", "d2_simple", "d1_roll_simple", "d2_roll_simple"),
    )


# Legs


@every_leg
def test_inputs_have_the_columns_that_are_read(leg: Leg) -> None:
    """Every followed and every averaged column exists in the table from which it is read."""
    assert set(leg.follows.columns) <= column_names(leg.follows.table)
    assert set(leg.price.columns) <= (column_names(leg.price.table) if leg.averages else set())


@every_leg
def test_a_leg_follows_what_it_computes_from(leg: Leg) -> None:
    """A change of anything that rows are computed from concerns the leg: prices, and what is counted."""
    if leg.averages:
        assert len(leg.price.columns) == 1
        assert {*leg.price.columns, "bar_seq"} <= set(leg.follows.columns)
        assert ("is_partial_end" in leg.follows.columns) == shape_of(leg.follows.table).has_timeframes
    elif leg.family:
        assert set(leg.follows.columns) == set(DAILY_COLUMNS) - {"id", "timestamp", "day"}


@every_leg
def test_formulas_exist(leg: Leg) -> None:
    """A table of averages has a formula of core, other tables have none."""
    assert (leg.formula in FORMULAS) == bool(leg.averages)
    assert bool(leg.formula) == bool(leg.averages)


def leg_of(follows: str, price: Input) -> Leg:
    """A leg on some inputs."""
    shape = Shape(columns=(), key=(), time="")
    return Leg(target="t", shape=shape, follows=Input(follows), price=price)


def test_inputs_of_a_leg() -> None:
    """A leg reads the table that it follows and, if that is another one, the table of its price, which comes first."""
    assert leg_of("bars", Input("")).inputs == ("bars",)
    assert leg_of("bars", Input("bars", ("high",))).inputs == ("bars",)
    assert leg_of("bars", Input("days", ("close",))).inputs == ("days", "bars")


def test_inputs_of_a_builder() -> None:
    """A builder reads each table once, whatever its legs share."""
    assert by_key("emas.cal").inputs == (DAILY, "cmc_price_bars_multi_tf_cal_us", "cmc_price_bars_multi_tf_cal_iso")
    assert by_key("emas.v2").inputs == by_key("bars.cal_iso").inputs == (DAILY,)
    assert by_key("bars.1d").inputs == (SOURCE,)


def test_every_input_is_written_before() -> None:
    """Builders run in an order in which every input is the source or was written by an earlier one."""
    written = {SOURCE}
    for builder in BUILDERS:
        assert written.issuperset(builder.inputs)
        written.update(leg.target for leg in builder.legs)
    assert sorted(written) == sorted({SOURCE, *(leg.target for leg in LEGS)})


# Builders


def test_names_are_unique() -> None:
    """No two builders have the same key, title or summary, and no two legs the same table or state."""
    for names in (
        [builder.key for builder in BUILDERS],
        [builder.title for builder in BUILDERS],
        [builder.summary for builder in BUILDERS],
        [table for leg in LEGS for table in (leg.target, leg.state)],
    ):
        assert len(set(names)) == len(names)


def test_keys_and_titles() -> None:
    """A key has the group in front of the name, a title what the rows are called behind it."""
    assert [builder.key for builder in builders(Group.BARS)] == [
        "bars.1d", "bars.multi_tf", "bars.cal_us", "bars.cal_iso", "bars.cal_anchor_us", "bars.cal_anchor_iso",
    ]  # fmt: skip
    assert [builder.title for builder in builders(Group.EMAS)] == [
        "multi_tf EMAs", "cal EMAs", "cal_anchor EMAs", "v2 EMAs",
    ]  # fmt: skip
    assert (*builders(Group.BARS), *builders(Group.EMAS)) == BUILDERS


@every_builder
def test_each_builder_is_known_by_its_key(builder: BuilderConfig) -> None:
    """A key leads back to its builder."""
    assert by_key(builder.key) is builder


def test_an_unknown_name_is_an_error() -> None:
    """There is no builder and no shape for other names."""
    with pytest.raises(KeyError):
        by_key("bars.v2")
    with pytest.raises(KeyError):
        shape_of(SOURCE)


@every_builder
def test_options_follow_from_the_tables(builder: BuilderConfig) -> None:
    """A builder accepts the filters that its series have, and checks freshness if it averages."""
    assert ("tfs" in builder.accepts) == builder.has_timeframes
    assert ("periods" in builder.accepts) == ("freshness" in builder.accepts) == builder.has_periods
    assert ("source" in builder.accepts) == (builder.inputs == (SOURCE,)) == (builder.kind is Kind.DAILY)


def test_help_describes_every_builder() -> None:
    """The help of the program that runs one builder says what each of them builds, in their order."""
    text = " ".join(parser(Program.BUILDER).format_help().split())
    assert " ".join(f"{builder.key} {builder.summary}" for builder in BUILDERS) in text


def test_who_reads_whom() -> None:
    """A builder reads those whose tables are its inputs, and never itself."""
    read = {}
    for builder in BUILDERS:
        read[builder.key] = [other.key for other in BUILDERS if builder.reads(other)]
    bars = {key: ["bars.1d"] for key in read if key.startswith("bars.") and key != "bars.1d"}
    assert read == bars | {
        "bars.1d": [],
        "emas.multi_tf": ["bars.1d", "bars.multi_tf"],
        "emas.cal": ["bars.1d", "bars.cal_us", "bars.cal_iso"],
        "emas.cal_anchor": ["bars.1d", "bars.cal_anchor_us", "bars.cal_anchor_iso"],
        "emas.v2": ["bars.1d"],
    }


def test_what_others_are_called() -> None:
    """Within a group a builder is called by its title; another group is called as a whole."""
    daily, bars, emas = by_key("bars.1d"), by_key("bars.multi_tf"), by_key("emas.multi_tf")
    assert bars.calls(daily) == "1d bars"
    assert emas.calls(bars) == "bars"


def test_dependants() -> None:
    """A change of a table concerns the legs that follow it, in the order in which they run."""
    bars = [leg.target for leg in LEGS if leg.family and not leg.averages]
    assert [leg.target for leg in dependants(DAILY)] == [*bars, "cmc_ema_multi_tf_v2"]
    assert [leg.target for leg in dependants("cmc_price_bars_multi_tf_cal_us")] == ["cmc_ema_multi_tf_cal_us"]
    assert [leg.target for leg in dependants(SOURCE)] == [DAILY]
    assert dependants("cmc_ema_multi_tf_v2") == []
