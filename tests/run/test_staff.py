"""Which worker gets the next part, and when there is no hope left."""

from __future__ import annotations

import pytest

from refresh.run import staff
from refresh.run.staff import Staff


def with_workers(**slots: int) -> Staff:
    """Workers with these slots."""
    made = Staff()
    made.update(slots)
    return made


def hopeless(workers: Staff) -> bool:
    """Whether no worker is left, as it is now."""
    return workers.is_hopeless


def test_the_freest_worker_is_next() -> None:
    """The worker with the most free slots gets a part, and none gets more builders than it has slots."""
    workers = with_workers(small=1, large=3)
    chosen: list[str] = []
    while worker := workers.free(chosen):
        chosen.append(worker)
    assert chosen == ["large", "large", "small", "large"]


def test_a_worker_of_no_use_gets_nothing() -> None:
    """A worker that refused gets no other part; if all refused, the first reason is told."""
    workers = with_workers(one=1, two=1)
    workers.refuse("one", "worker one has no variable")
    assert workers.free([]) == "two"
    assert not hopeless(workers)
    workers.refuse("two", "worker two has none either")
    assert workers.free([]) is None
    assert hopeless(workers)
    assert workers.despair == "no worker is left: worker one has no variable"


def test_refusals_of_all_are_forgiven() -> None:
    """If no worker could do anything, the database may have been away: the next step tries them again."""
    workers = with_workers(one=1, two=1)
    workers.refuse("one", "no")
    workers.forgive()
    assert workers.free([]) == "two"
    workers.refuse("two", "no")
    workers.forgive()
    assert not hopeless(workers)


def test_workers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any worker there is hope for a while, and at once again when one comes."""
    workers = with_workers(one=1)
    workers.remove("one")
    assert not hopeless(workers)
    monkeypatch.setattr(staff, "SECONDS_WITHOUT_WORKER", 0.0)
    assert hopeless(workers)
    workers.update({"two": 1})
    assert not hopeless(workers)


def test_nobody_is_waited_for_without_a_scheduler() -> None:
    """If the scheduler is gone, no worker can come."""
    workers = with_workers(one=1)
    workers.give_up("the scheduler is gone")
    assert hopeless(workers)
    assert workers.despair == "no worker is left: the scheduler is gone"
