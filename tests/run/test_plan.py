"""Plans of hand-made surveys: which steps, which assets, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from refresh.catalog import BUILDERS, BuilderConfig, by_key
from refresh.run.estimate import START_SECONDS, UNKNOWN_RATE, Past
from refresh.due.decision import Action, Cause, Due, Survey
from refresh.options.request import Command, Request, parse
from refresh.run.plan import Plan, Step, Task, depends, lost_inputs, make_plan, without

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY = datetime(2024, 1, 9, tzinfo=UTC)
DAILY, BARS, CAL_US, EMAS, CAL, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "bars.cal_us", "emas.multi_tf", "emas.cal", "emas.v2")
)
BAR_BUILDERS, EMA_BUILDERS = BUILDERS[:6], BUILDERS[6:]


def append(asset: int, days: int = 1, *, series: int = 0) -> Due:
    """New days of an asset, for so many series; a daily leg has none."""
    return Due(asset, Action.APPEND, DAY, None, days, tuple(range(series)))


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
    stale: Mapping[BuilderConfig, Mapping[int, str]] | None = None,
    series: Mapping[BuilderConfig, int] | None = None,
    unselected: Sequence[BuilderConfig] = (),
    past: Mapping[BuilderConfig, Sequence[Past]] | None = None,
    only: Mapping[BuilderConfig, set[int]] | None = None,
) -> Plan:
    """The plan of a survey that found this."""
    survey = Survey(
        ids=ids,
        dues={builder.key: tuple(due) for builder, due in dues.items()},
        pending={builder.key: waiting for builder, waiting in (pending or {}).items()},
        stale={builder.key: reasons for builder, reasons in (stale or {}).items()},
        series={builder.key: number for builder, number in (series or {}).items()},
        unselected=frozenset(builder.key for builder in unselected),
    )
    return make_plan(
        builders,
        request or Request(all=True),
        survey,
        past={builder.key: steps for builder, steps in past.items()} if past is not None else None,
        only={builder.key: frozenset(left) for builder, left in only.items()} if only is not None else None,
    )


def step(of: Plan, builder: BuilderConfig) -> Step:
    """The step of a builder."""
    (found,) = (one for one in of.steps if one.builder == builder)
    return found


def told(tasks: Sequence[Task]) -> dict[int, str]:
    """Why each asset is there."""
    return {task.id: task.reason for task in tasks}


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
    assert told(step(made, DAILY).tasks) == dict.fromkeys((1, 52, 825), "build 9 days: not built yet")
    assert told(step(made, BARS).tasks) == dict.fromkeys((1, 52, 825), "follows 1d bars")
    assert {tuple(one.ids) for one in made.steps} == {(1, 52, 825)}


def test_downstream_follows_upstream() -> None:
    """An asset that a step rewrites is due in every step that reads from it, and no other asset is."""
    made = plan({CAL_US: [append(52)]})
    assert {one.builder: one.ids for one in made.steps if one.tasks} == {CAL_US: [52], CAL: [52]}
    assert told(step(made, CAL).tasks) == {52: "follows cal_us bars"}


def test_nothing_follows_a_removal() -> None:
    """An asset that a step removes is not due in steps that read from it: each removes it from its own table."""
    gone = Due(52, Action.PRUNE, None, None, 0)
    made = plan({DAILY: [gone, append(1)], V2: [gone]})
    assert step(made, DAILY).ids == [1, 52]
    assert step(made, BARS).ids == [1]
    assert told(step(made, V2).tasks) == {1: "follows 1d bars", 52: "gone from the source (--prune)"}


def test_own_reason_comes_first() -> None:
    """What is due in a step by itself is said there, and not whom it follows."""
    made = plan({DAILY: [append(1)], BARS: [append(1, 5)]})
    assert told(step(made, BARS).tasks) == {1: "append 5 days"}


def test_reasons_of_two_legs() -> None:
    """Different reasons of one asset are all told, equal ones once, and the asset is one task."""
    made = plan({CAL: [append(1, 2), append(1, 2), new(1), append(52)]})
    assert told(step(made, CAL).tasks) == {1: "append 2 days, build 9 days: not built yet", 52: "append 1 day"}


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


STALE = {1: "bars end 3 days before the source", 52: "bars end 9 days before the source"}


def test_stale_inputs_are_skipped() -> None:
    """EMAs whose bars lag too far behind the source are left out, and how far is said; other assets are not."""
    made = plan({EMAS: [append(1), append(825)]}, builders=EMA_BUILDERS, stale={EMAS: STALE})
    assert step(made, EMAS).ids == [825]
    assert told(step(made, EMAS).skipped) == STALE
    assert parse(Command.BUILDER, step(made, EMAS).arguments).ids == (825,)
    assert step(made, V2).skipped == ()
    assert not made.idle


def test_stale_inputs_that_this_run_brings_up_to_date() -> None:
    """Assets that an earlier step of the same plan works on are judged when it is through, and not before."""
    made = plan({BARS: [append(1)]}, stale={EMAS: STALE, V2: STALE})
    assert step(made, EMAS).ids == [1]
    assert told(step(made, EMAS).skipped) == {52: STALE[52]}
    assert told(step(made, V2).skipped) == STALE


def test_inputs_both_stale_and_pending() -> None:
    """An asset is left out once, with the reason that says what to do."""
    made = plan({}, builders=EMA_BUILDERS, stale={EMAS: STALE}, pending={EMAS: (1,)})
    assert told(step(made, EMAS).skipped) == {1: "bars pending: run the bar builders first", 52: STALE[52]}


def test_only_what_was_left() -> None:
    """A resumed run works on the assets that each builder left, and on no other that is due meanwhile."""
    dues = {DAILY: [append(1), append(52)], BARS: [append(825)]}
    made = plan(dues, only={DAILY: {52}, BARS: {52, 825}, EMAS: {1}})
    assert {one.builder: told(one.tasks) for one in made.steps if one.tasks} == {
        DAILY: {52: "append 1 day"},
        BARS: {52: "follows 1d bars", 825: "append 1 day"},
    }
    assert parse(Command.BUILDER, step(made, BARS).arguments).ids == (52, 825)


def test_only_what_was_left_is_skipped() -> None:
    """Of what is not ready, a resumed run tells only what it would have worked on."""
    dues = {EMAS: [append(1), append(52), append(825)]}
    stale, pending = {EMAS: STALE}, {EMAS: (825,)}
    made = plan(dues, builders=EMA_BUILDERS, stale=stale, pending=pending, only={EMAS: {52, 825}})
    assert step(made, EMAS).tasks == ()
    assert told(step(made, EMAS).skipped) == {52: STALE[52], 825: "bars pending: run the bar builders first"}
    made = plan(dues, builders=EMA_BUILDERS, stale=stale, pending=pending, only={EMAS: {1}, V2: {52}})
    assert told(step(made, EMAS).skipped) == {1: STALE[1]}


def test_only_what_was_left_and_is_still_due() -> None:
    """What another run has done meanwhile is not done again, and is no reason to skip anything."""
    made = plan({DAILY: [append(1)]}, only={DAILY: {52}, BARS: {52}}, stale={EMAS: STALE}, pending={EMAS: (825,)})
    assert made.idle
    assert made.assets == 3


def test_nothing_was_left() -> None:
    """A resumed run that left nothing is not taken for one that was left everything."""
    assert plan({DAILY: [append(1)]}, only={}).idle


def test_rows_of_a_task() -> None:
    """A task has as many rows as days times series, over everything that is due of it; daily bars are one series."""
    made = plan(
        {DAILY: [append(1, 7)], CAL: [append(52, 5, series=3), append(52, 2, series=4), append(825, 6, series=1)]}
    )
    assert [(one.days, one.rows) for one in step(made, DAILY).tasks] == [(7, 7)]
    found = {task.id: (task.days, task.rows) for task in step(made, CAL).tasks}
    assert (found[52], found[825]) == ((5, 23), (6, 6))
    assert step(made, DAILY).estimated_rows == 7


def test_rows_of_what_follows() -> None:
    """A task that follows has the days of the step upstream, for every series that its builder has."""
    made = plan({DAILY: [append(1, 7), append(52, 2)]}, series={BARS: 3, EMAS: 20})
    assert [(one.id, one.days, one.rows) for one in step(made, BARS).tasks] == [(1, 7, 21), (52, 2, 6)]
    assert [(one.id, one.days, one.rows) for one in step(made, EMAS).tasks] == [(1, 7, 140), (52, 2, 40)]
    assert step(made, EMAS).estimated_rows == 180


def test_days_go_all_the_way_down() -> None:
    """What follows a step that itself follows has the days of the first."""
    made = plan({DAILY: [append(1, 7)]}, builders=[DAILY, BARS, EMAS], series={BARS: 3, EMAS: 20})
    without_daily = plan({BARS: [append(1, 7, series=3)]}, builders=[BARS, EMAS], series={BARS: 3, EMAS: 20})
    assert step(made, EMAS).estimated_rows == step(without_daily, EMAS).estimated_rows == 140


def test_seconds_without_history() -> None:
    """A builder that never ran is expected to be as fast as builders are, and one without work to take no time."""
    made = plan({V2: [append(1, 100, series=500)]})
    assert step(made, V2).estimated_seconds == pytest.approx(START_SECONDS + 100 * 500 / UNKNOWN_RATE)
    assert made.estimated_seconds == step(made, V2).estimated_seconds
    assert {one.estimated_seconds for one in made.steps if one.builder != V2} == {0.0}


def test_seconds_from_the_past() -> None:
    """A builder is expected to be as fast as it was, and nobody else's past matters."""
    dues = {DAILY: [append(1, 300), append(52, 100)]}
    past = {DAILY: [Past(200, 200, START_SECONDS + 5.0)], BARS: [Past(400, 400, START_SECONDS + 100.0)]}
    made = plan(dues, builders=[DAILY, V2], series={V2: 1}, past=past)
    assert step(made, DAILY).estimated_seconds == pytest.approx(START_SECONDS + 10.0)
    assert step(made, V2).estimated_seconds == pytest.approx(START_SECONDS + 400 / UNKNOWN_RATE)
    assert made.estimated_seconds == pytest.approx(2 * START_SECONDS + 10.0 + 400 / UNKNOWN_RATE)


def test_seconds_of_what_is_really_done() -> None:
    """Only the assets that a step works on take time."""
    dues = {V2: [append(asset, 100, series=500) for asset in (1, 52, 825)]}
    expected = pytest.approx(START_SECONDS + 100 * 500 / UNKNOWN_RATE)
    assert step(plan(dues, only={V2: {52}}), V2).estimated_seconds == expected
    assert step(plan(dues, stale={V2: STALE}), V2).estimated_seconds == expected
    assert step(plan(dues, stale={V2: {**STALE, 825: "late"}}), V2).estimated_seconds == 0.0


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


REQUEST = Request(all=True, tfs=("7d",))


@pytest.fixture
def whole() -> Plan:
    """Every step is for assets 1, 52 and 825, which are all that there are."""
    return plan({DAILY: [append(asset) for asset in (1, 52, 825)]}, request=REQUEST)


def test_without_any_failure(whole: Plan) -> None:
    """A step whose inputs are whole is launched as it was planned."""
    assert without(step(whole, EMAS), {}, REQUEST) is step(whole, EMAS)
    assert without(step(whole, EMAS), {9: "bars failed"}, REQUEST) is step(whole, EMAS)
    assert lost_inputs(EMAS, {DAILY: set(), BARS: set()}) == {}


@pytest.mark.parametrize(
    ("builder", "because"), [(EMAS, "bars failed"), (V2, "bars failed"), (BARS, "1d bars failed"), (DAILY, None)]
)
def test_lost_inputs(builder: BuilderConfig, because: str | None) -> None:
    """What failed upstream is lost downstream, in the words of who reads it."""
    assert lost_inputs(builder, {DAILY: {52, 825}}) == (dict.fromkeys((52, 825), because) if because else {})


def test_inputs_lost_in_several_steps() -> None:
    """An asset is lost where any of the steps that are read from lost it, and only there."""
    unfinished = {DAILY: {1}, BARS: {52}, CAL_US: {825}}
    assert set(lost_inputs(EMAS, unfinished)) == {1, 52}
    assert set(lost_inputs(CAL, unfinished)) == {1, 825}
    assert set(lost_inputs(V2, unfinished)) == {1}


@pytest.mark.parametrize("builder", [EMAS, V2, BARS], ids=lambda builder: builder.key)
def test_without_an_asset(whole: Plan, builder: BuilderConfig) -> None:
    """The asset is left out with the reason given; the others are named, with the filters."""
    left = without(step(whole, builder), {825: "because of this"}, REQUEST)
    assert left.ids == [1, 52]
    assert left.skipped == (Task(825, "because of this"),)
    read = parse(Command.BUILDER, left.arguments)
    assert (read.builder, read.ids, read.tfs) == (builder.key, (1, 52), ("7d",))


def test_only_dependants_lose_an_asset(whole: Plan) -> None:
    """Who does not read what failed goes on with every asset."""
    left = {one.builder: without(one, lost_inputs(one.builder, {CAL_US: {825}}), REQUEST) for one in whole.steps}
    assert [one.builder for one in whole.steps if left[one.builder] != one] == [CAL]


def test_failures_add_to_what_was_left_out() -> None:
    """Assets that were left out before stay so, each with its own reason, and no asset is told twice."""
    made = plan({EMAS: [append(1), append(52)]}, builders=[*EMA_BUILDERS], pending={EMAS: (825,)})
    left = without(step(made, EMAS), lost_inputs(EMAS, {DAILY: {52, 825}, BARS: {52}}), REQUEST)
    assert left.skipped == (Task(825, "bars pending: run the bar builders first"), Task(52, "bars failed"))
    assert left.ids == [1]


def test_every_asset_failed(whole: Plan) -> None:
    """A step that lost all its assets has nothing to launch."""
    left = without(step(whole, EMAS), dict.fromkeys((1, 52, 825), "bars failed"), REQUEST)
    assert left.tasks == ()
    assert [task.id for task in left.skipped] == [1, 52, 825]


def test_planned_steps_are_not_changed(whole: Plan) -> None:
    """Leaving assets out makes another step."""
    planned = step(whole, EMAS)
    assert without(planned, {825: "bars failed"}, REQUEST) != planned
    assert planned.ids == [1, 52, 825]
