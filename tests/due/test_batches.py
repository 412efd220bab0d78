"""What is computed at once: batches are complete, full, of one kind, and within their limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

from due.works import due
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.due.batches import Batch, batches
from refresh.due.decision import Action, Due

MANY = 1_000_000
LIMITS = st.integers(1, 300)
DUES = st.lists(
    st.builds(
        Due,
        id=st.integers(1, 12),
        action=st.sampled_from(Action),
        days=st.integers(0, 60),
        series=st.sampled_from([(), (0,), (1,), (0, 1, 2)]),
    ),
    max_size=25,
    unique_by=lambda due: (due.id, due.series),
)


def kind_of(work: Due) -> tuple[str, tuple[int, ...]]:
    """What can be done together: rebuilds, prunings, and all that is compared; on the same series."""
    kinds = {Action.REBUILD: "rebuilt", Action.PRUNE: "pruned"}
    return kinds.get(work.action, "compared"), work.series


def size_of(batch: Batch) -> int:
    """The rows that are computed at once: all assets over the days of the longest, and one more to continue from."""
    longest = max(work.days for work in batch.dues)
    return len(batch.dues) * (longest + 1) * max(len(batch.series), 1)


def split(dues: list[Due]) -> list[Due]:
    """Each series by itself."""
    return [replace(work, series=work.series[n : n + 1]) for work in dues for n in range(len(work.series) or 1)]


@settings(deadline=None)
@given(DUES, LIMITS)
def test_every_due_is_in_one_batch(dues: list[Due], limit: int) -> None:
    """All work is done, each series of each asset once. Work that was split is otherwise what it was."""
    pieces = [work for batch in batches(dues, limit, MANY) for work in batch.dues]
    assert Counter(split(pieces)) == Counter(split(dues))


@settings(deadline=None)
@given(DUES, LIMITS)
def test_a_batch_is_of_one_kind(dues: list[Due], limit: int) -> None:
    """All of a batch has the same series and is rebuilt, pruned or compared; an asset is in it once."""
    for batch in batches(dues, limit, MANY):
        assert {kind_of(work) for work in batch.dues} == {kind_of(batch.dues[0])}
        assert (batch.action, batch.series) == (batch.dues[0].action, batch.dues[0].series)
        assert {work.rewrites for work in batch.dues} == {batch.rewrites}
        assert batch.ids == [work.id for work in batch.dues]
        assert len(set(batch.ids)) == len(batch.ids)


@settings(deadline=None)
@given(DUES, LIMITS)
def test_a_batch_respects_the_limit(dues: list[Due], limit: int) -> None:
    """No batch computes more rows than the limit, except a single series of a single asset that has more."""
    for batch in batches(dues, limit, MANY):
        assert size_of(batch) <= limit or (len(batch.dues) == 1 and len(batch.series) <= 1)


@settings(deadline=None)
@given(DUES, LIMITS)
def test_batches_are_full(dues: list[Due], limit: int) -> None:
    """A batch ends only if the next piece of work is of another kind or would exceed the limit."""
    for batch, following in pairwise(batches(dues, limit, MANY)):
        is_alike = kind_of(batch.dues[0]) == kind_of(following.dues[0])
        assert not is_alike or size_of(Batch(dues=(*batch.dues, following.dues[0]))) > limit


@settings(deadline=None)
@given(DUES, LIMITS, st.randoms(use_true_random=False))
def test_batches_do_not_depend_on_order(dues: list[Due], limit: int, random: Random) -> None:
    """The same work is in the same batches in whatever order it comes."""
    shuffled = random.sample(dues, len(dues))
    assert list(batches(shuffled, limit, MANY)) == list(batches(dues, limit, MANY))


def test_an_asset_with_too_many_rows_is_split_evenly() -> None:
    """Seven series of a hundred rows each become three pieces if three hundred rows are the limit."""
    work = due(Action.REBUILD, 99, tuple(range(10, 17)))
    assert [batch.series for batch in batches([work], 300, MANY)] == [(10, 11, 12), (13, 14, 15), (16,)]


def test_a_batch_has_a_limited_number_of_assets() -> None:
    """Assets with a day each are split if there are more than may be locked at once."""
    dues = [due(Action.APPEND, id=asset) for asset in range(25)]
    assert [len(batch.dues) for batch in batches(dues, MANY, 10)] == [10, 10, 5]


def test_similar_lengths_are_together() -> None:
    """Short stretches are not computed beside a long one whose days they would have to fill."""
    dues = [due(Action.APPEND, days, id=asset) for asset, days in enumerate([1, 99, 1, 99])]
    assert [batch.ids for batch in batches(dues, 200, MANY)] == [[0, 2], [1, 3]]


def test_no_work() -> None:
    """Without work there is no batch."""
    assert list(batches([], 100, MANY)) == []
