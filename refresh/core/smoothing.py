"""Smoothing factors of EMAs: how much one close weighs. Arrays have shape (series,)."""

from __future__ import annotations

import numpy as np

from refresh.core.rows import Array


def alpha_bar(period: Array) -> Array:
    """The factor of an EMA over bars: 2 / (p + 1)."""
    return 2.0 / (period + 1.0)


def alpha_horizon(period: Array, days_nominal: Array) -> Array:
    """The daily factor over the same horizon in days: 2 / (N p + 1)."""
    return 2.0 / (days_nominal * period + 1.0)


def alpha_equivalent(period: Array, days_nominal: Array) -> Array:
    """The daily factor of which N steps weigh as much as one step over bars: 1 - (1 - alpha_bar)^(1/N)."""
    decays = (1.0 - alpha_bar(period)).tolist()
    lengths = days_nominal.tolist()
    # Python's power: numpy's differs in the last bit between processors, and a table may move between machines.
    return np.array([1.0 - decay ** (1.0 / days) for decay, days in zip(decays, lengths, strict=True)])
