"""Plans of surveys made by hand: which steps, which assets, and why."""

from __future__ import annotations

import pytest
from run.planning import (
    ASSETS,
    BARS,
    CAL,
    CAL_ANCHOR,
    CAL_US,
    DAILY,
    EMA_BUILDERS,
    EMAS,
    PENDING,
    V2,
    append,
    is_idle,
    new,
    plan,
    reasons,
    request_of,
    step_of,
)

from refresh.catalog import BUILDERS, BuilderConfig
from refresh.due.decision import Action, Due
from refresh.options.request import Request
from refresh.run.plan import Step, Task, first_ready, inputs_of


def test_nothing_due() -> None:
    """If nothing is due, every step is in the plan, idle, and gives the reason."""
    planned = plan({})
    assert is_idle(planned)
    assert planned.assets == 3
    assert [step.builder for step in planned.steps] == list(BUILDERS)
    assert {(step.tasks, step.skipped, step.idle_because) for step in planned.steps} == {((), (), "up to date")}


def test_first_run() -> None:
    """A database without bars is built completely, every step for every asset."""
    planned = plan({DAILY: [new(asset) for asset in ASSETS]})
    assert not is_idle(planned)
    assert reasons(step_of(planned, DAILY).tasks) == dict.fromkeys(ASSETS, "build 9 days: not built yet")
    assert reasons(step_of(planned, BARS).tasks) == dict.fromkeys(ASSETS, "follows 1d bars")
    assert {tuple(step.ids) for step in planned.steps} == {ASSETS}


def test_downstream_follows_upstream() -> None:
    """An asset that a step rewrites is due in every step that reads from it, and no other asset is."""
    planned = plan({CAL_US: [append(52)]})
    assert {step.builder: step.ids for step in planned.steps if step.tasks} == {CAL_US: [52], CAL: [52]}
    assert reasons(step_of(planned, CAL).tasks) == {52: "follows cal_us bars"}


def test_nothing_follows_a_removal() -> None:
    """An asset that a step removes leaves all tables with it: no later step has it, whatever was due there."""
    removal = Due(id=52, action=Action.PRUNE)
    planned = plan({DAILY: [removal, append(1)], BARS: [new(52)], V2: [new(52)]}, pending={EMAS: (52,)})
    assert step_of(planned, DAILY).ids == [1, 52]
    for builder in (BARS, EMAS, V2):
        assert step_of(planned, builder).ids == [1]
        assert not step_of(planned, builder).skipped


def test_own_reason_comes_first() -> None:
    """An asset that is due in a step by itself has that reason, not the step that it follows."""
    planned = plan({DAILY: [append(1)], BARS: [append(1, 5)]})
    assert reasons(step_of(planned, BARS).tasks) == {1: "append 5 days"}


def test_reasons_of_two_legs() -> None:
    """Different reasons of an asset are all given, equal ones once, and the asset is one task."""
    planned = plan({CAL: [append(1, 2), append(1, 2), new(1), append(52)]})
    expected = {1: "append 2 days, build 9 days: not built yet", 52: "append 1 day"}
    assert reasons(step_of(planned, CAL).tasks) == expected


def test_emas_alone() -> None:
    """Without bar builders in the run no step follows another."""
    planned = plan({EMAS: [append(1)]}, among=EMA_BUILDERS)
    assert {step.builder: step.ids for step in planned.steps} == {EMAS: [1], CAL: [], CAL_ANCHOR: [], V2: []}


@pytest.mark.parametrize(("ids", "expected"), [(ASSETS, None), ((*ASSETS, 1027), ASSETS)])
def test_arguments(ids: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    """The arguments of a step for every asset say so, others name the assets; the builder reads both as they are."""
    planned = plan({DAILY: [append(asset) for asset in ASSETS]}, ids=ids)
    for step in planned.steps:
        request = request_of(step)
        assert (request.builder, request.ids) == (step.builder.key, expected)


def test_named_assets_are_always_named() -> None:
    """Assets that the user named are never widened to all, even if they are all that exist."""
    planned = plan({DAILY: [append(1)]}, ids=(1,), request=Request(all=True, ids=(1,)))
    assert request_of(step_of(planned, DAILY)).ids == (1,)


def test_filters_reach_the_steps() -> None:
    """Each step gets the filters that concern it."""
    planned = plan({DAILY: [append(1)]}, request=Request(all=True, tfs=("7d",), periods=(10,)))
    expected = {DAILY: Request(), BARS: Request(tfs=("7d",)), EMAS: Request(tfs=("7d",), periods=(10,))}
    for builder, request in expected.items():
        assert request_of(step_of(planned, builder)).selection.filters == request.selection.filters


def test_builder_without_a_timeframe() -> None:
    """A builder that the filters leave no timeframe has nothing to do, and nothing follows it."""
    planned = plan({DAILY: [append(1)]}, unselected=[CAL_US, CAL])
    for builder in (CAL_US, CAL):
        step = step_of(planned, builder)
        assert (step.tasks, step.skipped) == ((), ())
        assert step.idle_because == "no timeframe selected"
    assert step_of(planned, BARS).ids == [1]


def test_pending_inputs_are_skipped() -> None:
    """EMAs whose bars have to be rewritten first are skipped, with what to do; other assets are not."""
    planned = plan({EMAS: [append(1), append(52)]}, among=EMA_BUILDERS, pending={EMAS: (1,)})
    step = step_of(planned, EMAS)
    assert step.ids == [52]
    assert step.skipped == (Task(id=1, reason=PENDING),)
    assert request_of(step).ids == (52,)


def test_plan_that_only_skips_is_not_idle() -> None:
    """A plan that only skips assets has something to report."""
    assert not is_idle(plan({}, among=EMA_BUILDERS, pending={EMAS: (1,)}))


def test_pending_inputs_that_this_run_rewrites() -> None:
    """Bars that the same run brings up to date first are no reason to skip."""
    step = step_of(plan({BARS: [append(1)]}, pending={EMAS: (1, 52)}), EMAS)
    assert step.ids == [1]
    assert step.skipped == (Task(id=52, reason=PENDING),)


STALE = {1: "bars end 3 days before the source", 52: "bars end 9 days before the source"}


def test_stale_inputs_are_skipped() -> None:
    """EMAs whose bars lag too far behind the source are skipped, with the lag; other assets are not."""
    planned = plan({EMAS: [append(1), append(825)]}, among=EMA_BUILDERS, stale={EMAS: STALE})
    step = step_of(planned, EMAS)
    assert step.ids == [825]
    assert reasons(step.skipped) == STALE
    assert request_of(step).ids == (825,)
    assert step_of(planned, V2).skipped == ()
    assert not is_idle(planned)


def test_stale_inputs_that_this_run_brings_up_to_date() -> None:
    """The freshness of assets that an earlier step of the same plan works on is judged after that step."""
    planned = plan({BARS: [append(1)]}, stale={EMAS: STALE, V2: STALE})
    assert step_of(planned, EMAS).ids == [1]
    assert reasons(step_of(planned, EMAS).skipped) == {52: STALE[52]}
    assert reasons(step_of(planned, V2).skipped) == STALE


def test_inputs_both_stale_and_pending() -> None:
    """An asset is skipped once, with the reason that says what to do."""
    planned = plan({}, among=EMA_BUILDERS, stale={EMAS: STALE}, pending={EMAS: (1,)})
    assert reasons(step_of(planned, EMAS).skipped) == {1: PENDING, 52: STALE[52]}


def test_only_what_was_left() -> None:
    """A resumed run works on the assets that each builder left, and on no other that became due since."""
    dues = {DAILY: [append(1), append(52)], BARS: [append(825)]}
    planned = plan(dues, only={DAILY: {52}, BARS: {52, 825}, EMAS: {1}})
    assert {step.builder: reasons(step.tasks) for step in planned.steps if step.tasks} == {
        DAILY: {52: "append 1 day"},
        BARS: {52: "follows 1d bars", 825: "append 1 day"},
    }
    assert request_of(step_of(planned, BARS)).ids == (52, 825)


def test_only_what_was_left_is_skipped() -> None:
    """Of the assets that are not ready, a resumed run reports only those that it would have worked on."""
    dues = {EMAS: [append(asset) for asset in ASSETS]}
    stale, pending = {EMAS: STALE}, {EMAS: (825,)}
    planned = plan(dues, among=EMA_BUILDERS, stale=stale, pending=pending, only={EMAS: {52, 825}})
    assert step_of(planned, EMAS).tasks == ()
    assert reasons(step_of(planned, EMAS).skipped) == {52: STALE[52], 825: PENDING}
    planned = plan(dues, among=EMA_BUILDERS, stale=stale, pending=pending, only={EMAS: {1}, V2: {52}})
    assert reasons(step_of(planned, EMAS).skipped) == {1: STALE[1]}


def test_only_what_was_left_and_is_still_due() -> None:
    """What another run has finished since is not done again, and is no reason to skip anything."""
    planned = plan({DAILY: [append(1)]}, only={DAILY: {52}, BARS: {52}}, stale={EMAS: STALE}, pending={EMAS: (825,)})
    assert is_idle(planned)
    assert planned.assets == 3


def test_nothing_was_left() -> None:
    """A resumed run to which nothing is left does nothing, not everything."""
    assert is_idle(plan({DAILY: [append(1)]}, only={}))


def test_who_depends_on_whom() -> None:
    """Bars depend on the daily ones, EMAs on these and on their own bars."""
    steps = [Step(builder=builder) for builder in BUILDERS]

    def keys(builder: BuilderConfig) -> list[str]:
        return [step.builder.key for step in inputs_of(builder, steps)]

    inputs = {builder.key: keys(builder) for builder in BUILDERS}
    windowed = ["multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso"]
    assert inputs == {
        "bars.1d": [],
        **{f"bars.{name}": ["bars.1d"] for name in windowed},
        "emas.multi_tf": ["bars.1d", "bars.multi_tf"],
        "emas.cal": ["bars.1d", "bars.cal_us", "bars.cal_iso"],
        "emas.cal_anchor": ["bars.1d", "bars.cal_anchor_us", "bars.cal_anchor_iso"],
        "emas.v2": ["bars.1d"],
    }


def test_first_ready() -> None:
    """The step to start is the first waiting one whose inputs are finished or not in the plan."""
    daily, bars, emas, v2 = steps = [Step(builder=builder) for builder in (DAILY, BARS, EMAS, V2)]
    assert first_ready(steps, steps, set()) == daily
    assert first_ready(steps, [bars, emas, v2], set()) is None
    assert first_ready(steps, [emas, v2], {DAILY}) == v2
    assert first_ready(steps, [emas, v2], {DAILY, BARS}) == emas
    assert first_ready([bars, emas], [emas], {BARS}) == emas
    assert first_ready(steps, [], {DAILY}) is None
