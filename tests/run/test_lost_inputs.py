"""Steps of a plan without the assets whose inputs failed."""

from __future__ import annotations

import pytest
from run.planning import (
    ASSETS,
    BARS,
    CAL,
    CAL_US,
    DAILY,
    EMA_BUILDERS,
    EMAS,
    PENDING,
    V2,
    append,
    plan,
    request_of,
    step_of,
)

from refresh.catalog import BuilderConfig
from refresh.options.request import Request
from refresh.run.plan import Plan, Task, lost_inputs, without

REQUEST = Request(all=True, tfs=("7d",))


@pytest.fixture
def whole() -> Plan:
    """A plan whose steps are all for assets 1, 52 and 825, which are all assets."""
    return plan({DAILY: [append(asset) for asset in ASSETS]}, request=REQUEST)


def test_without_any_failure(whole: Plan) -> None:
    """A step whose inputs are complete is launched as it was planned."""
    step = step_of(whole, EMAS)
    assert without(step, {}, REQUEST) is step
    assert without(step, {9: "bars failed"}, REQUEST) is step
    assert lost_inputs(EMAS, {DAILY: set(), BARS: set()}) == {}


@pytest.mark.parametrize(
    ("builder", "reason"), [(EMAS, "bars failed"), (V2, "bars failed"), (BARS, "1d bars failed"), (DAILY, None)]
)
def test_lost_inputs(builder: BuilderConfig, reason: str | None) -> None:
    """What failed upstream is lost downstream, in the words of the builder that reads it."""
    expected = dict.fromkeys((52, 825), reason) if reason else {}
    assert lost_inputs(builder, {DAILY: {52, 825}}) == expected


def test_inputs_lost_in_several_steps() -> None:
    """An asset is lost if any of the steps that a builder reads from lost it."""
    unfinished = {DAILY: {1}, BARS: {52}, CAL_US: {825}}
    assert set(lost_inputs(EMAS, unfinished)) == {1, 52}
    assert set(lost_inputs(CAL, unfinished)) == {1, 825}
    assert set(lost_inputs(V2, unfinished)) == {1}


@pytest.mark.parametrize("builder", [EMAS, V2, BARS], ids=lambda builder: builder.key)
def test_without_an_asset(whole: Plan, builder: BuilderConfig) -> None:
    """The asset is skipped with the reason given; the arguments name the others, with the filters."""
    step = without(step_of(whole, builder), {825: "because of this"}, REQUEST)
    assert step.ids == [1, 52]
    assert step.skipped == (Task(id=825, reason="because of this"),)
    request = request_of(step)
    assert (request.builder, request.ids, request.tfs) == (builder.key, (1, 52), ("7d",))


def test_only_dependants_lose_an_asset(whole: Plan) -> None:
    """A step that does not read what failed goes on with every asset."""
    lost = {step.builder: lost_inputs(step.builder, {CAL_US: {825}}) for step in whole.steps}
    changed = [step.builder for step in whole.steps if without(step, lost[step.builder], REQUEST) != step]
    assert changed == [CAL]


def test_failures_add_to_what_was_skipped() -> None:
    """Assets that were skipped before stay so, each with its own reason, and no asset is skipped twice."""
    planned = plan({EMAS: [append(1), append(52)]}, among=EMA_BUILDERS, pending={EMAS: (825,)})
    step = without(step_of(planned, EMAS), lost_inputs(EMAS, {DAILY: {52, 825}, BARS: {52}}), REQUEST)
    assert step.skipped == (Task(id=825, reason=PENDING), Task(id=52, reason="bars failed"))
    assert step.ids == [1]


def test_every_asset_failed(whole: Plan) -> None:
    """A step that lost all its assets has nothing to launch."""
    step = without(step_of(whole, EMAS), dict.fromkeys(ASSETS, "bars failed"), REQUEST)
    assert step.tasks == ()
    assert [task.id for task in step.skipped] == list(ASSETS)


def test_planned_steps_are_not_changed(whole: Plan) -> None:
    """Leaving assets out makes another step."""
    planned = step_of(whole, EMAS)
    assert without(planned, {825: "bars failed"}, REQUEST) != planned
    assert planned.ids == list(ASSETS)
