"""That what a refresh leaves behind is noticed, and what happens to prices is the same for the same seed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from refreshing import FEW, enable, refresh
from sqlalchemy import Engine, text
from statements import execute

from bench.endurance import tables, traces
from bench.endurance.nights import slower
from bench.endurance.traces import Traces, Tracker, growth
from bench.endurance.vendor import Changes, Vendor
from bench.endurance.watching import most_bytes
from bench.figures import Unit
from bench.server import Bench, Database, Size, fill
from refresh.store.database import connect

SIZE = Size(3, 40)
NONE = Traces(logs=0, temporary=0, processes=0, sessions=0, shared=0, descriptors=0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with a server of its own, on which nothing is measured."""
    with Bench() as bench:
        yield bench


@pytest.fixture
def tracker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """What looks for traces, and does not wait for them to go."""
    monkeypatch.setattr(traces, "SECONDS_TO_GO", 0)
    url = bench.engine.url.render_as_string(hide_password=False)
    return Tracker(bench, Database(size=SIZE, url=url, engine=bench.engine))


def test_nothing_is_left(tracker: Tracker) -> None:
    """The bench itself leaves no traces."""
    seen = tracker.look()
    assert seen.descriptors > 0
    assert dataclasses.replace(seen, descriptors=0) == NONE


def test_files_are_noticed(tracker: Tracker, bench: Bench) -> None:
    """Files count in the folders of logs and of temporary files, in any depth; logs of several days count once."""
    (bench.directory / "logs" / "inside").mkdir(parents=True)
    logs = [bench.directory / "logs" / name for name in ("r-2025-12-31.log", "r-2026-01-01.log", "inside/a.log")]
    left = bench.directory / "tmp" / "left"
    for path in (*logs, left):
        path.touch()
    seen = tracker.look()
    for path in (*logs, left):
        path.unlink()
    assert (seen.logs, seen.temporary) == (2, 1)


def test_process_is_noticed(tracker: Tracker, bench: Bench) -> None:
    """A process counts that was started with the folder of logs, or by one that was."""
    environ = {**os.environ, "REFRESH_LOG_DIR": f"{bench.directory}/logs"}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environ, stdin=subprocess.PIPE) as process:
        seen = tracker.look()
        process.communicate(b"\n")
    assert seen.processes == 1
    assert tracker.look().processes == 0


def test_session_is_noticed(tracker: Tracker, bench: Bench) -> None:
    """A session counts that is not the bench's own."""
    with connect(bench.engine.url.render_as_string(hide_password=False), "left"):
        assert tracker.look().sessions == 1


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no shared memory with names")  # noqa: S108
def test_shared_memory_is_noticed(tracker: Tracker) -> None:
    """A segment counts that nobody uses; one that was there before does not."""
    segment = Path("/dev/shm") / f"left-{uuid.uuid4().hex}"  # noqa: S108
    segment.touch()
    try:
        assert tracker.look().shared == 1
    finally:
        segment.unlink()
    assert tracker.look().shared == 0


def with_logs(*numbers: int) -> list[Traces]:
    """Traces that differ in the number of logs."""
    return [dataclasses.replace(NONE, logs=number) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "more"), [((1, 2, 3, 4), 2), ((1, 3, 3, 3), 0), ((3, 1, 1, 1), -2), ((1, 1, 5, 1), 4), ((7,), -7)]
)
def test_growth(numbers: tuple[int, ...], more: int) -> None:
    """What is reached in the first half may be reached again; a peak in the second half counts."""
    assert growth(with_logs(*numbers), "logs") == more


def test_last_compared_with_first() -> None:
    """A fifth of the values on each side, and the median of each."""
    figure = slower("time", [1, 9, 2, 5, 5, 5, 5, 4, 1, 4], 0.25, Unit.SECONDS)
    assert figure.value == pytest.approx(2.5 / 5)
    assert figure.is_met


def test_memory_of_a_process() -> None:
    """The system keeps the most that a process ever had; of one that has ended there is nothing."""
    assert most_bytes("Name:\tpython\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n") == 2 << 20
    assert most_bytes("Name:\tpython\nState:\tZ (zombie)\n") == 0


def changes_of(seed: int) -> list[Changes]:
    """Some nights and races."""
    vendor = Vendor(SIZE, seed)
    return [*(vendor.night(number) for number in range(1, 51)), *(vendor.race() for _ in range(20))]


def test_same_seed_same_changes() -> None:
    """A seed stands for what happens to prices, and another one for something else."""
    assert changes_of(1) == changes_of(1)
    assert changes_of(1) != changes_of(2)


def test_everything_happens() -> None:
    """Days are written, corrected and deleted, assets are listed, and prices are refused."""
    changes = changes_of(1)
    written = [row for change in changes for row in change.written]
    assert max(row["id"] for row in written) > SIZE.assets
    assert any(row["high"] in {None, -1.0} for row in written)
    assert len({(row["id"], row["time"]) for row in written}) < len(written)
    assert sum(len(change.deleted) for change in changes) > 2


def test_difference_is_noticed(engine: Engine, prepared_url: str) -> None:
    """A value that differs, a row too many in the ledger: the table is named. When rows were written does not count."""
    fill(engine, SIZE)
    enable(engine, FEW, periods=[10])
    refresh(engine)
    database = Database(size=SIZE, url=prepared_url, engine=engine)
    before = tables.digests(database)
    execute(engine, "UPDATE cmc_price_bars_1d SET ingested_at = now() + interval '1 day'")
    assert tables.digests(database) == before
    with engine.begin() as connection:
        connection.execute(text("UPDATE cmc_price_bars_1d SET close = close + 1e-9 WHERE id = 1"))
        connection.execute(text("UPDATE cmc_price_bars_multi_tf_state SET seen_ts = NULL WHERE id = 2"))
    after = tables.digests(database)
    assert {name for name in before if after[name] != before[name]} == {
        "cmc_price_bars_1d",
        "cmc_price_bars_multi_tf_state",
    }
