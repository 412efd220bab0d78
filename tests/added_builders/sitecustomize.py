"""Two more builders, for every Python process that has this folder on its path: what adding a builder takes.

``highs`` is a row of the catalogue: an EMA over rolling bars of the high. ``simple`` is a row and a pure function: a
simple moving average over daily closes.
"""

from __future__ import annotations

import math

import numpy as np

from refresh import catalog
from refresh.catalog import (
    BAR_COUNT,
    DAILY,
    DAILY_CLOSE,
    DAY_COUNT,
    SERIES_OPTIONS,
    BuilderConfig,
    Group,
    Input,
    Kind,
    Leg,
)
from refresh.core import ema
from refresh.core.rows import Array
from refresh.families import ROLLING
from refresh.shapes import EMA, Average, series_shape

BARS = "cmc_price_bars_multi_tf"
SMA = (Average("sma"),)


def simple(stretch: ema.Stretch, _: ema.Carries) -> dict[str, Array]:
    """The mean of the last ``needed`` closes of each day, (days, assets, series); exact, so in any order the same."""
    value = np.full(stretch.seeded.shape, np.nan)
    closes = np.concatenate([stretch.days.earlier, stretch.days.close])[:, :, 0]
    first = len(stretch.days.earlier)
    for series, needed in enumerate(stretch.lengths.needed.tolist()):
        for end in range(max(first, needed - 1), len(closes)):
            window = closes[end + 1 - needed : end + 1].T.tolist()
            value[end - first, :, series] = [math.fsum(days) / needed for days in window]
    return {"sma": value}


ema.FORMULAS["simple"] = ema.Formula(simple, looks_back=True)

catalog.BUILDERS += (
    BuilderConfig(
        name="highs",
        group=Group.EMAS,
        kind=Kind.EMA_OVER_BARS,
        legs=(
            Leg(
                target="cmc_ema_highs",
                shape=series_shape((EMA,)),
                follows=Input(BARS, ("high", *BAR_COUNT)),
                family=ROLLING,
                price=Input(BARS, ("high",)),
                formula="preview",
                averages=(EMA,),
            ),
        ),
        accepts=SERIES_OPTIONS,
        summary="EMAs of the highs of rolling bars",
    ),
    BuilderConfig(
        name="simple",
        group=Group.EMAS,
        kind=Kind.EMA_OVER_DAYS,
        legs=(
            Leg(
                target="cmc_sma",
                shape=series_shape(SMA),
                follows=Input(DAILY, ("close", *DAY_COUNT)),
                family=ROLLING,
                price=DAILY_CLOSE,
                formula="simple",
                averages=SMA,
            ),
        ),
        accepts=SERIES_OPTIONS,
        summary="simple moving averages of daily closes",
    ),
)
