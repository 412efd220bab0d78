"""Whether closes are multiples of what they were, or quite others."""

from __future__ import annotations

from typing import Any

import numpy as np

from refresh.core.rows import Array
from refresh.due.revision import FUSE_DAYS

SAME_FACTOR = 1e-6
"""The relative difference within which closes are taken for multiples by one factor."""
ROUNDING = 0.01
"""The difference within which they are as well: prices are often rounded to two decimals, on either side."""
LARGEST_ROUNDING = 0.05
"""The relative difference that rounding may make; cheaper assets show no factor then."""
NEAR_ONE = 0.05
"""How much closes may differ from what they were, relative to it, without being others: dividends, corrections."""
WHOLE = 0.9
"""The share of the known days that makes a whole history."""
CLOSES_FOR_FACTOR = 11
"""The factor is that of the largest closes, on which rounding matters least."""


def factor_of(before: Array, after: Array, bars: int) -> float | None:
    """The factor by which nearly all closes of an asset were multiplied; ``None`` if there is none, or one near 1.

    ``before``, ``after``: the closes that changed, of ``bars``.
    """
    if not _is_whole(len(before), bars):
        return None
    largest = np.argsort(np.minimum(before, after))[-CLOSES_FOR_FACTOR:]
    factor = float(np.median(after[largest] / before[largest]))
    rounding = np.minimum(ROUNDING * max(1.0, factor), LARGEST_ROUNDING * after)
    is_multiple = np.abs(after - factor * before) <= rounding + SAME_FACTOR * after
    is_one_factor = _is_whole(int(is_multiple.sum()), bars)
    return factor if is_one_factor and _is_other(factor) else None


def is_replaced(before: Array, after: Array, deleted: int, bars: int) -> bool:
    """Whether nearly all known days are gone, or have quite another close."""
    return _is_whole(deleted + int(_is_other(after / before).sum()), bars)


def _is_whole(number: int, bars: int) -> bool:
    return bars >= FUSE_DAYS and number >= WHOLE * bars


def _is_other(ratio: Any) -> Any:
    """Whether closes of this ratio are others, and not the same with a dividend or a correction."""
    return np.abs(np.log(ratio)) > np.log1p(NEAR_ONE)
