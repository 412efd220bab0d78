"""How the assets of the measure of two machines are spread."""

from __future__ import annotations

import pytest

pytest.importorskip("distributed")

from bench.measures.spread import SHARDS, halves


@pytest.mark.parametrize("assets", [1, 2, 3, 17, 200, 1001])
def test_halves(assets: int) -> None:
    """No machine gets two assets more than the other; what need not be elsewhere is where its hash says."""
    ids = range(1, assets + 1)
    counts = [len(halves(assets).split(ids).get(name, ())) for name in SHARDS.shards]
    by_hash = [len(SHARDS.split(ids).get(name, ())) for name in SHARDS.shards]
    assert sum(counts) == assets
    assert max(counts) - min(counts) <= 1
    assert len(halves(assets).placed) == (max(by_hash) - min(by_hash)) // 2
    assert not halves(assets).waiting
