"""Which table a timeframe means, without a database."""

from __future__ import annotations

import pytest

from refresh.catalog import Group
from refresh.core.timeframe import DEFAULT_TIMEFRAMES
from refresh.errors import UsageError
from refresh.reading.naming import families, meant


def test_families() -> None:
    """Each table has a name of its own: that of its builder, with the scheme of its weeks where that has two tables."""
    assert list(families(Group.BARS)) == ["1d", "multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso"]
    assert list(families(Group.EMAS)) == ["multi_tf", "cal_us", "cal_iso", "cal_anchor_us", "cal_anchor_iso", "v2"]
    assert families(Group.EMAS)["cal_iso"].target == "cmc_ema_multi_tf_cal_iso"


@pytest.mark.parametrize(
    ("group", "timeframe", "family", "table"),
    [
        (Group.BARS, "1d", None, "cmc_price_bars_1d 1D"),
        (Group.BARS, "30d", None, "cmc_price_bars_multi_tf 30D"),
        (Group.BARS, "3m_cal", None, "cmc_price_bars_multi_tf_cal_us 3M_CAL"),
        (Group.BARS, "3M_CAL", "cal_iso", "cmc_price_bars_multi_tf_cal_iso 3M_CAL"),
        (Group.BARS, "2W", "cal_anchor_iso", "cmc_price_bars_multi_tf_cal_anchor_iso 2W_CAL_ANCHOR_ISO"),
        (Group.EMAS, "7D", None, "cmc_ema_multi_tf 7D"),
        (Group.EMAS, "7D", "v2", "cmc_ema_multi_tf_v2 7D"),
        (Group.EMAS, "1Y", "cal_us", "cmc_ema_multi_tf_cal_us 1Y_CAL"),
    ],
)
def test_meant(group: Group, timeframe: str, family: str | None, table: str) -> None:
    """A label means the first table that has it, or that of a family; a length is enough where it means one thing."""
    found = meant(group, timeframe, family, DEFAULT_TIMEFRAMES)
    assert f"{found.leg.target} {found.tf}" == table


@pytest.mark.parametrize(
    ("group", "timeframe", "family", "message"),
    [
        (
            Group.BARS,
            "1Y",
            None,
            (
                "timeframe '1Y': several are of this length, 1Y_CAL, 1Y_CAL_ANCHOR; name one of them, "
                "or family='cal_us', family='cal_iso', family='cal_anchor_us', family='cal_anchor_iso'"
            ),
        ),
        (Group.EMAS, "1D", None, "timeframe '1D': no such timeframe in emas; nearest: 2D, 3D, 4D"),
        (
            Group.BARS,
            "1W_CAL_US",
            "cal_iso",
            (
                "timeframe '1W_CAL_US': no such timeframe in family 'cal_iso' of bars; "
                "nearest: 1W_CAL_ISO, 4W_CAL_ISO, 2W_CAL_ISO"
            ),
        ),
        (Group.BARS, "7D", "v2", "family 'v2': no such family of bars; nearest: 1d, cal_anchor_iso, cal_anchor_us"),
    ],
)
def test_meant_is_unknown(group: Group, timeframe: str, family: str | None, message: str) -> None:
    """What is unknown or means several things is an error that lists what there is."""
    with pytest.raises(UsageError) as caught:
        meant(group, timeframe, family, DEFAULT_TIMEFRAMES)
    assert str(caught.value) == message
