"""Plans of hand-made surveys: which steps, which assets, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.core.span import Action, Cause, Due, Survey
from refresh.options import Command, Request, parse
from refresh.run.plan import Plan, Step, Task, depends, make_plan, without

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY = datetime(2024, 1, 9, tzinfo=UTC)
DAILY, BARS, CAL_US, EMAS, CAL, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.cal", "emas.v2")
)
BAR_BUILDERS, EMA_BUILDERS = BUILDERS[:6], BUILDERS[6:]


def append(asset: int, days: int = 1) -> Due:
    """New days of an asset."""
    return Due(asset, Action.APPEND, DAY, None, days)


def new(asset: int) -> Due:
    """An asset that was never built."""
    return Due(asset, Action.REBUILD, None, None, 9, cause=Cause.NEW)


def plan(
    dues: Mapping[BuilderConfig, Sequence[Due]],
    *,
    builders: Sequence[BuilderConfig] = BUILDERS,
    request: Request | None = None,
    ids: tuple[int, ...] = (1, 52, 825),
    pending: Mapping[BuilderConfig, tuple[int, ...]] | None = None,
    unselected: Sequence[BuilderConfig] = (),
) -> Plan:
    """The plan of a survey that found this."""
    survey = Survey(
        ids,
        {builder.key: tuple(due) for builder, due in dues.items()},
        {builder.key: waiting for builder, waiting in (pending or {}).items()},
        frozenset(builder.key for builder in unselected),
    )
    return make_plan(builders, request or Request(all=True), survey)


def step(of: Plan, builder: BuilderConfig) -> Step:
    """The step of a builder."""
    (found,) = (one for one in of.steps if one.builder == builder)
    return found


def test_nothing_due() -> None:
    """Where nothing is due every step is there, idle, and the plan says so."""
    made = plan({})
    assert made.idle
    assert made.assets == 3
    assert [one.builder for one in made.steps] == list(BUILDERS)
    assert {(one.tasks, one.skipped, one.idle_because) for one in made.steps} == {((), (), "up to date")}


def test_first_run() -> None:
    """A database without bars is built from one end to the other, every step for every asset."""
    made = plan({DAILY: [new(asset) for asset in (1, 52, 825)]})
    assert not made.idle
    assert step(made, DAILY).tasks == tuple(Task(asset, "build 9 days: not built yet") for asset in (1, 52, 825))
    assert step(made, BARS).tasks == tuple(Task(asset, "follows 1d bars") for asset in (1, 52, 825))
    assert {tuple(one.ids) for one in made.steps} == {(1, 52, 825)}


def test_downstream_follows_upstream() -> None:
    """An asset that a step rewrites is due in every step that reads from it, and no other asset is."""
    made = plan({CAL_US: [append(52)]})
    assert {one.builder: one.ids for one in made.steps if one.tasks} == {CAL_US: [52], CAL: [52]}
    assert step(made, CAL).tasks == (Task(52, "follows cal_us bars"),)


def test_own_reason_comes_first() -> None:
    """What is due in a step by itself is said there, and not whom it follows."""
    made = plan({DAILY: [append(1)], BARS: [append(1, 5)]})
    assert step(made, BARS).tasks == (Task(1, "append 5 days"),)


def test_reasons_of_two_legs() -> None:
    """Different reasons of one asset are all told, equal ones once, and the asset is one task."""
    made = plan({CAL: [append(1, 2), append(1, 2), new(1), append(52)]})
    assert step(made, CAL).tasks == (Task(1, "append 2 days, build 9 days: not built yet"), Task(52, "append 1 day"))


def test_emas_alone() -> None:
    """Without bar builders in the run nothing upstream is followed."""
    made = plan({EMAS: [append(1)]}, builders=EMA_BUILDERS)
    assert {one.builder: one.ids for one in made.steps} == {EMAS: [1], CAL: [], by_key("emas.cal_anchor"): [], V2: []}


@pytest.mark.parametrize("ids", [(1, 52, 825), (1, 52, 825, 1027)])
def test_arguments(ids: tuple[int, ...]) -> None:
    """A step for every asset says so; one for some names them; both are read back as what they are."""
    made = plan({DAILY: [append(asset) for asset in (1, 52, 825)]}, ids=ids)
    expected = None if len(ids) == 3 else (1, 52, 825)
    for one in made.steps:
        request = parse(Command.BUILDER, one.arguments)
        assert (request.builder, request.ids) == (one.builder.key, expected)


def test_named_assets_are_always_named() -> None:
    """Assets that the user named are never widened to all, be they every one that there is."""
    made = plan({DAILY: [append(1)]}, ids=(1,), request=Request(all=True, ids=(1,)))
    assert parse(Command.BUILDER, step(made, DAILY).arguments).ids == (1,)


def test_filters_reach_the_steps() -> None:
    """Each step is told the filters that concern it."""
    made = plan({DAILY: [append(1)]}, request=Request(all=True, tfs=("7d",), periods=(10,)))
    assert parse(Command.BUILDER, step(made, DAILY).arguments).filters == Request().filters
    assert parse(Command.BUILDER, step(made, BARS).arguments).filters == Request(tfs=("7d",)).filters
    assert parse(Command.BUILDER, step(made, EMAS).arguments).filters == Request(tfs=("7d",), periods=(10,)).filters


def test_filters_leave_a_builder_nothing() -> None:
    """A builder without a timeframe has nothing to do, whatever is upstream, and nothing follows it."""
    made = plan({DAILY: [append(1)]}, unselected=[CAL_US, CAL])
    for builder in (CAL_US, CAL):
        assert (step(made, builder).tasks, step(made, builder).skipped) == ((), ())
        assert step(made, builder).idle_because == "no timeframe selected"
    assert step(made, BARS).ids == [1]


def test_pending_inputs_are_skipped() -> None:
    """EMAs whose bars wait to be rewritten are left out, with what to do; other assets are not."""
    made = plan({EMAS: [append(1), append(52)]}, builders=EMA_BUILDERS, pending={EMAS: (1,)})
    assert step(made, EMAS).ids == [52]
    assert step(made, EMAS).skipped == (Task(1, "bars pending: run the bar builders first"),)
    assert parse(Command.BUILDER, step(made, EMAS).arguments).ids == (52,)


def test_skipping_is_something_to_tell() -> None:
    """A plan that only leaves assets out is not idle."""
    assert not plan({}, builders=EMA_BUILDERS, pending={EMAS: (1,)}).idle


def test_pending_inputs_that_this_run_rewrites() -> None:
    """Bars that this very run brings up to date first are no reason to wait."""
    made = plan({BARS: [append(1)]}, pending={EMAS: (1, 52)})
    assert step(made, EMAS).ids == [1]
    assert step(made, EMAS).skipped == (Task(52, "bars pending: run the bar builders first"),)


def test_who_depends_on_whom() -> None:
    """Bars depend on the daily ones, EMAs on these and on their own bars."""
    found = {builder.key: [other.key for other in BUILDERS if depends(builder, other)] for builder in BUILDERS}
    windowed = ["multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso"]
    assert found == {
        "bars.1d": [],
        **{f"bars.{name}": ["bars.1d"] for name in windowed},
        "emas.multi_tf": ["bars.1d", "bars.multi_tf"],
        "emas.cal": ["bars.1d", "bars.cal_us", "bars.cal_iso"],
        "emas.cal_anchor": ["bars.1d", "bars.cal_anchor_us", "bars.cal_anchor_iso"],
        "emas.v2": ["bars.1d"],
    }


# After failures

REQUEST = Request(all=True, tfs=("7d",))


@pytest.fixture
def whole() -> Plan:
    """Every step is for assets 1, 52 and 825, which are all that there are."""
    return plan({DAILY: [append(asset) for asset in (1, 52, 825)]}, request=REQUEST)


def test_without_any_failure(whole: Plan) -> None:
    """A step whose inputs are whole is launched as it was planned."""
    assert without(step(whole, EMAS), {}, REQUEST) == step(whole, EMAS)
    assert without(step(whole, EMAS), {DAILY: set(), BARS: set()}, REQUEST) == step(whole, EMAS)


@pytest.mark.parametrize(("builder", "because"), [(EMAS, "bars failed"), (V2, "bars failed"), (BARS, "1d bars failed")])
def test_failed_inputs(whole: Plan, builder: BuilderConfig, because: str) -> None:
    """The assets that failed upstream are left out with the reason; the others are named, with the filters."""
    left = without(step(whole, builder), {DAILY: {825}}, REQUEST)
    assert left.ids == [1, 52]
    assert left.skipped == (Task(825, because),)
    told = parse(Command.BUILDER, left.arguments)
    assert (told.builder, told.ids, told.tfs) == (builder.key, (1, 52), ("7d",))


def test_only_dependants_lose_an_asset(whole: Plan) -> None:
    """Who does not read what failed goes on with every asset."""
    failed = {CAL_US: {825}}
    assert [one.builder for one in whole.steps if without(one, failed, REQUEST) != one] == [CAL]


def test_failures_add_to_what_was_left_out() -> None:
    """Assets that were left out before stay so, each with its own reason, and no asset is told twice."""
    made = plan({EMAS: [append(1), append(52)]}, builders=[*EMA_BUILDERS], pending={EMAS: (825,)})
    left = without(step(made, EMAS), {DAILY: {52, 825}, BARS: {52}}, REQUEST)
    assert left.skipped == (Task(825, "bars pending: run the bar builders first"), Task(52, "bars failed"))
    assert left.ids == [1]


def test_every_asset_failed(whole: Plan) -> None:
    """A step that lost all its assets has nothing to launch."""
    left = without(step(whole, EMAS), {DAILY: {1, 52, 825}}, REQUEST)
    assert left.tasks == ()
    assert [task.id for task in left.skipped] == [1, 52, 825]


def test_planned_steps_are_not_changed(whole: Plan) -> None:
    """Leaving assets out makes another step."""
    planned = step(whole, EMAS)
    without(planned, {DAILY: {825}}, REQUEST)
    assert planned.ids == [1, 52, 825]
