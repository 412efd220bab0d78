"""Whatever goes wrong in the middle of a refresh, the next ordinary one leaves what a clean rebuild leaves.

``REFRESH_FAULT_HITS`` is how often each fault has to strike; without it, a few faults strike once.
``REFRESH_FAULT_SEED`` begins the seeds of a run, and ``REFRESH_FAULT_SHEET`` names the page that the run writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
from faults import ground as grounds
from faults.catalogue import FAULTS, SAMPLE
from faults.ground import ALL, Ground
from faults.scene import Fault, MissedError, Setting, Struck
from faults.sheet import Line
from faults.truth import Morning, truth_of
from other_users import IS_ROOT

from refresh.errors import ExitCode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found as Linux lists them")
HITS = int(os.environ.get("REFRESH_FAULT_HITS", "0"))
SEED = int(os.environ.get("REFRESH_FAULT_SEED", SystemRandom().randrange(10**6)))
MORNINGS = 3
MISSES = 10
"""Attempts per hit after which a fault is taken for one that cannot strike."""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A server for faults alone."""
    with grounds.opened() as ground:
        yield ground


@pytest.fixture(scope="module")
def mornings(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> list[Morning]:
    """What refreshes may find."""
    folder = tmp_path_factory.mktemp("mornings")
    return [Morning(ground=ground, seed=seed, folder=folder) for seed in range(MORNINGS)]


def strike(fault: Fault, setting: Setting) -> tuple[Struck, list[str], bool]:
    """Let a fault strike once. Raises ``MissedError``.

    Returns how its programs ended, what is wrong after an ordinary refresh, and whether the ledger is right.
    """
    with fault.stage(setting) as scene:
        try:
            struck = fault.strike(scene)
        finally:
            for program in scene.programs:
                if program.process.poll() is None:
                    program.process.kill()
                    program.process.wait()
        with scene.served():
            scene.check_nothing_is_left()
            last = scene.start(*ALL)
            assert last.wait() == ExitCode.DONE, last.out + last.err
            expected, found = fault.truth(scene), truth_of(scene.url)
        return struck, expected.wrong(found), expected.is_told(found)


@pytest.mark.parametrize("fault", FAULTS if HITS else SAMPLE, ids=lambda fault: fault.name)
def test_nothing_is_lost(fault: Fault, mornings: list[Morning], tmp_path: Path, record_property: Any) -> None:
    """After each hit one ordinary refresh ends with 0, and tables, states and ledger are right."""
    if fault.as_root and not IS_ROOT:
        pytest.skip("only root can do this")
    line = Line(fault=fault.name, seed=SEED)
    for attempt in range(MISSES * max(HITS, 1)):
        seed = SEED + attempt
        folder = tmp_path / str(attempt)
        folder.mkdir()
        try:
            setting = Setting(morning=mornings[attempt % MORNINGS], folder=folder, draw=Random(seed))  # noqa: S311 - no secret
            struck, wrong, is_told = strike(fault, setting)
        except MissedError:
            continue
        line = line.with_hit(struck, seed, wrong, is_told=is_told, codes=fault.codes)
        if line.hits >= max(HITS, 1):
            break
    record_property("fault", line.as_text())
    assert line.hits == max(HITS, 1), f"struck {line.hits} times from seed {SEED} on"
    assert line.problems == (), f"{line.problems} (seeds from {SEED} on)"
