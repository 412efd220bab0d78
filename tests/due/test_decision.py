"""What a refresh has to do for an asset, and why, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from due.works import ASSET, due, restatement, utc

from refresh.due.decision import Action, Cause, Due
from refresh.due.revision import Revision

# Words


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (due(Action.APPEND, 1, since=utc(2024, 5, 2)), "append 1 day"),
        (due(Action.APPEND, 2, since=utc(2024, 5, 2)), "append 2 days"),
        (due(Action.APPEND, 0, since=utc(2024, 5, 2)), "append 0 days"),
        (due(Action.APPEND, 1234), "append 1,234 days"),
        (due(Action.REVISE, 900, since=utc(2019, 5, 1)), "revise from 2019-05-01"),
        (due(Action.REVISE, 900, since=utc(1, 1, 2)), "revise from the first day"),
        (due(Action.REVISE, 900), "revise from the first day"),
        (due(Action.REBUILD, 1, cause=Cause.NEW), "build 1 day: not built yet"),
        (due(Action.REBUILD, 9, cause=Cause.REQUESTED), "build 9 days: --full-rebuild"),
        (due(Action.REBUILD, 9, cause=Cause.CONTRADICTION), "build 9 days: the state contradicts the table"),
        (due(Action.REBUILD, 9), "build 9 days"),
        (due(Action.PRUNE, 9), "gone from the source (--prune)"),
        (due(Action.REVISE, 9, refusal="too many", revision=Revision(id=1, deleted=2)), "too many"),
        (due(Action.APPEND, 9, revision=Revision(id=1, appended=2)), "2 days appended"),
    ],
)
def test_reason(work: Due, reason: str) -> None:
    """The reason says in words what is done and why; a retry says so first."""
    assert work.reason == reason
    assert replace(work, is_retry=True).reason == f"retry (failed last time): {reason}"


@pytest.mark.parametrize("action", Action)
def test_what_rewrites(action: Action) -> None:
    """Only a rebuild and a pruning delete stored rows without comparing them."""
    assert due(action).rewrites == (action in {Action.REBUILD, Action.PRUNE})


def test_work_on_some_series() -> None:
    """Work can be narrowed to some of its series, in their order."""
    work = due(Action.APPEND, 3, (4, 1, 2))
    assert work.on({2, 4, 9}) == replace(work, series=(4, 2))


# What the comparison of days makes of a decision

DUE = due(Action.REVISE, 40, id=ASSET, since=utc(2024, 5, 1))


def test_new_days_are_an_append() -> None:
    """If days were only appended, the action is an append; the start stays."""
    revision = Revision(id=ASSET, appended=2)
    examined = DUE.examined(revision, None)
    assert examined == replace(DUE, action=Action.APPEND, revision=revision)
    assert examined.reason == "2 days appended"


def test_known_days_that_changed_are_a_revision() -> None:
    """If known days changed, the action is a revision, and the reason is that of its refusal if it is refused."""
    revision = Revision(id=ASSET, appended=1, deleted=1, restatement=restatement())
    examined = DUE.examined(revision, "too many at once")
    assert examined == replace(DUE, action=Action.REVISE, revision=revision, refusal="too many at once")
    assert examined.reason == "too many at once"
    assert DUE.examined(revision, None).reason == "1 day deleted, 1 day appended"
