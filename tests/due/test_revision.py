"""What a change of the source means, in numbers and words, and what is refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from due.works import ASSET, restatement

from refresh.due.revision import (
    FUSE_ASSETS,
    ChangedValue,
    Restatement,
    Revision,
    history_refusals,
    mass_refusals,
    removal_refusals,
    split_of,
)
from refresh.records import LedgerLine

CHANGE = ChangedValue(day=date(2019, 5, 1), column="close", before=5350.7, after=5402.7)
WAY_OUT = "none of it was written; accept it with --accept-restatement, or correct the source"

NIGHT = (timedelta(hours=-5), timedelta(hours=-4))


def july(day: int) -> date:
    """A day of July 2026."""
    return date(2026, 7, day)


# Words and numbers


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        (Revision(id=1, changed=1, restatement=restatement(change=CHANGE)), str(CHANGE)),
        (Revision(id=1, changed=2, restatement=restatement(change=CHANGE)), f"{CHANGE}, 1 more day changed"),
        (Revision(id=1, changed=1509, restatement=restatement(change=CHANGE)), f"{CHANGE}, 1,508 more days changed"),
        (Revision(id=1, appended=1), "1 day appended"),
        (
            Revision(id=1, appended=4, added_before=1, added_inside=2, deleted=3, restatement=restatement()),
            "1 day added before the first one, 2 days added in between, 3 days deleted, 4 days appended",
        ),
        (Revision(id=1), "source rows changed, but no price"),
        (
            Revision(id=1, changed=1, appended=2, restatement=restatement(change=CHANGE, is_last_day_only=True)),
            "the last day, 2019-05-01, was provisional: close 5350.7 -> 5402.7, 2 days appended",
        ),
        (
            Revision(id=1, changed=9, restatement=restatement(change=CHANGE, factor=2.0)),
            f"looks like a 1:2 split: {CHANGE}, 8 more days changed",
        ),
        (
            Revision(id=1, restamped=365, restatement=restatement(shifts=(timedelta(hours=5),))),
            "timestamps of 365 days moved by 5:00:00, no price changed",
        ),
        (
            Revision(id=1, restamped=365, changed=1, restatement=restatement(change=CHANGE, shifts=NIGHT)),
            f"{CHANGE}, timestamps of 365 days moved by -5:00:00 to -4:00:00",
        ),
        (
            Revision(id=1, deleted=3, restatement=restatement(emptied=(date(2026, 7, 24),))),
            "1 day lost its prices: 2026-07-24, 2 days deleted",
        ),
        (
            Revision(id=1, deleted=4, restatement=restatement(emptied=tuple(map(july, range(20, 24))))),
            "4 days lost their prices: 2026-07-20, 2026-07-21, 2026-07-22 and 1 more",
        ),
    ],
)
def test_words(revision: Revision, words: str) -> None:
    """The first changed value, then the number of days by kind of change."""
    assert revision.words == words


def test_a_changed_value_in_words() -> None:
    """A changed value names its column and day, and the value before and after."""
    assert str(CHANGE) == "close of 2019-05-01 changed from 5350.7 to 5402.7"


def test_rows() -> None:
    """Appended days are no restated ones."""
    assert Revision(id=1, appended=16, added_before=1, added_inside=2, deleted=4, changed=8).rows == 15


@pytest.mark.parametrize(
    ("revision", "is_rewritten"),
    [
        (Revision(id=1, appended=3), False),
        (Revision(id=1, added_before=2, restatement=restatement()), False),
        (Revision(id=1, added_inside=2, restatement=restatement()), False),
        (Revision(id=1, changed=1, restatement=restatement()), True),
        (Revision(id=1, deleted=1, restatement=restatement()), True),
        (Revision(id=1, changed=1, restatement=restatement(is_last_day_only=True)), False),
        (Revision(id=1, deleted=1, restatement=restatement(is_last_day_only=True)), False),
    ],
)
def test_what_rewrites_history(revision: Revision, *, is_rewritten: bool) -> None:
    """Known days that changed or were deleted, unless the last day is the only one; added days are none."""
    assert revision.rewrites_history is is_rewritten


def test_ledger_line() -> None:
    """The ledger has a line for what was restated, and none for new days."""
    change = restatement(last=date(2024, 5, 9), new_close=8.0)
    revision = Revision(id=ASSET, changed=1, deleted=2, restatement=change)
    assert revision.ledger_line == LedgerLine(
        id=ASSET,
        first_day=date(2024, 5, 2),
        last_day=date(2024, 5, 9),
        rows=3,
        old_close=7.5,
        new_close=8.0,
        reason="1 day changed, 2 days deleted",
    )
    assert Revision(id=ASSET, appended=2).ledger_line is None


@pytest.mark.parametrize(
    ("factor", "split"),
    [
        (0.25, "4:1"), (0.250012, "4:1"), (0.5, "2:1"), (0.05, "20:1"), (1 / 3, "3:1"), (2 / 3, "3:2"), (0.8, "5:4"),
        (2.0, "1:2"), (10.003, "1:10"), (1.5, "2:3"),
        (0.2533, ""), (0.9, ""), (1.1, ""), (100.0, ""), (1e-5, ""), (5e7, ""),
    ],
)  # fmt: skip
def test_splits(factor: float, split: str) -> None:
    """Factors of usual splits are told from others, a rounding of the closes apart."""
    assert split_of(factor) == split


# Refusals


def scaled(asset: int, factor: float | None, **facts: bool) -> Revision:
    """A revision of an asset with a changed day."""
    change: Restatement = restatement(change=CHANGE, factor=factor, **facts)
    return Revision(id=asset, changed=1, restatement=change)


def test_a_scaled_history_is_refused() -> None:
    """An asset whose whole history is multiplied by one factor is refused; others are not."""
    revisions = [scaled(1, 0.25), scaled(2, None), scaled(3, 2.0, is_last_day_only=True), Revision(id=4, appended=1)]
    reason = (
        f"restatement refused: its whole history is multiplied by 0.25 (looks like a 4:1 split: {CHANGE}); {WAY_OUT}"
    )
    assert history_refusals(revisions) == {1: reason}


@pytest.mark.parametrize(
    ("rewritten", "assets", "limit", "is_refused"),
    [
        (FUSE_ASSETS - 1, FUSE_ASSETS - 1, 0.0, False),
        (FUSE_ASSETS, FUSE_ASSETS, 99.0, True),
        (FUSE_ASSETS, FUSE_ASSETS, 100.0, False),
        (FUSE_ASSETS, 100, 10.0, False),
        (FUSE_ASSETS + 1, 100, 10.0, True),
    ],
)
def test_too_many_at_once_are_refused(rewritten: int, assets: int, limit: float, *, is_refused: bool) -> None:
    """All restated assets are refused if they are ten or more, and more than the limit in percent of all assets."""
    revisions = [scaled(asset, None) for asset in range(rewritten)]
    revisions += [Revision(id=500, appended=1), scaled(501, None, is_last_day_only=True)]
    refused = mass_refusals(revisions, rewritten, assets, limit)
    assert set(refused) == (set(range(rewritten)) if is_refused else set())
    many = f"{rewritten} of {assets} assets are restated at once (--restate-limit {limit:g} %)"
    assert set(refused.values()) <= {f"restatement refused: {many}, this one: {CHANGE}; {WAY_OUT}"}


def test_a_replaced_history_is_refused() -> None:
    """An asset with nearly no known close left is refused; one that is removed on request is not refused for that."""
    replaced = scaled(1, None, is_replaced=True)
    removed = Revision(id=2, deleted=40, is_removed=True, restatement=restatement(is_replaced=True))
    reason = f"restatement refused: its whole history is replaced ({CHANGE}); {WAY_OUT}"
    assert history_refusals([replaced, removed]) == {1: reason}
    source = f"restatement refused: the source has no rows at all, of any asset; {WAY_OUT}"
    assert removal_refusals([replaced, removed]) == {2: source}
