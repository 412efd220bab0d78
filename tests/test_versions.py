"""The version of each leg is raised with its formula or columns: rows of an older version are rebuilt."""

from __future__ import annotations

import hashlib

import pytest

from refresh.catalog import Leg, legs

VERSIONS = {
    "cmc_price_bars_1d": (1, "d8cabcb266da"),
    "cmc_price_bars_multi_tf": (1, "95338f5a9b22"),
    "cmc_price_bars_multi_tf_cal_us": (1, "2200f4823fb9"),
    "cmc_price_bars_multi_tf_cal_iso": (1, "ca7c78a51103"),
    "cmc_price_bars_multi_tf_cal_anchor_us": (1, "50c3d84cb3d5"),
    "cmc_price_bars_multi_tf_cal_anchor_iso": (1, "806b3099b15b"),
    "cmc_ema_multi_tf": (1, "4e2dd0a83002"),
    "cmc_ema_multi_tf_cal_us": (1, "aee454453d12"),
    "cmc_ema_multi_tf_cal_iso": (1, "ee50594c5334"),
    "cmc_ema_multi_tf_cal_anchor_us": (1, "2615a4ab9f52"),
    "cmc_ema_multi_tf_cal_anchor_iso": (1, "f0cbd8c67f88"),
    "cmc_ema_multi_tf_v2": (1, "2210e4ca306a"),
}


def fingerprint(leg: Leg) -> str:
    """A digest of what a table holds and by which formula; the values are those of tests/answers."""
    columns = [(column.name, column.type, column.nullable) for column in leg.shape.columns]
    read = (leg.follows, leg.price)
    return hashlib.sha256(repr((columns, leg.shape.key, leg.family, leg.formula, read)).encode()).hexdigest()[:12]


@pytest.mark.parametrize("leg", [leg for _, leg in legs()], ids=lambda leg: leg.target)
def test_version(leg: Leg) -> None:
    """Whoever changes what a table holds raises its version, and notes both here."""
    assert (leg.version, fingerprint(leg)) == VERSIONS[leg.target]
